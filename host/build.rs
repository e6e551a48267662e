//! Lists what the program carries: what `streamtask new` writes into a project (the templates,
//! and the SDK of each language with which a project builds offline), and the page. What is
//! in a folder is embedded, so a new file needs nothing here.
//!
//! Not by the macro of `include_dir` or `rust-embed`: these can't make Cargo build again when a file is added, and would
//! search what the tools of the SDKs install.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// Folders that a user of an SDK does not need (among them `wit/async`, for which there is
/// no SDK), or that tools made.
const LEFT_OUT: &[&str] =
    &["tests", "examples", "node_modules", "target", "build.tmp", "__pycache__", "async"];
/// Ends of the names of files that a user needs. Whatever else lies there is nobody's.
const TAKEN: &[&str] = &[
    ".rs", ".toml", ".wit", ".py", "py.typed", ".js", ".ts", ".json", ".go", "go.mod", ".c", ".h", ".mk",
    ".o",
];
/// Ends of the names of files that are only about the SDK itself.
const OWN: &[&str] = &["_test.go", "package-lock.json"];

/// Where the host runs: it reads `/proc`, starts its compiler from a file in memory, and sets up sockets and threads
/// by calls of Linux.
const SYSTEM: &str = "linux";
/// Processors for which the host is checked.
const PROCESSORS: &[&str] = &["x86_64", "aarch64"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    refuse_other_systems();
    name_version();
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut code = String::new();
    for language in ["rust", "python", "js", "go", "c"] {
        let folder = package.join("../guest-sdk").join(language);
        list(&mut code, &format!("SDK_{}", language.to_uppercase()), &folder, true)?;
    }
    for language in ["rust", "python", "javascript", "typescript", "go", "c", "cpp"] {
        let folder = package.join("templates").join(language);
        list(&mut code, &format!("TEMPLATE_{}", language.to_uppercase()), &folder, false)?;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("embedded.rs"), code)?;
    let mut page = String::new();
    list(&mut page, "PAGE", &package.join("../web/page/assets"), false)?;
    fs::write(out.join("page.rs"), page)
}

/// Before the compiler meets the first call that is missing there.
fn refuse_other_systems() {
    let target = |name| env::var(name).unwrap_or_default();
    let (system, processor) = (target("CARGO_CFG_TARGET_OS"), target("CARGO_CFG_TARGET_ARCH"));
    if system != SYSTEM || !PROCESSORS.contains(&processor.as_str()) {
        println!(
            "cargo::error=the host runs on Linux (x86-64 and aarch64), not on {system} ({processor}); on other systems, \
             run it in a container or a virtual machine"
        );
        std::process::exit(1);
    }
}

/// The version, and in a build for others the commit: a build at each change would otherwise be one at each commit too.
fn name_version() {
    let mut version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        let git = |arguments: &[&str]| {
            let answer = Command::new("git").args(arguments).output().ok()?;
            let text = String::from_utf8(answer.stdout).ok()?.trim().to_owned();
            (answer.status.success() && !text.is_empty()).then_some(text)
        };
        // A package without its repository has none.
        if let Some(commit) = git(&["show", "--no-patch", "--format=%h %cs", "HEAD"]) {
            version = format!("{version} ({commit})");
        }
        if let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]) {
            println!("cargo::rerun-if-changed={log}");
        }
    }
    println!("cargo::rustc-env=STREAMTASK_VERSION={version}");
}

/// A constant with the path and the content of each file.
fn list(code: &mut String, name: &str, folder: &Path, is_sdk: bool) -> io::Result<()> {
    let mut files = Vec::new();
    if folder.is_dir() {
        walk(folder, folder, is_sdk, &mut files)?;
    } else if let Some(parent) = folder.parent() {
        // Cargo takes a path that is not there for one that always changes.
        println!("cargo::rerun-if-changed={}", parent.display());
    }
    if !is_sdk {
        // Not so the folder of an SDK: it has what its own tools make.
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    files.sort();
    let _ = writeln!(code, "pub(super) const {name}: Files = &[");
    for file in files {
        let path = folder.join(&file);
        println!("cargo::rerun-if-changed={}", path.display());
        let _ = writeln!(code, "    ({:?}, include_bytes!({:?})),", file.display(), path.display());
    }
    let _ = writeln!(code, "];");
    Ok(())
}

/// Follows links: the contract lies elsewhere.
fn walk(root: &Path, folder: &Path, is_sdk: bool, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ends_with = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if path.is_dir() {
            if !is_sdk || (!name.starts_with('.') && !LEFT_OUT.contains(&name.as_str())) {
                walk(root, &path, is_sdk, files)?;
            }
        } else if !is_sdk || (ends_with(TAKEN) && !ends_with(OWN)) {
            files.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
        }
    }
    Ok(())
}
