//! Detects whether something was built from exactly these sources.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::Path;

/// A hash of everything that a result depends on. It is not cryptographic, and can change with a
/// new version of Rust, which only causes a rebuild.
#[derive(Default)]
pub(crate) struct Stamp(DefaultHasher);

impl Stamp {
    pub(crate) fn text(mut self, text: &str) -> Self {
        text.hash(&mut self.0);
        self
    }

    pub(crate) fn file(mut self, path: &Path) -> io::Result<Self> {
        fs::read(path)?.hash(&mut self.0);
        Ok(self)
    }

    /// All files in the folder and below, with their names.
    pub(crate) fn folder(mut self, folder: &Path) -> io::Result<Self> {
        let mut names = fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name()))
            .filter(|name| !name.as_ref().is_ok_and(|name| is_no_source(&name.to_string_lossy())))
            .collect::<io::Result<Vec<_>>>()?;
        // The order of directory entries is undefined.
        names.sort();
        for name in names {
            name.hash(&mut self.0);
            let path = folder.join(name);
            self = if path.is_dir() { self.folder(&path)? } else { self.file(&path)? };
        }
        Ok(self)
    }

    /// Identifies this content; usable as a file name.
    pub(crate) fn finish(self) -> String {
        format!("{:016x}", self.0.finish())
    }
}

/// Files of tools between the sources, which builds do not read.
fn is_no_source(name: &str) -> bool {
    let left_by_tools = ["node_modules", "__pycache__"].contains(&name);
    left_by_tools || name.starts_with('.') || name.ends_with(".wasm") || name.ends_with(".md")
}
