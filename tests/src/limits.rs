//! Hosts that the system gives little: limits of a process, and control groups.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The same command, after `prelude` was done by a shell in its place.
pub fn after(prelude: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!(r#"{prelude} && exec "$0" "$@""#)]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// A control group of its own; removed with this value.
pub struct Group {
    folder: PathBuf,
    limit: &'static str,
}

impl Group {
    /// For so many threads and processes; none if groups can't be made here.
    pub fn of_threads(limit: u32) -> Option<Self> {
        Self::new("pids", ["pids.max", "pids.max"], &limit.to_string())
    }

    /// For so much memory; none if groups can't be made here.
    pub fn of_memory(mib: u64) -> Option<Self> {
        Self::new("memory", ["memory.limit_in_bytes", "memory.max"], &(mib << 20).to_string())
    }

    /// The limit's file has another name in version 1 of control groups and in version 2.
    fn new(controller: &str, limits: [&'static str; 2], value: &str) -> Option<Self> {
        static NTH: AtomicU32 = AtomicU32::new(0);
        let nth = NTH.fetch_add(1, Ordering::Relaxed);
        let name = format!("streamtask-test-{}-{nth}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        [(root.join(controller), limits[0]), (root.to_owned(), limits[1])].into_iter().find_map(
            |(parent, limit)| {
                if parent == root {
                    let _ = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
                }
                let group = Self { folder: parent.join(&name), limit };
                fs::create_dir(&group.folder).ok()?;
                // Without the controller there is no such file.
                let has_limit = group.folder.join(limit).exists();
                (has_limit && group.set(value).is_ok()).then_some(group)
            },
        )
    }

    /// The same command, as a member of the group.
    pub fn with(&self, command: &Command) -> Command {
        after(&format!("echo $$ > {}/cgroup.procs", self.folder.display()), command)
    }

    /// Changes the limit.
    pub fn set(&self, value: &str) -> std::io::Result<()> {
        fs::write(self.folder.join(self.limit), value)
    }

    /// How many threads and processes are in it; of a group of threads.
    pub fn threads(&self) -> u32 {
        let current = fs::read_to_string(self.folder.join("pids.current")).expect("a group of threads");
        current.trim().parse().expect("a number")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Not while something is in it: then a test has failed.
        let _ = fs::remove_dir(&self.folder);
    }
}
