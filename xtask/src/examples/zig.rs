//! Tasks in Zig: NAME.zig, an ordinary program.

use std::path::Path;
use std::process::Command;

use super::{Example, Problem, cache, pip};
use crate::process::run_quietly;

/// Results also depend on this file.
pub(super) const RECIPE: &str = include_str!("zig.rs");

const TOOL: &str = "Python 3.9 or newer with venv, to fetch Zig with";

/// Exactly this version, because Zig's library changes with each.
const PACKAGE: &str = "ziglang==0.15.2";

pub(super) fn build(example: &Example, component: &Path) -> Result<(), Problem> {
    let zig = pip::packages_with(PACKAGE, TOOL)?.join("ziglang/zig");
    eprintln!("{}: compiling", example.title);
    let mut compile = Command::new(zig);
    compile.args(["build-exe", "-target", "wasm32-wasi", "-O", "ReleaseSmall"]);
    compile.arg(format!("{}.zig", example.name)).current_dir(&example.folder);
    let mut output = std::ffi::OsString::from("-femit-bin=");
    output.push(component);
    compile.arg(output).arg("--global-cache-dir").arg(cache().join("zig"));
    Ok(run_quietly(compile.arg("--cache-dir").arg(cache().join("zig")))?)
}
