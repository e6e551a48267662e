//! The tools that build tasks. A host needs none of them.

use super::finding::Finding;
use crate::cli::project::{missing_tool, toolchains};

pub(super) fn check() -> Vec<Finding> {
    toolchains().map(|(name, tool)| of(name, missing_tool(tool))).collect()
}

/// The message of a missing tool is `what is missing: how to install it`.
fn of(name: &'static str, missing: Option<String>) -> Finding {
    match missing {
        None => Finding::ok(name, "`streamtask new` projects build"),
        Some(message) => match message.split_once(": ") {
            Some((what, remedy)) => Finding::warning(name, what, remedy),
            None => Finding::warning(
                name,
                message,
                format!("streamtask new hello --lang {name}, then streamtask build hello"),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_missing_tool_is_a_warning_with_the_way_to_install_it() {
        let finding = of("rust", Some("cargo is missing: install Rust from https://rustup.rs".to_owned()));
        assert_eq!((finding.level, finding.found.as_str()), (Level::Warning, "cargo is missing"));
        assert_eq!(finding.remedy.as_deref(), Some("install Rust from https://rustup.rs"));
        assert_eq!(of("rust", None).level, Level::Ok);
    }
}
