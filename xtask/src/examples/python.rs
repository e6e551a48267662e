//! Tasks in Python: NAME.py, and the compiler in requirements.txt, with the SDK of this repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::pip::{IS_FIT, python};
use super::{Example, Problem, cache};
use crate::process::{ask, run_quietly};
use crate::root;
use crate::stamp::Stamp;

/// Results also depend on this file.
pub(super) const RECIPE: &str = include_str!("python.rs");

const TOOL: &str = "Python 3.10 or newer with venv: from https://www.python.org, or as the packages \
                    `python3` and `python3-venv` of Debian and Ubuntu";

/// The SDK, which results depend on.
pub(super) fn sdk() -> PathBuf {
    root().join("guest-sdk/python/streamtask")
}

pub(super) fn build(example: &Example, component: &Path) -> Result<(), Problem> {
    let tools = tools(example)?;
    eprintln!("{}: compiling", example.name);
    let mut compile = Command::new(interpreter(&tools));
    compile.args(["-m", "streamtask", "build"]).env("PYTHONPATH", root().join("guest-sdk/python"));
    // Otherwise, Python writes cache files between the sources.
    compile.env("PYTHONDONTWRITEBYTECODE", "1");
    compile.arg(example.folder.join(format!("{}.py", example.name.replace('-', "_"))));
    Ok(run_quietly(compile.arg("--output").arg(component))?)
}

/// Runs the SDK's own tests, which need no host.
pub(super) fn test() -> Result<(), Problem> {
    let mut test = Command::new(python(TOOL)?);
    test.args(["-m", "unittest", "--quiet"]).env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(run_quietly(test.current_dir(root().join("guest-sdk/python")))?)
}

/// A virtual environment with the requirements of an example; shared by all examples with the same
/// ones.
fn tools(example: &Example) -> Result<PathBuf, Problem> {
    let requirements = example.folder.join("requirements.txt");
    let folder = cache().join(format!("python-{}", Stamp::default().file(&requirements)?.finish()));
    // Written last, so an incomplete environment does not count, and neither does one whose Python
    // was removed.
    let complete = folder.join("complete");
    if complete.is_file() && ask(Command::new(interpreter(&folder)).args(["-c", IS_FIT])).is_some() {
        return Ok(folder);
    }
    let python = python(TOOL)?;
    eprintln!("{}: fetching the compiler into {}", example.name, folder.display());
    run_quietly(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut install = Command::new(interpreter(&folder));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    run_quietly(install.arg(requirements))?;
    fs::write(complete, "")?;
    Ok(folder)
}

/// The Python of a virtual environment.
fn interpreter(environment: &Path) -> PathBuf {
    environment.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}
