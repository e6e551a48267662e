//! `streamtask new`: creates a project for a task.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::Exit;
use super::project::{LanguageName, Project, missing_tool, next_commands};

/// The project to create.
#[derive(Args)]
pub(super) struct New {
    /// Name of the task
    name: String,
    /// Language of the task
    #[arg(long, short)]
    lang: LanguageName,
    /// Folder for the project, which must be empty or missing [default: NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl New {
    pub(super) fn run(self) -> Result<(), Exit> {
        let folder = self.dir.unwrap_or_else(|| PathBuf::from(&self.name));
        Project::create(&self.name, self.lang, &folder)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "created {}; its README.md describes more. Next:\n", folder.display())?;
        for command in next_commands(self.lang, &folder) {
            writeln!(out, "  {command}")?;
        }
        if let Some(missing) = missing_tool(self.lang) {
            writeln!(out, "\nBefore that: {missing}")?;
        }
        Ok(())
    }
}
