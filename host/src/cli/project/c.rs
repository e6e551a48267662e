//! C and C++, built by make with the SDK's rules.

use std::path::Path;

use tokio::process::Command;

use super::template::{SDK_C, TEMPLATE_C};
use super::{Language, Project, Recipe, ask};

pub(super) static LANGUAGE: Language = Language {
    name: "c",
    marks: &["Makefile"],
    outputs: &[],
    template: TEMPLATE_C,
    sdk: SDK_C,
    named,
    recipe,
};

/// What the Makefile says with `NAME := …`.
fn named(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("Makefile")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("NAME := ")).map(|name| name.trim().to_owned())
}

fn recipe(project: &Project) -> Result<Recipe, String> {
    if ask("make", &["--version"], &project.folder).is_none() {
        return Err("make is missing: the package `make` of most systems".to_owned());
    }
    let names = ["clang-19", "clang-20", "clang-21", "clang-22", "clang-18", "clang"];
    if !names.iter().any(|name| ask(name, &["--version"], &project.folder).is_some()) {
        return Err("clang is missing: the packages clang, lld and wasi-libc of Debian and Ubuntu".to_owned());
    }
    let mut command = Command::new("make");
    command.arg(format!("{}.wasm", project.name));
    Ok(Recipe { command, made: project.component() })
}
