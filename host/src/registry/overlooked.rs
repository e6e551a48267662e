//! Files that look like tasks and are none by where they lie or how they are called, so that the log can say why.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use super::paths::is_wasm;

/// Most that are kept; whoever reads a few of them knows what is wrong.
const MAX_PATHS: usize = 20;
/// Most folders within folders of apps that one look reads, and most names that it reads of each: they may be
/// anything, also all that some tool has installed.
const MAX_FOLDERS: usize = 50;
const MAX_NAMES: usize = 1_000;

/// What one look at the tasks folder passed over.
#[derive(Default)]
pub(super) struct Overlooked {
    paths: BTreeSet<PathBuf>,
    folders: usize,
}

impl Overlooked {
    /// Notes a file whose name ends in `.WASM` or the like.
    pub(super) fn add_file(&mut self, path: &Path) {
        if is_misspelt(path) {
            self.add(path.to_owned());
        }
    }

    /// Notes task files in a folder that lies in the folder of an app, if this is one.
    pub(super) fn add_folder(&mut self, root: &Path, path: &Path, entry: &DirEntry) {
        let is_shown = !entry.file_name().as_encoded_bytes().starts_with(b".") && !is_wasm(path);
        if !is_shown || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            return;
        }
        self.folders += 1;
        if self.folders > MAX_FOLDERS {
            return;
        }
        // An unreadable folder has no tasks either way.
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
    fn what_looks_like_a_task_and_lies_elsewhere_is_overlooked() {
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
