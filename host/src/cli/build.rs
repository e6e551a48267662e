//! `streamtask build`: a project to a task's file, with its language's own tool.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::Exit;
use super::project::{Built, Output, Project};

/// A project to be built.
#[derive(Args)]
pub(super) struct Build {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

impl Build {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let built = Project::find(&self.folder)?.build(Output::Shown).await?;
        writeln!(std::io::stdout().lock(), "{}", describe(&built))?;
        Ok(())
    }
}

/// Where the task is, how large, and how long it took.
pub(super) fn describe(built: &Built) -> String {
    let size = bytesize::ByteSize(built.size);
    format!("{} has {size:.1}, built in {:.1} s", built.path.display(), built.took.as_secs_f64())
}
