//! `cargo xtask simulate`: the host's rooms, led through many orders of events.

use std::ffi::OsString;

use crate::process::{become_it, cargo, run as run_program};
use crate::root;

/// Histories that a check plays at most, and for how long.
const CHECK: [&str; 4] = ["--seeds", "2000", "--minutes", "3"];

/// What follows goes to it.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<(), String> {
    let mut simulation = command();
    simulation.args(arguments);
    become_it(simulation)
}

/// As many histories as there is time for.
pub(crate) fn check() -> Result<(), String> {
    let mut simulation = command();
    run_program(simulation.args(CHECK))
}

fn command() -> std::process::Command {
    let mut simulation = cargo(root());
    simulation.args(["run", "--quiet", "--package", "streamtask-simulation", "--"]);
    simulation
}
