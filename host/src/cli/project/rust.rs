//! Rust, built by cargo.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use super::template::{SDK_RUST, TEMPLATE_RUST};
use super::{Language, Project, Recipe, Unbuildable, output_of};

const TARGET: &str = "wasm32-wasip2";

pub(super) static LANGUAGE: Language = Language {
    name: "rust",
    markers: &["Cargo.toml"],
    outputs: &["target", "Cargo.lock"],
    template: TEMPLATE_RUST,
    sdk: SDK_RUST,
    read_name,
    recipe,
};

fn read_name(folder: &Path) -> Option<String> {
    let manifest: toml::Table = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?.parse().ok()?;
    manifest.get("package")?.get("name")?.as_str().map(str::to_owned)
}

fn recipe(project: &Project) -> Result<Recipe, Unbuildable> {
    let folder = &project.folder;
    if output_of("cargo", &["--version"], folder).is_none() {
        return Err("cargo is missing: install Rust from https://rustup.rs".into());
    }
    let library = output_of("rustc", &["--print", "target-libdir", "--target", TARGET], folder);
    if !library.is_some_and(|library| Path::new(&library).is_dir()) {
        return Err(format!("Rust's target {TARGET} is missing: run rustup target add {TARGET}").into());
    }
    let metadata = output_of("cargo", &["metadata", "--no-deps", "--format-version", "1"], folder);
    let metadata: Value = metadata
        .and_then(|text| serde_json::from_str(&text).ok())
        .ok_or("can't read Cargo.toml: run `cargo metadata` for the reason")?;
    let file = target(&metadata, &folder.join("Cargo.toml")).ok_or(
        "Cargo.toml defines no task: it needs crate-type = [\"cdylib\"] under [lib], or a single binary",
    )?;
    let targets = metadata["target_directory"].as_str().unwrap_or("target");
    let output = Path::new(targets).join(TARGET).join("release").join(file);
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--target", TARGET]);
    Ok(Recipe { command, output })
}

/// Name of the file that cargo compiles the package in `manifest` to.
fn target(metadata: &Value, manifest: &Path) -> Option<String> {
    let mut packages = metadata["packages"].as_array()?.iter();
    let package = packages.find(|package| package["manifest_path"].as_str() == manifest.to_str())?;
    let targets = package["targets"].as_array()?;
    let only_of = |kind: &str| {
        let mut matching = targets.iter().filter(|target| {
            target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|is| is == kind))
        });
        let only = matching.next().filter(|_| matching.next().is_none())?;
        only["name"].as_str().map(str::to_owned)
    };
    // Cargo replaces hyphens in the file name of a library.
    let library = only_of("cdylib").map(|name| name.replace('-', "_"));
    library.or_else(|| only_of("bin")).map(|name| format!("{name}.wasm"))
}
