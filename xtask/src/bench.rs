//! `cargo xtask bench`: measures the host, after building everything that it needs.

use std::ffi::OsString;

use crate::examples::{GUEST_TARGET, add_guest_target};
use crate::process::{become_it, cargo, guest_cargo, run as run_program};
use crate::root;

pub(crate) fn run(arguments: Vec<OsString>) -> Result<(), String> {
    add_guest_target()?;
    for workspace in ["example-tasks", "tests/guests"] {
        let mut guests = guest_cargo(root().join(workspace));
        run_program(guests.args(["build", "--release", "--workspace", "--target", GUEST_TARGET]))?;
    }
    // The benchmark starts the host as a separate process, like users do.
    let both = ["--release", "--package", "streamtask-host", "--package", "streamtask-bench"];
    run_program(cargo(root()).arg("build").args(both))?;
    let mut bench = cargo(root());
    bench.args(["run", "--release", "--package", "streamtask-bench", "--"]).args(arguments);
    become_it(bench)
}
