//! Tasks in C and C++: a Makefile that includes the SDK's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Example, Problem};
use crate::process::{ask, run_quietly};
use crate::root;

/// Results also depend on this file.
pub(super) const RECIPE: &str = include_str!("c.rs");

const TOOL: &str = "clang 18 or newer with libraries for WASI, and make: on Debian and Ubuntu the packages \
                    clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32 libc++-19-dev-wasm32 \
                    libc++abi-19-dev-wasm32 make";

/// The oldest version that supports the component linker first; plain `clang` last.
const COMPILERS: [&str; 6] = ["clang-19", "clang-20", "clang-21", "clang-22", "clang-18", "clang"];

/// The SDK, which results depend on.
pub(super) fn sdk() -> PathBuf {
    root().join("guest-sdk/c")
}

pub(super) fn build(example: &Example, component: &Path) -> Result<(), Problem> {
    let compiler = COMPILERS.into_iter().find(|compiler| is_fit(compiler));
    let (Some(compiler), true) = (compiler, has_make()) else { return Err(Problem::Missing(TOOL)) };
    eprintln!("{}: compiling", example.title);
    let built = format!("{}.wasm", example.name);
    let mut make = Command::new("make");
    make.args(["--always-make", &built]).arg(format!("CLANG={compiler}")).current_dir(&example.folder);
    run_quietly(&mut make)?;
    let built = example.folder.join(built);
    fs::copy(&built, component)?;
    Ok(fs::remove_file(built)?)
}

/// Runs the SDK's own native tests, with the compiler that Rust also needs.
pub(super) fn test() -> Result<(), Problem> {
    if !has_make() {
        return Err(Problem::Missing(TOOL));
    }
    Ok(run_quietly(Command::new("make").arg("test").current_dir(sdk()))?)
}

fn has_make() -> bool {
    ask(Command::new("make").arg("--version")).is_some()
}

/// Whether it has the headers and libraries for guests in both languages.
fn is_fit(compiler: &str) -> bool {
    let has = |header: &str, language: &str| {
        let mut question = Command::new(compiler);
        question.args(["--target=wasm32-wasi", "-E", "-include", header, "-x", language, "/dev/null"]);
        ask(&mut question).is_some()
    };
    let mut question = Command::new(compiler);
    let library = ask(question.args(["--target=wasm32-wasi", "-print-libgcc-file-name"]));
    library.is_some_and(|library| Path::new(&library).is_file())
        && has("stdlib.h", "c")
        && has("vector", "c++")
}
