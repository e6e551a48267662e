//! Private files and folders of the host: data of runs, and executable code.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Mode of a folder that only its owner may use.
const FOLDER_MODE: u32 = 0o700;
/// Mode of a file that only its owner may read and write.
const FILE_MODE: u32 = 0o600;
/// Permissions of others than the owner, in a mode.
const OTHERS: u32 = 0o077;
/// Write permissions of others than the owner, in a mode.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Makes a private folder with its parents. An existing one becomes private if it belongs to this user.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
    close_to_others(path, FOLDER_MODE);
    Ok(())
}

/// Makes a private file, if it does not exist. An existing one becomes private if it belongs to this user, without being
/// opened: closing a database file would release the locks that the process has on it.
pub fn make_private_file(path: &Path) -> io::Result<()> {
    match private_options().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => close_private_file(path),
        made => drop(made?),
    }
    Ok(())
}

/// Makes an existing file private if it belongs to this user.
pub fn close_private_file(path: &Path) {
    close_to_others(path, FILE_MODE);
}

/// Options for creating a private file.
pub fn private_options() -> OpenOptions {
    let mut options = File::options();
    options.write(true).mode(FILE_MODE);
    options
}

/// Whether only this user and root can have written to the file.
pub fn is_ours_alone(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && !is_writable_by_others(metadata)
}

/// Whether others than the owner may write to the file.
pub fn is_writable_by_others(metadata: &Metadata) -> bool {
    metadata.mode() & WRITABLE_BY_OTHERS != 0
}

/// Leaves files of other owners unchanged.
fn close_to_others(path: &Path, mode: u32) {
    let is_open = |metadata: &Metadata| metadata.mode() & OTHERS != 0;
    if fs::metadata(path).is_ok_and(|metadata| is_open(&metadata)) {
        let _ = fs::set_permissions(path, Permissions::from_mode(mode));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn what_is_made_and_what_was_there_is_for_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let (folder, file) = (root.path().join("a/b"), root.path().join("a/b/file"));
        make_private_folder(&folder).unwrap();
        make_private_file(&file).unwrap();
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
        fs::write(&file, "kept").unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o775)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
        assert!(!is_ours_alone(&fs::metadata(&file).unwrap()));
        make_private_folder(&folder).unwrap();
        make_private_file(&file).unwrap();
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
        assert_eq!(fs::read(&file).unwrap(), b"kept");
        assert!(is_ours_alone(&fs::metadata(&file).unwrap()));
    }
}
