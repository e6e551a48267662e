//! The host's own source, as the tests that read it see it.

use std::fs;
use std::path::{Path, PathBuf};

/// Every file of the host, by its path within `src`.
pub(crate) fn sources() -> Vec<(String, String)> {
    let sources = sources_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 20, "this is not the source");
    sources
}

/// Every Rust file below a folder, by its path within it.
pub(crate) fn sources_in(root: &Path) -> Vec<(String, String)> {
    files_in(root, &["rs"])
}

/// Every file below a folder with one of the extensions, by its path within it; without installed packages.
pub(crate) fn files_in(root: &Path, extensions: &[&str]) -> Vec<(String, String)> {
    let wanted = |path: &Path| path.extension().is_some_and(|own| extensions.iter().any(|one| own == *one));
    let (mut folders, mut sources) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.extend((!path.ends_with("node_modules")).then_some(path));
            } else if wanted(&path) {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                sources.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!sources.is_empty(), "{}", root.display());
    sources
}

/// Reads a path, or the tree of paths that a `use` is, and returns where it ends.
pub(crate) fn read_path(
    tokens: &[String],
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    let token = |at: usize| tokens.get(at).map_or("", String::as_str);
    let length = prefix.len();
    if token(at) == "{" {
        at += 1;
        while !["}", ""].contains(&token(at)) {
            at = read_path(tokens, at, prefix, found);
            // `as name`, or the comma.
            while ![",", "}", ""].contains(&token(at)) {
                at += 1;
            }
            at += usize::from(token(at) == ",");
        }
        return at + 1;
    }
    prefix.push(token(at).to_owned());
    let more = token(at + 1) == "::" && (is_name(token(at + 2)) || ["{", "*"].contains(&token(at + 2)));
    at = if more {
        read_path(tokens, at + 2, prefix, found)
    } else {
        found.push(prefix.clone());
        at + 1
    };
    prefix.truncate(length);
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::` and single signs; without comments, and without what is in quotes.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let length = if let Some(length) = skipped(rest) {
            length
        } else if is_name(rest) {
            let end = rest.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            end
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the comment or literal that `rest` begins with.
fn skipped(rest: &str) -> Option<usize> {
    let past = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return Some(past("\n", 0));
    }
    if rest.starts_with("/*") {
        return Some(past("*/", 2));
    }
    let raw = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r');
    if let Some(raw) = raw.filter(|raw| raw.trim_start_matches('#').starts_with('"')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let opening = rest.len() - raw.len() + hashes + 1;
        return Some(past(&format!("\"{}", "#".repeat(hashes)), opening));
    }
    let quoted = rest.strip_prefix('b').unwrap_or(rest);
    let before = rest.len() - quoted.len();
    if quoted.starts_with('"') {
        return Some(before + quoted_length(quoted, '"'));
    }
    // A character, and not the name of a lifetime.
    let mut signs = quoted.strip_prefix('\'')?.chars();
    let first = signs.next()?;
    (first == '\\' || signs.next() == Some('\'')).then(|| before + quoted_length(quoted, '\''))
}

/// The length of a literal in quotes, in which a backslash hides the next sign.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut hidden = false;
    for (at, sign) in text.char_indices().skip(1) {
        if !hidden && sign == quote {
            return at + 1;
        }
        hidden = !hidden && sign == '\\';
    }
    text.len()
}
