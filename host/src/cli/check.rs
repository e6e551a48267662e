//! `streamtask check`: checks whether a host would accept a file. Needs no host.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::interrupts::Interrupts;
use super::{Exit, folders, log};
use crate::app::check::{self, CheckedFile};
use crate::process::{plain, spawn_blocking};

/// The files to check.
#[derive(Args)]
pub(super) struct Check {
    /// Tasks (NAME.wasm), manifests (NAME.toml) or configurations of a host (streamtask.toml)
    #[arg(value_name = "FILE", required_unless_present = "manifest_schema")]
    files: Vec<PathBuf>,
    /// Print the JSON Schema of manifests, for editors
    #[arg(long, conflicts_with = "files")]
    manifest_schema: bool,
}

impl Check {
    pub(super) async fn run(self) -> Result<(), Exit> {
        if self.manifest_schema {
            write!(std::io::stdout().lock(), "{}", check::manifest_schema())?;
            return Ok(());
        }
        // First of all: a signal during the compilation must not leave a folder behind.
        log::init_panics()?;
        let mut interrupts = Interrupts::of_command()?;
        let data = folders::DataFolder::new(None)?;
        let mut errors = Vec::new();
        for path in self.files {
            let shown = plain(&path.display().to_string()).into_owned();
            let cache = data.path().to_owned();
            // Compiling takes seconds.
            let checking = spawn_blocking(move || check::check(&path, &cache));
            let checking = checking.map_err(|error| Exit::Start(error.to_string()))?;
            let checked = tokio::select! {
                checked = checking => checked.map_err(|_| Exit::HostFailed("the check failed".to_owned()))?,
                () = interrupts.next() => {
                    return Err(Exit::Interrupted("interrupted before the end of the check".to_owned()));
                }
            };
            match checked {
                Ok(CheckedFile { kind, details }) => {
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "{shown} is a valid {kind}")?;
                    for detail in details {
                        writeln!(out, "  {}", plain(&detail))?;
                    }
                }
                // The name of an import may contain a line break.
                Err(error) => errors.push(plain(&error.to_string()).into_owned()),
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Exit::Usage(errors.join("\nstreamtask: "))) }
    }
}
