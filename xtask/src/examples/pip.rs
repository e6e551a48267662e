//! Tools from PyPI, each in its own virtual environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Problem, cache};
use crate::process::{ask, run_quietly};

/// Fails if an interpreter is too old, or lacks the modules for virtual environments, which Debian
/// packages separately.
pub(super) const IS_FIT: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";

/// The folder of programs in an environment.
const PROGRAMS: &str = if cfg!(windows) { "Scripts" } else { "bin" };

/// The system's Python. `otherwise` is the error if there is none.
pub(super) fn python(otherwise: &'static str) -> Result<&'static str, Problem> {
    let python = ["python3", "python"].into_iter().find(|python| {
        let mut question = Command::new(python);
        ask(question.args(["-c", IS_FIT])).is_some()
    });
    python.ok_or(Problem::Missing(otherwise))
}

/// The folder of packages of an environment with just this one, such as `ziglang==0.15.2`.
/// `otherwise` is the error if there is no Python.
pub(super) fn packages_with(requirement: &str, otherwise: &'static str) -> Result<PathBuf, Problem> {
    let folder = environment(requirement);
    let complete = folder.join("complete");
    // Written last, so an incomplete environment does not count. Contains the path of the packages.
    if let Some(packages) = read_path(&complete) {
        return Ok(packages);
    }
    let python = python(otherwise)?;
    eprintln!("fetching {requirement} into {}", folder.display());
    run_quietly(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))?;
    let interpreter = folder.join(PROGRAMS).join("python");
    let mut install = Command::new(&interpreter);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]);
    run_quietly(&mut install)?;
    let mut question = Command::new(&interpreter);
    let packages = ask(question.args(["-c", "import sysconfig; print(sysconfig.get_path('platlib'))"]));
    let packages = packages.ok_or_else(|| "pip does not report its folder of packages".to_owned())?;
    // Relative to the folder, which can be moved.
    let within = Path::new(&packages).strip_prefix(&folder).unwrap_or(Path::new(&packages)).to_owned();
    fs::write(&complete, within.to_string_lossy().as_bytes())?;
    Ok(folder.join(within))
}

/// A program of a package, in an environment with just this one. `otherwise` is the error if there is no Python.
pub(crate) fn program(requirement: &str, name: &str, otherwise: &'static str) -> Result<PathBuf, Problem> {
    packages_with(requirement, otherwise)?;
    Ok(environment(requirement).join(PROGRAMS).join(name))
}

/// The folder of the environment with just this package.
fn environment(requirement: &str) -> PathBuf {
    cache().join(format!("pip-{}", requirement.replace("==", "-")))
}

/// The content of `complete`, if it exists.
fn read_path(complete: &Path) -> Option<PathBuf> {
    let packages = complete.parent()?.join(fs::read_to_string(complete).ok()?);
    packages.is_dir().then_some(packages)
}
