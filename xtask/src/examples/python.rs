//! Examples in Python: NAME.py, and in requirements.txt the compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Example, Problem, cache};
use crate::process::{ask, run_quietly};
use crate::stamp::Stamp;

/// A result depends on what is written here too.
pub(super) const RECIPE: &str = include_str!("python.rs");

const TOOL: &str = "Python 3.9 or newer with venv: from https://www.python.org, or as the packages \
                    `python3` and `python3-venv` of Debian and Ubuntu";

/// What the script `componentize-py` does. The script itself works only in the folder for
/// which it was installed, and a folder is moved at times.
const COMPILER: &str = "import sys, componentize_py; sys.exit(componentize_py.script())";

/// Fails if an interpreter is too old, or without the parts that make a virtual
/// environment, which Debian leaves out.
const IS_FIT: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))";

pub(super) fn build(example: &Example, component: &Path) -> Result<(), Problem> {
    let tools = tools(example)?;
    eprintln!("{}: compiling", example.name);
    // As after `source bin/activate`: else it looks for packages wherever `python3` has them.
    let mut compile = Command::new(interpreter(&tools));
    compile.args(["-c", COMPILER]).env("VIRTUAL_ENV", &tools).current_dir(&example.folder);
    compile.args(["--wit-path", "../../wit", "--world", "described-task", "componentize"]);
    compile.arg(example.name.replace('-', "_")).arg("--output").arg(component);
    Ok(run_quietly(&mut compile)?)
}

/// A virtual environment with what the example requires; shared by all that
/// require the same.
fn tools(example: &Example) -> Result<PathBuf, Problem> {
    let requirements = example.folder.join("requirements.txt");
    let folder = cache().join(format!("python-{}", Stamp::default().file(&requirements)?.finish()));
    // Written last, so half an environment does not count. Nor does one whose Python was removed.
    let complete = folder.join("complete");
    if complete.is_file() && ask(Command::new(interpreter(&folder)).args(["-c", IS_FIT])).is_some() {
        return Ok(folder);
    }
    let python = ["python3", "python"].into_iter().find(|python| {
        let mut question = Command::new(python);
        ask(question.args(["-c", IS_FIT])).is_some()
    });
    let python = python.ok_or(Problem::Missing(TOOL))?;
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
