//! Python, built by componentize-py through the SDK.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::template::{SDK_PYTHON, TEMPLATE_PYTHON};
use super::{Language, Project, Recipe, Unbuildable, output_of};

pub(super) static LANGUAGE: Language = Language {
    name: "python",
    markers: &["pyproject.toml", "requirements.txt"],
    outputs: &["__pycache__"],
    template: TEMPLATE_PYTHON,
    sdk: SDK_PYTHON,
    read_name,
    recipe,
};

fn read_name(folder: &Path) -> Option<String> {
    let project: toml::Table = std::fs::read_to_string(folder.join("pyproject.toml")).ok()?.parse().ok()?;
    project.get("project")?.get("name")?.as_str().map(str::to_owned)
}

fn recipe(project: &Project) -> Result<Recipe, Unbuildable> {
    let folder = &project.folder;
    let local = folder.join(".venv/bin/python");
    let python = if local.is_file() { local } else { PathBuf::from("python3") };
    if output_of(&python, &["-c", "import sys; sys.exit(sys.version_info < (3, 10))"], folder).is_none() {
        return Err("Python 3.10 or newer is missing: install it from https://www.python.org, or the packages python3 and \
                    python3-venv of Debian and Ubuntu"
            .into());
    }
    if output_of(&python, &["-c", "import componentize_py"], folder).is_none() {
        return Err("componentize-py is missing: run python3 -m venv .venv && .venv/bin/pip install -r \
                    requirements.txt"
            .into());
    }
    let mut command = Command::new(&python);
    command.args(["-m", "streamtask", "build"]).arg(source(folder)?).arg("--output").arg(project.component());
    if folder.join("sdk/streamtask").is_dir() {
        command.env("PYTHONPATH", folder.join("sdk"));
    }
    Ok(Recipe { command, output: project.component() })
}

/// `task.py`, or else the only Python file that is not a test.
fn source(folder: &Path) -> Result<PathBuf, Unbuildable> {
    let task = PathBuf::from("task.py");
    if folder.join(&task).is_file() {
        return Ok(task);
    }
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut sources = names.filter(|name| name.ends_with(".py") && !name.starts_with("test_"));
    match (sources.next(), sources.next()) {
        (Some(only), None) => Ok(only.into()),
        _ => {
            Err(format!("can't tell which file in {} is the task: name it task.py", folder.display()).into())
        }
    }
}
