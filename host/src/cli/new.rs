//! `streamtask new`: creates a project for a task.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::Exit;
use super::project::{LanguageName, Project};

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
        writeln!(
            std::io::stdout().lock(),
            "created {}; its README.md describes the next steps",
            folder.display()
        )?;
        Ok(())
    }
}
