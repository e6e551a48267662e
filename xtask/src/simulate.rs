//! `cargo xtask simulate`: the host's rooms, led through many orders of events.

use std::ffi::OsString;

use crate::process::{become_it, cargo};
use crate::root;

/// What follows goes to it.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<(), String> {
    let mut simulation = cargo(root());
    simulation.args(["run", "--quiet", "--package", "streamtask-simulation", "--"]).args(arguments);
    become_it(simulation)
}
