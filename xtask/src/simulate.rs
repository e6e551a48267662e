//! `cargo xtask simulate`: runs the host's rooms through many sequences of events.

use std::ffi::OsString;

use crate::process::{become_it, cargo};
use crate::root;

/// Further arguments are passed on.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<(), String> {
    let mut simulation = cargo(root());
    simulation.args(["run", "--quiet", "--package", "streamtask-simulation", "--"]).args(arguments);
    become_it(simulation)
}
