//! `streamtask build`: builds the task of a project with the tool of its language.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::Exit;
use super::project::{BuildOutput, Built, Project};

/// The project to build.
#[derive(Args)]
pub(super) struct Build {
    /// Folder of the project
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

impl Build {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let built = Project::find(&self.folder)?.build(BuildOutput::Shown).await?;
        writeln!(std::io::stdout().lock(), "{}", describe(&built))?;
        Ok(())
    }
}

/// Reports the file, its size and the build time.
pub(super) fn describe(built: &Built) -> String {
    let size = bytesize::ByteSize(built.size);
    format!("{} has {size:.1}, built in {:.1} s", built.path.display(), built.took.as_secs_f64())
}
