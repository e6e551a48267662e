//! The paths of tasks and manifests in the tasks folder.

use std::path::{Path, PathBuf};

use super::Problem;
use crate::model::{AppName, TaskName, TaskRef};

/// Name of the manifest with the settings of all tasks in a folder.
pub(super) const APP_MANIFEST: &str = "app.toml";

/// Path of a task's own manifest.
pub(super) fn manifest_of(task: &Path) -> PathBuf {
    task.with_extension("toml")
}

/// Path of the manifest of the folder that the task's file is in.
pub(super) fn app_manifest_of(task: &Path) -> PathBuf {
    task.with_file_name(APP_MANIFEST)
}

pub(super) fn is_wasm(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wasm")
}

pub(super) fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

/// Whether the path can be that of a task file or a manifest: at most one folder deep, and not hidden.
pub(super) fn may_count(path: &Path) -> bool {
    let hidden = path.ancestors().any(is_hidden);
    (is_wasm(path) || is_manifest(path)) && path.components().count() <= 2 && !hidden
}

/// Whether the last part of the path is a hidden name. Other programs write their unfinished files under such names.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.'))
}

/// Path of a task's file, relative to the tasks folder. The inverse of [`task_of`].
pub(super) fn path_of(task: &TaskRef) -> PathBuf {
    let file = format!("{}.wasm", task.task);
    if task.app == AppName::default_app() { file.into() } else { Path::new(task.app.as_str()).join(file) }
}

/// The task to which the file at `path` belongs. `app` is the name of its folder, none for the tasks folder itself.
pub(super) fn task_of(app: Option<&str>, path: &Path) -> Result<TaskRef, Problem> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let task = TaskName::parse(&stem).map_err(|_| Problem::Name(stem.into_owned()))?;
    let app = match app {
        None => AppName::default_app(),
        // Otherwise two files could be the same task.
        Some(app) if app == AppName::default_app().as_str() => return Err(Problem::DefaultFolder),
        Some(app) => AppName::parse(app).map_err(|_| Problem::Name(app.to_owned()))?,
    };
    Ok(TaskRef { app, task })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_name() {
        let of = |app, path: &str| task_of(app, Path::new(path)).map(|name| name.to_string());
        assert_eq!(of(None, "a.wasm").unwrap(), "default/a");
        assert_eq!(of(Some("demo"), "demo/long-operation.wasm").unwrap(), "demo/long-operation");
        assert!(of(None, "g h.wasm").is_err());
        assert!(of(Some("bad app"), "a.wasm").is_err());
        assert_eq!(of(Some("default"), "a.wasm"), Err(Problem::DefaultFolder));
        for (name, file) in [("default/a", "a.wasm"), ("demo/b", "demo/b.wasm")] {
            assert_eq!(path_of(&TaskRef::parse_path(name).unwrap()), Path::new(file));
        }
    }
}
