//! Go, built by its standard tool for WASI preview 1.

use std::path::Path;

use tokio::process::Command;

use super::template::{SDK_GO, TEMPLATE_GO};
use super::{Language, Project, Recipe, Unbuildable, output_of};

/// The oldest version that supports `GOOS=wasip1`.
const GO: (u32, u32) = (1, 21);

pub(super) static LANGUAGE: Language = Language {
    name: "go",
    markers: &["go.mod"],
    outputs: &["go.sum"],
    template: TEMPLATE_GO,
    sdk: SDK_GO,
    read_name,
    recipe,
};

/// The last part of the module path.
fn read_name(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("go.mod")).ok()?;
    let module = text.lines().find_map(|line| line.strip_prefix("module "))?;
    module.trim().rsplit('/').next().map(str::to_owned)
}

fn recipe(project: &Project) -> Result<Recipe, Unbuildable> {
    let version =
        output_of("go", &["version"], &project.folder).and_then(|version| major_and_minor(&version));
    if version.is_none_or(|version| version < GO) {
        let (major, minor) = GO;
        return Err(
            format!("Go {major}.{minor} or newer is missing: install it from https://go.dev/dl").into()
        );
    }
    let mut command = Command::new("go");
    command.args(["build", "-o"]).arg(project.component()).arg(".");
    command.env("GOOS", "wasip1").env("GOARCH", "wasm");
    Ok(Recipe { command, output: project.component() })
}

/// The version in a line such as `go version go1.23.4 linux/amd64`, `… go1.28rc1 …` or `… devel go1.28-5a2b7f …`.
fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let version = version.split(' ').skip(2).find_map(|word| word.strip_prefix("go"))?;
    let mut parts = version.split('.').map(|part| {
        let digits = part.find(|character: char| !character.is_ascii_digit()).unwrap_or(part.len());
        part[..digits].parse().ok()
    });
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_release_candidates_and_source_builds_are_found() {
        assert_eq!(major_and_minor("go version go1.23.4 linux/amd64"), Some((1, 23)));
        assert_eq!(major_and_minor("go version go1.28rc1 linux/amd64"), Some((1, 28)));
        assert_eq!(major_and_minor("go version go1.22beta1 darwin/arm64"), Some((1, 22)));
        assert_eq!(
            major_and_minor("go version devel go1.28-5a2b7f Mon Jan 1 00:00:00 2026 +0000 linux/amd64"),
            Some((1, 28))
        );
        assert_eq!(major_and_minor("something else"), None);
    }
}
