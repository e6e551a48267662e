//! What clients in other languages are run with. Their packages are fetched once, if they are not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use streamtask_host::model::Version;

use crate::root;

/// Fails if an interpreter is too old, or without the parts that make a virtual environment.
const IS_FIT: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";

/// Where the clients are.
pub fn folder() -> PathBuf {
    root().join("tests/clients").canonicalize().expect("a folder of this repository")
}

/// The folder of clients for Node.js, with their packages. An error is what is missing.
pub fn node() -> &'static Result<PathBuf, String> {
    static NODE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    NODE.get_or_init(|| {
        let folder = folder();
        let output = Command::new("node").arg("--version").output();
        let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let major =
            |version: String| version.trim().strip_prefix('v')?.split('.').next()?.parse::<u32>().ok();
        if version.ok().and_then(major).is_none_or(|major| major < 20) {
            return Err("Node.js 20 or newer, as `node`".to_owned());
        }
        if is_installed(&folder) {
            return Ok(folder);
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder);
        fetch("`npm ci` in tests/clients", &mut npm)?;
        Ok(folder)
    })
}

/// Whether the packages are those that the lock file names.
fn is_installed(folder: &Path) -> bool {
    let changed = |file: &str| -> Option<SystemTime> { folder.join(file).metadata().ok()?.modified().ok() };
    // Written last by npm.
    changed("node_modules/.package-lock.json").is_some_and(|installed| {
        ["package.json", "package-lock.json"]
            .iter()
            .all(|file| changed(file).is_some_and(|at| at <= installed))
    })
}

/// The system's Python. An error is what is missing.
pub fn system_python() -> Result<&'static str, String> {
    let fits = |python: &&str| {
        let status = Command::new(python).args(["-c", IS_FIT]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let missing = || "Python 3.10 or newer with venv, as `python3`".to_owned();
    ["python3", "python"].into_iter().find(fits).ok_or_else(missing)
}

/// The Python that has the packages of `tests/clients/requirements.txt`. An error is what is missing.
pub fn python() -> &'static Result<PathBuf, String> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PYTHON.get_or_init(|| python_with(&folder().join("requirements.txt")))
}

/// A Python that has the packages of a file. They are fetched once for each content of it. An error is what is missing.
pub fn python_with(requirements: &Path) -> Result<PathBuf, String> {
    let system = system_python()?;
    let wanted = fs::read(requirements).expect("a file of this repository");
    let environment = root().join(format!("target/xtask/clients-{:.16}", Version::of(&wanted).to_string()));
    let interpreter = environment.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    // Written last, so half an environment does not count.
    let complete = environment.join("complete");
    if complete.is_file() && interpreter.is_file() {
        return Ok(interpreter);
    }
    fetch("`python3 -m venv`", Command::new(system).args(["-m", "venv", "--clear"]).arg(&environment))?;
    let mut pip = Command::new(&interpreter);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    fetch(&format!("`pip` for {}", requirements.display()), pip.arg(requirements))?;
    fs::write(&complete, "").map_err(|error| format!("room in {} ({error})", environment.display()))?;
    Ok(interpreter)
}

fn fetch(what: &str, command: &mut Command) -> Result<(), String> {
    match command.stdin(Stdio::null()).output() {
        Err(error) => Err(format!("{} ({error})", command.get_program().display())),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("what {what} fetches once; now it says: {}", said.trim()))
        }
    }
}
