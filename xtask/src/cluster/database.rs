//! PostgreSQL in a folder of its own, from the machine's packages.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use super::service::Service;
use super::{create, free_port, remove};
use crate::process::run_quietly;

/// The file with the URL of the database, in the folder of the cluster.
pub(super) const URL_FILE: &str = "url";
/// What is missing, and the line that installs it.
const MISSING: &str = "there is no PostgreSQL on this machine: `sudo apt-get install postgresql` installs it on Debian and \
                       Ubuntu; elsewhere, the variable PG_BIN names the folder with `initdb` and `postgres`";
/// Folders of Debian's packages, one for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Users for the server if this process belongs to root, whom PostgreSQL refuses.
const USERS: [&str; 2] = ["postgres", "nobody"];
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// Bytes of the password, before it is written in hexadecimal digits.
const PASSWORD_BYTES: usize = 16;

/// The programs of the newest PostgreSQL, and as whom they run.
pub(super) struct Programs {
    folder: PathBuf,
    /// Another user and group, if this process belongs to root.
    user: Option<(u32, u32)>,
}

impl Programs {
    pub(super) fn find() -> Result<Self, String> {
        let given = env::var_os("PG_BIN").map(PathBuf::from);
        let path = env::var_os("PATH").unwrap_or_default();
        let mut folders = given.into_iter().chain(env::split_paths(&path)).chain(debian());
        let has_programs =
            |folder: &PathBuf| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file());
        let folder = folders.find(has_programs).ok_or(MISSING)?;
        // The folder of this process belongs to its user.
        let is_root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
        let user = match is_root {
            true => Some(unprivileged().ok_or("PostgreSQL refuses root, and there is no other user for it")?),
            false => None,
        };
        Ok(Self { folder, user })
    }

    fn give(&self, path: &Path) -> Result<(), String> {
        let Some((user, group)) = self.user else { return Ok(()) };
        chown(path, Some(user), Some(group)).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        // Settings of whoever runs this.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C");
        command
    }
}

/// The folders of Debian's versions, the newest first.
fn debian() -> Vec<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut versions: Vec<u32> =
        versions.filter_map(|version| version.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.iter().map(|version| Path::new(DEBIAN).join(version.to_string()).join("bin")).collect()
}

/// The first of the users who exists, and the user's group.
fn unprivileged() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    USERS.iter().find_map(|wanted| {
        let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = lines.find(|fields| fields.first() == Some(wanted))?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    })
}

/// A running server. It ends with this process, too.
pub(super) struct Database {
    service: Service,
    folder: PathBuf,
    /// The file with the URL.
    url: PathBuf,
}

impl Database {
    /// Creates a database, starts its server and writes its URL into the folder of the cluster.
    pub(super) fn start(programs: &Programs, cluster: &Path) -> Result<Self, String> {
        let folder = match programs.user {
            None => cluster.join("postgres"),
            // The other user may not reach the folder of this repository.
            Some(_) => env::temp_dir().join(format!("streamtask-cluster-{}", process::id())),
        };
        remove(&folder)?;
        create(&folder)?;
        programs.give(&folder)?;
        let (data, log, password) = (folder.join("data"), folder.join("log"), password()?);
        let secret = folder.join("password");
        write_secret(&secret, &password)?;
        programs.give(&secret)?;
        write_secret(&log, "")?;
        programs.give(&log)?;
        let mut initdb = programs.command("initdb");
        initdb
            .arg("-D")
            .arg(&data)
            .args(["-U", "streamtask", "--auth=scram-sha-256", "--pwfile"])
            .arg(&secret);
        initdb.args(["--encoding=UTF8", "--no-locale", "--no-sync"]).current_dir(&folder);
        if let Some((user, group)) = programs.user {
            initdb.uid(user).gid(group);
        }
        run_quietly(&mut initdb)?;
        let port = free_port()?;
        let mut postgres = programs.command("postgres");
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string()]).current_dir(&folder);
        // No socket: the path of the folder may be too long for one.
        postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        // `fast` shutdown: without waiting for clients.
        let service = Service::start_as(&postgres, "INT", &log, programs.user)?;
        let database = Self { service, url: cluster.join(URL_FILE), folder };
        if let Err(problem) = database.wait_until_ready(&data, &log) {
            database.stop();
            return Err(problem);
        }
        write_secret(
            &database.url,
            &format!("postgres://streamtask:{password}@127.0.0.1:{port}/postgres\n"),
        )?;
        Ok(database)
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server writes its state into the eighth line of a file.
    fn wait_until_ready(&self, data: &Path, log: &Path) -> Result<(), String> {
        let until = Instant::now() + START_TIMEOUT;
        loop {
            let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            if text.lines().nth(7).is_some_and(|state| state.trim() == "ready") {
                return Ok(());
            }
            if self.service.has_ended() || Instant::now() > until {
                let log = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("PostgreSQL does not start; its log:\n{log}"));
            }
            thread::sleep(POLL);
        }
    }

    /// Ends the server and removes its folder.
    pub(super) fn stop(self) {
        self.service.end();
        for path in [&self.folder, &self.url] {
            if let Err(problem) = remove(path) {
                eprintln!("xtask: {problem}");
            }
        }
    }
}

fn password() -> Result<String, String> {
    let mut bytes = [0; PASSWORD_BYTES];
    let random = fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    random.map_err(|error| format!("/dev/urandom: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file that only its owner reads.
fn write_secret(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error| format!("can't write {}: {error}", path.display());
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.map_err(failed)?;
    // It may have been there before, open to others.
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}
