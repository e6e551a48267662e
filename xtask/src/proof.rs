//! `cargo xtask proof`: kills the host repeatedly, and checks that nothing is lost.

use std::ffi::OsString;

use crate::examples::add_guest_target;
use crate::process::{become_it, cargo};
use crate::root;

/// It builds the host and its guest itself, like tests do.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<(), String> {
    add_guest_target()?;
    let mut proof = cargo(root());
    proof.args(["run", "--quiet", "--package", "streamtask-proof", "--"]).args(arguments);
    become_it(proof)
}
