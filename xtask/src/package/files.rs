//! Files of packages. Their permissions do not depend on the umask.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(super) const PLAIN: u32 = 0o644;
pub(super) const PROGRAM: u32 = 0o755;

/// An empty folder.
pub(super) fn fresh(folder: &Path) -> Result<PathBuf, String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(format!("can't empty {}: {error}", folder.display()));
        }
        _ => {}
    }
    make_folders(folder).map_err(|error| format!("can't make {}: {error}", folder.display()))?;
    Ok(folder.to_owned())
}

/// Writes a file, and the folders to it.
pub(super) fn put(file: &Path, content: impl AsRef<[u8]>, mode: u32) -> Result<(), String> {
    let written = make_folders(file.parent().unwrap_or(file))
        .and_then(|()| fs::write(file, content))
        .and_then(|()| set_mode(file, mode));
    written.map_err(|error| format!("can't write {}: {error}", file.display()))
}

pub(super) fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), String> {
    put(to, read(from)?, mode)
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("can't read {}: {error}", file.display()))
}

pub(super) fn read_text(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("can't read {}: {error}", file.display()))
}

/// All files below a folder, as paths from it, in order.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    walk(folder, folder, &mut files).map_err(|error| format!("can't list {}: {error}", folder.display()))?;
    files.sort();
    Ok(files)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, files)?;
        } else {
            files.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
        }
    }
    Ok(())
}

/// `create_dir_all` takes the umask into account, which may deny others to enter what is installed.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent)?;
    }
    fs::create_dir(folder)?;
    set_mode(folder, PROGRAM)
}

#[cfg(unix)]
fn set_mode(file: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}
