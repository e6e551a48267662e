//! The path of the running program, which is also the compiler.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{self, Path, PathBuf};

/// A link of the system to the running program, valid even if its file has been replaced or removed.
const LINK: &str = "/proc/self/exe";

/// The path for starting the running program again. Without `/proc`, the program is searched like in a shell, so this
/// must be called before the process changes its folder.
pub(crate) fn own_program() -> PathBuf {
    if fs::symlink_metadata(LINK).is_ok() {
        return LINK.into();
    }
    let name = env::args_os().next().unwrap_or_default();
    // If it is not found, the attempt to start it reports the error.
    find(&name, env::var_os("PATH").as_deref()).unwrap_or_else(|| LINK.into())
}

fn find(name: &OsStr, folders: Option<&OsStr>) -> Option<PathBuf> {
    if Path::new(name).components().count() > 1 {
        return path::absolute(name).ok().filter(|path| path.is_file());
    }
    env::split_paths(folders?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_how_it_was_called() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("streamtask");
        fs::write(&program, "").unwrap();
        let elsewhere = env::join_paths(["/nonexistent".as_ref(), folder.path()]).unwrap();
        assert_eq!(find(program.as_os_str(), None), Some(program.clone()));
        assert_eq!(find("streamtask".as_ref(), Some(&elsewhere)), Some(program));
        assert_eq!(find("other".as_ref(), Some(&elsewhere)), None);
        assert_eq!(find("/nonexistent/streamtask".as_ref(), Some(&elsewhere)), None);
    }
}
