//! The program of a package.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::{self, PLAIN, PROGRAM};
use super::target::Target;
use super::{NAME, VERSION};
use crate::process::{ask, cargo, run, run_quietly};
use crate::{root, target_folder};

/// Shells with a folder for completions of packages, and the file in it.
pub(super) const SHELLS: [(&str, &str); 3] =
    [("bash", "streamtask"), ("zsh", "_streamtask"), ("fish", "streamtask.fish")];

/// A program that is ready to be packaged.
pub(super) struct Binary {
    pub(super) path: PathBuf,
    /// The oldest glibc 2.x that it runs on.
    pub(super) glibc: u32,
    /// What each of [`SHELLS`] completes; empty if the program does not run on this machine.
    pub(super) completions: Vec<(&'static str, String)>,
    /// The licences of all libraries in it.
    pub(super) notices: PathBuf,
}

impl Binary {
    /// Copies the program into a folder, without what only a debugger needs.
    pub(super) fn strip(program: &Path, target: &Target, staging: &Path) -> Result<Self, String> {
        let content = files::read(program)?;
        is_for(&content, target).map_err(|problem| format!("{} {problem}", program.display()))?;
        let path = staging.join(NAME);
        let strip = if target.is_here() { "strip".to_owned() } else { format!("{}strip", target.tools) };
        run_quietly(Command::new(strip).arg("-o").arg(&path).arg(program))?;
        // As new, with permissions that do not depend on the umask.
        let stripped = files::read(&path)?;
        files::put(&path, &stripped, PROGRAM)?;
        let glibc = newest_glibc(&stripped)
            .ok_or_else(|| format!("{} does not say which glibc it needs", program.display()))?;
        let completions = if target.is_here() { completions(&path)? } else { Vec::new() };
        if completions.is_empty() {
            eprintln!("no completions for shells: the program does not run on this machine");
        }
        Ok(Self { notices: notices(target, staging)?, path, glibc, completions })
    }
}

/// Builds the program, and returns where it is.
pub(super) fn build(target: &Target) -> Result<PathBuf, String> {
    let mut build = cargo(root());
    build.args(["build", "--release", "--locked", "--package", "streamtask-host", "--bin", NAME]);
    let results = target_folder();
    if target.is_here() {
        run(&mut build)?;
        return Ok(results.join("release").join(NAME));
    }
    if let Some(installed) = ask(Command::new("rustup").args(["target", "list", "--installed"]))
        && !installed.lines().any(|line| line == target.triple)
    {
        run(Command::new("rustup").args(["target", "add", target.triple]).current_dir(root()))?;
    }
    let linker = format!("CARGO_TARGET_{}_LINKER", target.triple.to_uppercase().replace('-', "_"));
    if env::var_os(&linker).is_none() {
        build.env(linker, format!("{}gcc", target.tools));
    }
    run(build.args(["--target", target.triple]))?;
    Ok(results.join(target.triple).join("release").join(NAME))
}

/// What the program prints for each shell.
fn completions(program: &Path) -> Result<Vec<(&'static str, String)>, String> {
    let version = ask(Command::new(program).arg("--version")).unwrap_or_default();
    if version.split(' ').nth(1) != Some(VERSION) {
        return Err(format!("the program says that it is {version:?}, and these are packages of {VERSION}"));
    }
    let print = |(shell, _): (&'static str, &str)| {
        let printed = ask(Command::new(program).args(["completions", shell]));
        let printed = printed.ok_or_else(|| format!("the program prints no completions for {shell}"));
        printed.map(|script| (shell, script + "\n"))
    };
    SHELLS.into_iter().map(print).collect()
}

/// Writes the licences of what is linked into the program.
fn notices(target: &Target, staging: &Path) -> Result<PathBuf, String> {
    let file = staging.join("LICENSES-BUNDLED.txt");
    files::put(&file, "", PLAIN)?;
    let script = root().join("packaging/python/licences.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(target.triple).arg(&file).current_dir(root());
    if let Some(cargo) = env::var_os("CARGO") {
        python.env("CARGO", cargo);
    }
    run_quietly(&mut python)?;
    Ok(file)
}

/// Reads the head of a program (elf(5)): 64 bits, little endian, and the processor.
fn is_for(content: &[u8], target: &Target) -> Result<(), String> {
    let machine = match content {
        [0x7f, b'E', b'L', b'F', 2, 1, ..] => content.get(18..20),
        _ => None,
    };
    match machine {
        Some(machine) if *machine == target.machine.to_le_bytes() => Ok(()),
        Some(_) => Err(format!("is a program for another processor than {}", target.processor)),
        None => Err("is no program for Linux".to_owned()),
    }
}

/// The newest version among those of the functions that the program takes from glibc. They are in a table
/// of texts that end with a zero.
fn newest_glibc(content: &[u8]) -> Option<u32> {
    const MARK: &[u8] = b"\0GLIBC_2.";
    let starts = content.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let versions = starts.filter_map(|(at, _)| {
        let rest = &content[at + MARK.len()..];
        let text = rest.iter().take(6).position(|byte| *byte == 0).map(|end| &rest[..end])?;
        // `GLIBC_2.2.5` counts as 2.
        std::str::from_utf8(text).ok()?.split('.').next()?.parse().ok()
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_glibc_is_that_of_the_newest_function() {
        let table = b"x\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.4\0GLIBC_PRIVATE\0";
        assert_eq!(newest_glibc(table), Some(34));
        assert_eq!(newest_glibc(b"\0GLIBC_2.2.5\0"), Some(2));
        assert_eq!(newest_glibc(b"a text about GLIBC_2.99 \0"), None);
        assert_eq!(newest_glibc(b"\0GLIBC_2."), None);
    }

    #[test]
    fn a_program_for_another_processor_is_refused() {
        let mut head = b"\x7fELF\x02\x01\x01".to_vec();
        head.resize(18, 0);
        head.extend(183_u16.to_le_bytes());
        let named = |triple| Target::named(triple).unwrap();
        assert_eq!(is_for(&head, named("aarch64-unknown-linux-gnu")), Ok(()));
        assert!(is_for(&head, named("x86_64-unknown-linux-gnu")).unwrap_err().contains("another processor"));
        assert!(is_for(b"#!/bin/sh", named("x86_64-unknown-linux-gnu")).unwrap_err().contains("no program"));
        assert!(is_for(b"\x7fELF\x02\x01", named("x86_64-unknown-linux-gnu")).is_err());
    }
}
