//! Tasks in JavaScript and TypeScript: npm packages, whose script `build` builds the component. All
//! are workspaces of one package, so they share one installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Example, Problem};
use crate::process::{ask, run_quietly};
use crate::root;
use crate::stamp::Stamp;

/// Results also depend on this file.
pub(super) const RECIPE: &str = include_str!("javascript.rs");

const TOOL: &str =
    "Node.js 20.19 or newer with npm: from https://nodejs.org, or as a package of most systems";

/// The minimum version for the compiler.
const NODE: (u32, u32) = (20, 19);

/// The common inputs of all builds: the SDK with the contract, and the pinned tools, but not its
/// tests.
pub(super) fn shared() -> [PathBuf; 5] {
    let sdk = root().join("guest-sdk/js");
    let [src, build, wit, package] = ["src", "build", "wit", "package.json"].map(|name| sdk.join(name));
    [src, build, wit, package, root().join("package-lock.json")]
}

pub(super) fn build(example: &Example, component: &Path) -> Result<(), Problem> {
    install()?;
    eprintln!("{}: compiling", example.name);
    // The last of several `--out` counts.
    let mut compile = npm();
    compile.args(["run", "build", "--", "--out"]).arg(component).current_dir(&example.folder);
    Ok(run_quietly(&mut compile)?)
}

/// Checks the SDK's types and runs its own tests, which need no host.
pub(super) fn test() -> Result<(), Problem> {
    install()?;
    for script in ["types", "test"] {
        run_quietly(npm().args(["run", script]).current_dir(root().join("guest-sdk/js")))?;
    }
    Ok(())
}

/// Installs exactly the packages of the lock file, unless they are installed.
fn install() -> Result<(), Problem> {
    if !node_is_fit() || ask(npm().arg("--version")).is_none() {
        return Err(Problem::Missing(TOOL));
    }
    let lock = Stamp::default().file(&root().join("package-lock.json"))?.finish();
    // In the folder that it describes. Written last, so an incomplete installation does not count.
    let installed_from = root().join("node_modules/.installed-from");
    if fs::read_to_string(&installed_from).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    eprintln!("fetching the compiler for JavaScript into node_modules");
    run_quietly(npm().args(["ci", "--no-audit", "--no-fund"]).current_dir(root()))?;
    Ok(fs::write(installed_from, lock)?)
}

fn node_is_fit() -> bool {
    let version = ask(Command::new("node").arg("--version"));
    version.and_then(|version| major_and_minor(&version)).is_some_and(|version| version >= NODE)
}

/// Parses a version such as `v22.12.0`.
fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix('v')?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

fn npm() -> Command {
    // On Windows it is a script.
    Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(major_and_minor("v20.19.4") >= Some(NODE));
        assert!(major_and_minor("v100.1.0") >= Some(NODE));
        assert!(major_and_minor("v20.9.0") < Some(NODE));
        assert_eq!(major_and_minor("nightly"), None);
    }
}
