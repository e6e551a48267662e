//! The host as a separate process, and measurements of it by the system.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// A release build of the host, with the benchmark's guests as `bench/counter`,
/// `bench/probe` and `bench/hostile`.
pub(crate) struct BenchHost {
    /// Its address.
    pub(crate) address: SocketAddr,
    process: Child,
    folder: Option<TempDir>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One of the guests that `cargo xtask bench` has built.
pub(crate) fn guest(workspace: &str, name: &str) -> Vec<u8> {
    let path = root().join(workspace).join(format!("target/wasm32-wasip2/release/{name}.wasm"));
    fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run this by `cargo xtask bench`", path.display()))
}

/// Folders for a host, on the repository's disk: a temporary folder could be in memory, where fsync
/// is free.
pub(crate) fn folder() -> TempDir {
    let target = root().join("target");
    let folder =
        tempfile::Builder::new().prefix("bench-").tempdir_in(target).expect("a writable target folder");
    let tasks = folder.path().join("tasks/bench");
    fs::create_dir_all(&tasks).expect("a writable folder");
    fs::write(tasks.join("counter.wasm"), guest("example-tasks", "counter")).expect("a writable folder");
    fs::write(tasks.join("probe.wasm"), guest("tests/guests", "probe")).expect("a writable folder");
    fs::write(tasks.join("hostile.wasm"), guest("tests/guests", "hostile")).expect("a writable folder");
    folder
}

/// The measured program.
fn binary() -> PathBuf {
    std::env::current_exe().expect("a running program").with_file_name("streamtask")
}

impl BenchHost {
    /// Starts a host on fresh folders.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(folder(), arguments)
    }

    /// Starts a host on folders made by [`folder`].
    pub(crate) fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        let binary = binary();
        let mut command = Command::new(&binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "info"]).args(arguments);
        command.arg("--tasks").arg(folder.path().join("tasks")).arg("--data").arg(folder.path().join("data"));
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut process = started.unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let (mut address, mut loaded) = (None, 0);
        while address.is_none() || loaded < 3 {
            let line = lines.next().expect("the host says that it listens").expect("text");
            if let Some(found) = line.split("listening on http://").nth(1) {
                address = found.split_whitespace().next().and_then(|address| address.parse().ok());
            }
            loaded += usize::from(line.contains("task loaded"));
        }
        // Keep reading, because a full pipe would block the host.
        std::thread::spawn(move || lines.for_each(drop));
        Self { address: address.expect("an address"), process, folder: Some(folder) }
    }

    /// The folder of its guests.
    pub(crate) fn tasks(&self) -> PathBuf {
        self.folder.as_ref().expect("present until stopped").path().join("tasks/bench")
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.as_ref().expect("present until stopped").path().join("data")
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The host's anonymous memory, in bytes.
    pub(crate) fn anonymous_memory(&self) -> f64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("a Linux system");
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a Linux system");
        let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        kib * 1024.0
    }

    /// The result of a database query with a run's ID.
    pub(crate) fn numbers(&self, query: &str, run: &str) -> Vec<f64> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = Connection::open_with_flags(database(&self.data()), flags).expect("the host's database");
        let mut statement = db.prepare(query).expect("the host's schema");
        let rows = statement.query_map([run], |row| row.get(0)).expect("the host's schema");
        rows.collect::<rusqlite::Result<_>>().expect("numbers")
    }

    /// The delay of each tick of a run of `probe`, in milliseconds.
    pub(crate) fn lateness(&self, run: &str) -> Vec<f64> {
        let query = "SELECT json_extract(data, '$.late_us') / 1000.0 FROM run_events WHERE run = ?1 AND type = 'tick'";
        self.numbers(query, run)
    }

    /// Shuts it down and returns its folders.
    pub(crate) fn stop(mut self) -> TempDir {
        let id = rustix::process::Pid::from_raw(self.process.id() as i32).expect("a process");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a living process");
        self.process.wait().expect("a child");
        self.folder.take().expect("present until stopped")
    }
}

impl Drop for BenchHost {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Raises the limit of file descriptors for thousands of clients.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// The database of a host's data folder.
pub(crate) fn database(data: &Path) -> PathBuf {
    data.join("streamtask.db")
}
