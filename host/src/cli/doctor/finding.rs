use serde::Serialize;

use crate::cli::style::{Colour, Style};
use crate::process::plain;

/// Width of the column of levels.
const LEVEL_WIDTH: usize = 8;
/// Width of the column of names: that of the longest.
const NAME_WIDTH: usize = 18;

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Nothing to do.
    Ok,
    /// A host starts, but lacks something.
    Warning,
    /// A host does not start, or can't execute runs.
    Problem,
}

/// The result of one check.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// What was checked.
    pub(super) name: &'static str,
    pub(super) level: Level,
    pub(super) found: String,
    /// The command or setting that fixes it.
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, found: found.into(), remedy: None }
    }

    pub(super) fn warning(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, level: Level::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn problem(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Problem, ..Self::warning(name, found, remedy) }
    }

    /// One line; paths and messages of other programs are escaped.
    pub(super) fn line(&self, style: Style) -> String {
        let (level, colour) = match self.level {
            Level::Ok => ("ok", Colour::Green),
            Level::Warning => ("warning", Colour::Yellow),
            Level::Problem => ("problem", Colour::Red),
        };
        let level = format!("{level:<LEVEL_WIDTH$}");
        let level = style.paint(colour, &level);
        let found = plain(&self.found);
        let line = format!("{level} {name:<NAME_WIDTH$} {found}", name = self.name);
        match &self.remedy {
            Some(remedy) => {
                let remedy = plain(remedy);
                format!("{line}; fix: {}", style.paint(Colour::Bold, &remedy))
            }
            None => line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_level_the_finding_and_its_remedy() {
        let line = |finding: Finding| finding.line(Style::plain());
        assert_eq!(line(Finding::ok("port", "free")), "ok       port               free");
        assert_eq!(
            line(Finding::problem("tasks folder", "a\nb is missing", "mkdir -p tasks")),
            "problem  tasks folder       a\\nb is missing; fix: mkdir -p tasks"
        );
    }
}
