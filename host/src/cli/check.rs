//! `streamtask check`: is a file what a host would take? Needs no host.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, folders};
use crate::app::check::{self, Checked};
use crate::process::plain;

/// Files to be looked at.
#[derive(Args)]
pub(super) struct Check {
    /// Tasks, NAME.wasm, manifests, NAME.toml, and a host's configuration, streamtask.toml
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
        let data = folders::Data::new(None)?;
        let mut faults = Vec::new();
        for path in &self.files {
            match check::check(path, data.path()) {
                Ok(Checked { is, details }) => {
                    writeln!(out, "{} is {is} that can be used", plain(&path.display().to_string()))?;
                    for detail in details {
                        writeln!(out, "  {}", plain(&detail))?;
                    }
                }
                // An import may have a line break in its name.
                Err(fault) => faults.push(plain(&fault).into_owned()),
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Exit::Usage(faults.join("\nstreamtask: "))) }
    }
}
