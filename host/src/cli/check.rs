//! `streamtask check`: checks whether a host would accept a file. Needs no host.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, folders};
use crate::app::check::{self, CheckedFile};
use crate::process::plain;

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
    pub(super) fn run(self) -> Result<(), Exit> {
        let mut out = std::io::stdout().lock();
        if self.manifest_schema {
            write!(out, "{}", check::manifest_schema())?;
            return Ok(());
        }
        let data = folders::DataFolder::new(None)?;
        let mut errors = Vec::new();
        for path in &self.files {
            match check::check(path, data.path()) {
                Ok(CheckedFile { kind, details }) => {
                    writeln!(out, "{} is a valid {kind}", plain(&path.display().to_string()))?;
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
