//! The programs of an installed PostgreSQL, and the user who runs them.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders of Debian's packages, one for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Users for the server if this process belongs to root, whom PostgreSQL refuses.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// Where the programs are, and as whom they run.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
    /// Another user and group, if this process belongs to root.
    user: Option<(u32, u32)>,
}

impl Programs {
    /// Those of the newest version, if there is one.
    pub fn find() -> Option<Self> {
        let given = env::var_os("PG_BIN").map(PathBuf::from);
        let path = env::var_os("PATH").unwrap_or_default();
        let folder = given.into_iter().chain(env::split_paths(&path)).chain(debian());
        let folder = folder.into_iter().find(|folder| {
            ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).is_file())
        })?;
        Some(Self { folder, user: is_root().then(unprivileged).flatten() })
    }

    /// A command that runs a program as the user.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = self.as_user(&self.folder.join(program));
        // Settings of whoever runs the tests.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C");
        command
    }

    /// The same for a program that is not PostgreSQL's.
    pub(crate) fn as_user(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// Gives the user a file or a folder.
    pub(crate) fn give(&self, path: &Path) {
        if let Some((user, group)) = self.user {
            std::os::unix::fs::chown(path, Some(user), Some(group)).expect("root may give files away");
        }
    }

    /// A folder for temporary files that the user reaches.
    pub(crate) fn temporary_folder(&self) -> PathBuf {
        let folder = env::temp_dir();
        let is_open = |folder: &Path| {
            fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
        };
        if self.user.is_none() || folder.ancestors().all(is_open) { folder } else { "/tmp".into() }
    }
}

/// Debian's folders, the newest version first.
fn debian() -> Vec<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let number = |name: &str| name.parse::<u32>().ok();
    let mut versions: Vec<u32> =
        versions.filter_map(|entry| number(&entry.file_name().to_string_lossy())).collect();
    versions.sort_unstable();
    versions.iter().rev().map(|version| Path::new(DEBIAN).join(version.to_string()).join("bin")).collect()
}

fn is_root() -> bool {
    // The folder of this process belongs to its user; where there is none, nobody runs tests as root.
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// The first of the users who exists, by number, and the user's group.
fn unprivileged() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    USERS.iter().find_map(|wanted| {
        let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = lines.find(|fields| fields.first() == Some(wanted))?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    })
}
