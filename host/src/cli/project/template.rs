//! New projects: the template of a language and its SDK.

use std::fs;
use std::path::Path;

use super::{Files, Language};
use crate::cli::Exit;

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Placeholder for the name of the project in templates.
const NAME: &str = "{{name}}";
/// The workspace of the Rust SDK, from which the SDK inherits versions.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

pub(super) fn write(language: &Language, name: &str, folder: &Path) -> Result<(), Exit> {
    if language.sdk.is_empty() {
        return Err(Exit::Usage(format!("this streamtask was built without the SDK of {}", language.name)));
    }
    let cannot = |error: std::io::Error| Exit::Usage(format!("can't write to {}: {error}", folder.display()));
    let is_used = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(cannot(error)),
    };
    if is_used {
        return Err(Exit::Usage(format!("{} is not empty", folder.display())));
    }
    for (path, content) in language.template {
        let text = String::from_utf8_lossy(content).replace(NAME, name);
        put(&folder.join(place(path, name)), text.as_bytes()).map_err(cannot)?;
    }
    for (path, content) in language.sdk {
        let target = folder.join("sdk").join(path);
        match *path {
            "Cargo.toml" | "macros/Cargo.toml" => {
                put(&target, standalone(content).as_bytes()).map_err(cannot)?
            }
            _ => put(&target, content).map_err(cannot)?,
        }
    }
    Ok(())
}

fn put(path: &Path, content: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, content)
}

/// The path of a template file in a project. Some files are renamed: tools would take the template for a project.
fn place(path: &str, name: &str) -> String {
    match path {
        "NAME.toml" => format!("{name}.toml"),
        "gitignore" => ".gitignore".to_owned(),
        other => other.trim_end_matches(".in").to_owned(),
    }
}

/// Turns the manifest of a package of this workspace into one that stands alone: inherited values are written out.
fn standalone(manifest: &[u8]) -> String {
    let workspace: toml::Table = WORKSPACE.parse().expect("cargo has parsed it");
    let mut manifest: toml::Table =
        std::str::from_utf8(manifest).ok().and_then(|text| text.parse().ok()).expect("cargo has parsed it");
    let workspace = &workspace["workspace"];
    if let Some(package) = manifest.get_mut("package").and_then(toml::Value::as_table_mut) {
        for (key, value) in package.iter_mut() {
            if is_inherited(value) {
                *value = workspace["package"][key].clone();
            }
        }
    }
    // Style rules of this workspace only.
    manifest.remove("lints");
    manifest.remove("dev-dependencies");
    write_out_dependencies(&mut manifest, &workspace["dependencies"]);
    manifest.to_string()
}

/// Writes out the dependencies in a table and its subtables, such as those of one target.
fn write_out_dependencies(table: &mut toml::Table, workspace: &toml::Value) {
    for (key, value) in table.iter_mut() {
        let Some(inner) = value.as_table_mut() else { continue };
        if key != "dependencies" {
            write_out_dependencies(inner, workspace);
            continue;
        }
        for (name, dependency) in inner.iter_mut() {
            if name == "streamtask-sdk-macros" {
                *dependency =
                    toml::Value::Table(toml::Table::from_iter([("path".to_owned(), "macros".into())]));
            } else if is_inherited(dependency) {
                *dependency = workspace[name].clone();
            }
        }
    }
}

fn is_inherited(value: &toml::Value) -> bool {
    value.get("workspace").and_then(toml::Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_of_rust_builds_outside_of_this_workspace() {
        for (path, content) in SDK_RUST.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
            let text = standalone(content);
            assert!(!text.contains("workspace"), "{path}: {text}");
            assert!(text.contains("version = \"0.1.0\"") && text.contains("[dependencies"), "{path}: {text}");
        }
        let paths: Vec<&str> = SDK_RUST.iter().map(|(path, _)| *path).collect();
        for path in ["Cargo.toml", "src/lib.rs", "macros/Cargo.toml", "macros/src/lib.rs", "wit/task.wit"] {
            assert!(paths.contains(&path), "{path}: {paths:?}");
        }
        assert!(!paths.iter().any(|path| path.starts_with("tests/")), "{paths:?}");
    }
}
