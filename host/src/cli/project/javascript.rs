//! JavaScript and TypeScript: npm packages with a script `build` that creates the task.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use super::template::{SDK_JS, TEMPLATE_JAVASCRIPT, TEMPLATE_TYPESCRIPT};
use super::{Language, Project, Recipe, Unbuildable, output_of};

/// The oldest version that the compiler supports.
const NODE: (u32, u32) = (20, 19);

pub(super) static JAVASCRIPT: Language = Language {
    name: "javascript",
    markers: &["package.json"],
    outputs: &["node_modules", "package-lock.json", "dist"],
    template: TEMPLATE_JAVASCRIPT,
    sdk: SDK_JS,
    read_name,
    recipe,
};

pub(super) static TYPESCRIPT: Language =
    Language { name: "typescript", markers: &["tsconfig.json"], template: TEMPLATE_TYPESCRIPT, ..JAVASCRIPT };

fn package(folder: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(folder.join("package.json")).ok()?).ok()
}

fn read_name(folder: &Path) -> Option<String> {
    package(folder)?["name"].as_str().map(str::to_owned)
}

fn recipe(project: &Project) -> Result<Recipe, Unbuildable> {
    let folder = &project.folder;
    let version = output_of("node", &["--version"], folder).and_then(|version| major_and_minor(&version));
    if version.is_none_or(|version| version < NODE) || output_of("npm", &["--version"], folder).is_none() {
        let (major, minor) = NODE;
        return Err(format!(
            "Node.js {major}.{minor} or newer with npm is missing: install it from https://nodejs.org"
        )
        .into());
    }
    if package(folder).is_none_or(|package| !package["scripts"]["build"].is_string()) {
        return Err("package.json has no script `build`".into());
    }
    if !folder.join("node_modules").is_dir() {
        return Err("the npm packages are missing: run npm install".into());
    }
    let mut command = Command::new("npm");
    command.args(["run", "--silent", "build"]);
    Ok(Recipe { command, output: project.component() })
}

/// The major and minor number of a version such as `v22.12.0`.
fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix('v')?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}
