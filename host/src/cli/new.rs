//! `streamtask new`: the project of a task.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::Exit;
use super::project::{LanguageName, Project};

/// A project to be made.
#[derive(Args)]
pub(super) struct New {
    /// The task's name
    name: String,
    /// The language
    #[arg(long, short)]
    lang: LanguageName,
    /// Folder of the project; empty, or not there yet [default: NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl New {
    pub(super) fn run(self) -> Result<(), Exit> {
        let folder = self.dir.unwrap_or_else(|| PathBuf::from(&self.name));
        Project::create(&self.name, self.lang, &folder)?;
        writeln!(std::io::stdout().lock(), "{} is ready; its README.md has the next step", folder.display())?;
        Ok(())
    }
}
