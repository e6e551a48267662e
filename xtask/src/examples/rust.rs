//! Examples in Rust: one workspace, built together.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{ask, guest_cargo, run};
use crate::root;

/// The target of guests in Rust.
pub(crate) const GUEST_TARGET: &str = "wasm32-wasip2";

/// `run` runs cargo, with or without output.
pub(super) fn build_all(run: fn(&mut Command) -> Result<(), String>) -> Result<(), String> {
    add_guest_target()?;
    let mut build = guest_cargo(root().join("example-tasks"));
    run(build.args(["build", "--release", "--workspace", "--target", GUEST_TARGET]))
}

/// Where cargo puts the component of an example.
pub(super) fn component(name: &str) -> PathBuf {
    let file = format!("{}.wasm", name.replace('-', "_"));
    root().join("example-tasks/target").join(GUEST_TARGET).join("release").join(file)
}

/// Adds the standard library for guests to the toolchain, if it is missing.
pub(crate) fn add_guest_target() -> Result<(), String> {
    let mut where_it_is = Command::new("rustc");
    where_it_is.args(["--print", "target-libdir", "--target", GUEST_TARGET]).current_dir(root());
    if ask(&mut where_it_is).is_some_and(|folder| Path::new(&folder).is_dir()) {
        return Ok(());
    }
    let mut add = Command::new("rustup");
    run(add.args(["target", "add", GUEST_TARGET]).current_dir(root())).map_err(|problem| {
        format!(
            "Rust lacks the target {GUEST_TARGET}, and it can't be added: {problem}\n\
             With Rust from https://rustup.rs, `rustup target add {GUEST_TARGET}` adds it; \
             other distributions of Rust have it as a package."
        )
    })
}
