//! Files that look like tasks but have the wrong place or name, for a warning in the log.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use super::paths::is_wasm;

/// Most files that are named in warnings.
const MAX_PATHS: usize = 20;
/// Most folders within app folders that one scan reads, and most names that it reads in each. They may be anything, such as
/// the files of an installed tool.
const MAX_FOLDERS: usize = 50;
const MAX_NAMES: usize = 1_000;

/// Overlooked files of one scan.
#[derive(Default)]
pub(super) struct Overlooked {
    paths: BTreeSet<PathBuf>,
    folders: usize,
}

impl Overlooked {
    /// Adds a file whose extension is `.WASM` or similar.
    pub(super) fn add_file(&mut self, path: &Path) {
        if is_misspelt(path) {
            self.add(path.to_owned());
        }
    }

    /// Adds the task files in `path`, if that is a folder within an app's folder.
    pub(super) fn add_folder(&mut self, root: &Path, path: &Path, entry: &DirEntry) {
        let is_shown = !entry.file_name().as_encoded_bytes().starts_with(b".") && !is_wasm(path);
        if !is_shown || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            return;
        }
        self.folders += 1;
        if self.folders > MAX_FOLDERS {
            return;
        }
        // Tasks in here are not loaded anyway, so an unreadable folder is ignored.
        let entries = fs::read_dir(root.join(path)).into_iter().flatten().take(MAX_NAMES).flatten();
        for entry in entries {
            let path = path.join(entry.file_name());
            if is_wasm(&path) || is_misspelt(&path) {
                self.add(path);
            }
        }
    }

    fn add(&mut self, path: PathBuf) {
        if self.paths.len() < MAX_PATHS {
            self.paths.insert(path);
        }
    }

    pub(super) fn into_paths(self) -> BTreeSet<PathBuf> {
        self.paths
    }
}

fn is_misspelt(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension != "wasm" && extension.eq_ignore_ascii_case("wasm"))
}

#[cfg(test)]
mod tests {
    use super::super::folder;
    use super::*;

    #[test]
    fn a_file_like_a_task_in_the_wrong_place_is_overlooked() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("app/sub")).unwrap();
        fs::create_dir_all(root.join("app/.hidden")).unwrap();
        for path in
            ["a.WASM", "app/b.Wasm", "app/sub/c.wasm", "app/.hidden/d.wasm", "app/e.wasm", "app/f.txt"]
        {
            fs::write(root.join(path), "x").unwrap();
        }
        let scan = folder::scan(root, &|_| false).unwrap();
        let overlooked: Vec<_> = scan.overlooked.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(overlooked, ["a.WASM", "app/b.Wasm", "app/sub/c.wasm"]);
        assert_eq!(scan.tasks.len(), 1);
    }
}
