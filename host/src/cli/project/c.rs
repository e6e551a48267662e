//! C and C++, built by make with the rules of the SDK.

use std::path::Path;

use tokio::process::Command;

use super::template::{SDK_C, TEMPLATE_C, TEMPLATE_CPP};
use super::{Language, Project, Recipe, Unbuildable, output_of};

/// The oldest version that supports the linker for components.
const CLANG: u32 = 18;
/// In the order in which the rules of the SDK look for them.
const COMPILERS: [&str; 6] = ["clang-19", "clang-20", "clang-21", "clang-22", "clang-18", "clang"];

pub(super) static LANGUAGE: Language = Language {
    name: "c",
    markers: &["Makefile"],
    outputs: &[],
    template: TEMPLATE_C,
    sdk: SDK_C,
    read_name,
    recipe,
};

pub(super) static CPP: Language = Language { name: "cpp", template: TEMPLATE_CPP, ..LANGUAGE };

/// The `NAME := …` of the Makefile.
fn read_name(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("Makefile")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("NAME := ")).map(|name| name.trim().to_owned())
}

fn recipe(project: &Project) -> Result<Recipe, Unbuildable> {
    if output_of("make", &["--version"], &project.folder).is_none() {
        return Err("make is missing: install the package `make`".into());
    }
    let versions = COMPILERS.iter().filter_map(|name| output_of(name, &["--version"], &project.folder));
    let versions: Vec<u32> = versions.filter_map(|output| major(&output)).collect();
    if !versions.iter().any(|version| *version >= CLANG) {
        let found = versions.iter().max().map(|version| format!(" (version {version} is installed)"));
        return Err(format!(
            "clang {CLANG} or newer with its libraries for WASI is missing{}: install the packages clang-19 lld-19 wasi-libc \
             libclang-rt-19-dev-wasm32, and for C++ libc++-19-dev-wasm32 libc++abi-19-dev-wasm32, of Debian and Ubuntu",
            found.unwrap_or_default()
        ).into());
    }
    let mut command = Command::new("make");
    command.arg(format!("{}.wasm", project.name));
    Ok(Recipe { command, output: project.component() })
}

/// The major version in a text such as `Debian clang version 14.0.6`, or Apple's `clang version 17.0.0 (…)`.
fn major(output: &str) -> Option<u32> {
    let (_, version) = output.split_once("clang version ")?;
    version.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_a_compiler_is_found() {
        assert_eq!(major("Debian clang version 14.0.6\nTarget: x86_64-pc-linux-gnu"), Some(14));
        assert_eq!(major("Ubuntu clang version 19.1.1 (1ubuntu1~24.04.2)"), Some(19));
        assert_eq!(major("clang version 21.0.0git (https://github.com/llvm/llvm-project 1a2b)"), Some(21));
        assert_eq!(major("gcc (Debian 12.2.0-14) 12.2.0"), None);
    }
}
