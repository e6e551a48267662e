//! The tasks folder, the data folder with its database and code cache, and the disk under them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use rustix::fs::{Access, StatVfs, StatVfsMountFlags, access, statvfs};
use rustix::io::Errno;

use super::finding::Finding;
use crate::app::{DatabaseState, RESERVE_BYTES, database, database_files};
use crate::cli::shell::quoted;
use crate::config::Config;
use crate::process::is_writable_by_others;

/// Free space below which an operator should act: some days of events of a busy host.
const LITTLE_SPACE: u64 = 1 << 30;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let data = existing(&config.data);
    let cache = config.cache.clone().unwrap_or_else(|| config.data.join("cache"));
    let mut findings = vec![tasks(&config.tasks), data_folder(&config.data, &data)];
    if config.data.is_dir() {
        findings.push(of_database(&config.data));
    }
    findings.push(code_cache(&existing(&cache)));
    findings.push(disk(&data));
    findings
}

fn tasks(folder: &Path) -> Finding {
    const NAME: &str = "tasks folder";
    let shown = folder.display();
    let unusable = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            Finding::problem(NAME, format!("{shown} does not exist"), format!("mkdir -p {}", quoted(folder)))
        }
        io::ErrorKind::PermissionDenied => Finding::problem(
            NAME,
            format!("this user can't read {shown}"),
            format!("sudo chown -R \"$USER\" {}", quoted(folder)),
        ),
        _ => Finding::problem(NAME, format!("can't read {shown}: {error}"), "--tasks DIR names another"),
    };
    let files = match count_tasks(folder, true) {
        Ok(files) => files,
        Err(error) => return unusable(&error),
    };
    if fs::metadata(folder).is_ok_and(|metadata| is_writable_by_others(&metadata)) {
        return Finding::warning(
            NAME,
            format!("other users can write to {shown}, and so execute any code in the host"),
            format!("chmod go-w {}", quoted(folder)),
        );
    }
    match files {
        0 => {
            Finding::ok(NAME, format!("{shown} has no task yet; `streamtask new` creates a project for one"))
        }
        1 => Finding::ok(NAME, format!("{shown} has 1 task file")),
        _ => Finding::ok(NAME, format!("{shown} has {files} task files")),
    }
}

/// The number of task files in a folder, and in the folders of apps within it.
fn count_tasks(folder: &Path, with_apps: bool) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_hidden {
            continue;
        }
        if path.is_dir() {
            if with_apps {
                count += count_tasks(&path, false).unwrap_or_default();
            }
        } else if path.extension().is_some_and(|extension| extension == "wasm") {
            count += 1;
        }
    }
    Ok(count)
}

/// `nearest`: the folder itself, or the one in which it would be created.
fn data_folder(folder: &Path, nearest: &Path) -> Finding {
    const NAME: &str = "data folder";
    let shown = folder.display();
    if !nearest.is_dir() {
        return Finding::problem(
            NAME,
            format!("{} is not a folder", nearest.display()),
            "--data DIR names another",
        );
    }
    if let Some(problem) = denied(NAME, nearest, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        return problem;
    }
    if nearest != folder {
        return Finding::ok(NAME, format!("{shown} does not exist yet; the host creates it"));
    }
    if fs::metadata(folder).is_ok_and(|metadata| is_writable_by_others(&metadata)) {
        return Finding::warning(
            NAME,
            format!("other users can write to {shown}, and so change the data of all runs"),
            format!("chmod 700 {}", quoted(folder)),
        );
    }
    Finding::ok(NAME, format!("{shown} can be written"))
}

/// The problem of a path in the data folder to which this user has no such access.
fn denied(name: &'static str, path: &Path, wanted: Access) -> Option<Finding> {
    let error = access(path, wanted).err()?;
    let (shown, folder) = (path.display(), quoted(path));
    let problem = |found, remedy| Some(Finding::problem(name, found, remedy));
    match error {
        Errno::ROFS => problem(
            format!("{shown} is on a file system that is mounted read-only"),
            format!("--data DIR, or sudo mount -o remount,rw \"$(findmnt -no TARGET -T {folder})\""),
        ),
        Errno::ACCESS | Errno::PERM => problem(
            format!("this user can't write to {shown}"),
            format!("sudo chown -R \"$USER\" {folder}, or --data DIR"),
        ),
        error => problem(
            format!("can't write to {shown}: {}", io::Error::from(error)),
            "--data DIR names another folder".to_owned(),
        ),
    }
}

fn of_database(data: &Path) -> Finding {
    const NAME: &str = "database";
    let files = database_files(data).into_iter().filter(|file| file.exists());
    if let Some(problem) =
        files.filter_map(|file| denied(NAME, &file, Access::READ_OK | Access::WRITE_OK)).next()
    {
        return problem;
    }
    match database(data) {
        Ok(DatabaseState::Missing) => Finding::ok(NAME, "there is none yet; the host creates it"),
        Ok(DatabaseState::InUse) => Finding::ok(NAME, "a running host has it open"),
        Ok(DatabaseState::Ready) => Finding::ok(NAME, "it can be opened"),
        Ok(DatabaseState::WithLog) => {
            Finding::ok(NAME, "a write-ahead log is beside it; the next start reads it")
        }
        Err(error) => {
            Finding::problem(NAME, format!("it can't be opened: {error}"), "--data DIR names another folder")
        }
    }
}

fn code_cache(nearest: &Path) -> Finding {
    const NAME: &str = "code cache";
    match statvfs(nearest) {
        Ok(system) if system.f_flag.contains(StatVfsMountFlags::NOEXEC) => Finding::warning(
            NAME,
            format!(
                "{} is on a file system mounted `noexec`, so compiled code is copied into memory, which takes more of it",
                nearest.display()
            ),
            format!("sudo mount -o remount,exec \"$(findmnt -no TARGET -T {})\"", quoted(nearest)),
        ),
        _ => Finding::ok(NAME, "compiled code can be executed from it"),
    }
}

fn disk(nearest: &Path) -> Finding {
    const NAME: &str = "disk";
    let Ok(system) = statvfs(nearest) else {
        return Finding::warning(NAME, "its free space can't be read", format!("df -h {}", quoted(nearest)));
    };
    let StatVfs { f_bavail, f_frsize, f_files, f_favail, .. } = system;
    let free = f_bavail.saturating_mul(f_frsize);
    let (found, shown) = (format!("{} free", ByteSize(free).display().iec()), quoted(nearest));
    if f_files > 0 && f_favail == 0 {
        return Finding::problem(NAME, "no inodes are free", format!("df -i {shown}"));
    }
    match free {
        // Twice: for the reserve that removes runs from a full disk, and for the log of the database.
        free if free < 2 * RESERVE_BYTES => Finding::problem(
            NAME,
            format!("{found}, too little to set aside what removes runs from a full disk"),
            format!("free some space, see du -xh {shown} | sort -h | tail"),
        ),
        free if free < LITTLE_SPACE => Finding::warning(NAME, found, "streamtask prune --older-than 7d"),
        _ => Finding::ok(NAME, found),
    }
}

/// The path, or the nearest folder above it that exists.
fn existing(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if whole.exists() {
        return path.to_owned();
    }
    whole.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_missing_tasks_folder_is_a_problem_with_the_command_that_makes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my tasks");
        let finding = tasks(&path);
        assert_eq!(finding.level, Level::Problem);
        assert_eq!(finding.remedy, Some(format!("mkdir -p '{}'", path.display())));
        fs::create_dir_all(path.join("demo")).unwrap();
        for name in ["a.wasm", "demo/b.wasm", "demo/b.toml", ".c.wasm"] {
            fs::write(path.join(name), "").unwrap();
        }
        assert_eq!(count_tasks(&path, true).unwrap(), 2);
    }

    #[test]
    fn a_data_folder_is_judged_by_where_it_would_be_created() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/data");
        assert_eq!(existing(&data), folder.path());
        assert_eq!(data_folder(&data, &existing(&data)).level, Level::Ok);
        fs::write(folder.path().join("a"), "").unwrap();
        assert_eq!(data_folder(&data, &existing(&data)).level, Level::Problem);
        assert!(!data.exists());
    }
}
