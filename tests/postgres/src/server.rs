//! A server in a temporary folder.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::guard::Guard;
use crate::programs::Programs;

/// The database's user in all tests, who may do everything.
const USER: &str = "streamtask";
/// Longest time for a start. Recovery after an immediate stop is part of it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Attempts to find a free port: PostgreSQL can't choose one, and one that was free a moment ago may be taken.
const PORT_ATTEMPTS: u32 = 10;

/// How a server differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether commits reach the disk: for measurements, and for proofs about a machine that loses power.
    pub fsync: bool,
    /// Settings of `postgresql.conf`.
    pub settings: Vec<(&'static str, String)>,
    /// The password of the user, who needs none without it.
    pub password: Option<String>,
    /// Offers TLS with this certificate.
    pub certificate: Option<Certificate>,
    /// Accepts no writes, as a replica does, until `SELECT pg_promote()`.
    pub is_replica: bool,
}

/// A server, which is removed with this value, and with this process.
pub struct Server {
    programs: Programs,
    options: Options,
    /// Has the data, the socket and the log.
    folder: TempDir,
    port: u16,
    /// None while it is stopped.
    running: Mutex<Option<Guard>>,
    schemas: AtomicU32,
}

impl Server {
    /// Makes a database and starts a server.
    ///
    /// # Panics
    /// If one of both fails.
    pub fn start(programs: &Programs, options: Options) -> Self {
        let builder = tempfile::Builder::new().prefix("pg").tempdir_in(programs.temporary_folder());
        let folder = builder.expect("a temporary folder");
        programs.give(folder.path());
        create_database(programs, folder.path(), &options);
        let mut server = Self {
            programs: programs.clone(),
            options,
            folder,
            port: 0,
            running: Mutex::new(None),
            schemas: AtomicU32::new(0),
        };
        for _ in 0..PORT_ATTEMPTS {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            server.port = free.local_addr().expect("an address").port();
            drop(free);
            if server.run() {
                return server;
            }
        }
        panic!("PostgreSQL does not start:\n{}", server.log());
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The folder of its socket.
    pub fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// URL of its database, by the loopback interface.
    pub fn url(&self) -> String {
        self.url_by(self.address())
    }

    /// The same through something that listens at this address.
    pub fn url_by(&self, address: SocketAddr) -> String {
        let password =
            self.options.password.as_ref().map(|password| format!(":{password}")).unwrap_or_default();
        format!("postgres://{USER}{password}@{address}/postgres")
    }

    /// URL of its database, by its socket.
    pub fn socket_url(&self) -> String {
        format!("postgres://{USER}@/postgres?host={}&port={}", self.socket().display(), self.port)
    }

    /// A name for a schema that no other test has. There is no such schema yet.
    pub fn fresh_schema(&self) -> String {
        format!("test_{}", self.schemas.fetch_add(1, Ordering::Relaxed))
    }

    /// What a statement answers: a line for each row, with `|` between its values.
    ///
    /// # Panics
    /// If it fails.
    pub fn psql(&self, sql: &str) -> String {
        let mut psql = self.programs.command("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", "postgres", "-p"]);
        psql.arg(self.port.to_string()).arg("-h").arg(self.socket()).args(["-c", sql]);
        // The user may not reach the folder of the tests.
        psql.current_dir(self.socket());
        if let Some(password) = &self.options.password {
            psql.env("PGPASSWORD", password);
        }
        let output = finished(&mut psql);
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Cuts all connections to sessions whose name ends with this. Returns how many there were.
    pub fn cut(&self, name: &str) -> usize {
        let sessions = format!("pg_stat_activity WHERE application_name LIKE '%{name}'");
        let cut = self.psql(&format!("SELECT pg_terminate_backend(pid) FROM {sessions}"));
        cut.lines().count()
    }

    /// Cuts all connections of its clients, of sessions whose name ends with this, but not the one that asks.
    pub fn cut_others(&self, name: &str) {
        let others = format!(
            "pid <> pg_backend_pid() AND backend_type = 'client backend' AND application_name LIKE '%{name}'"
        );
        self.psql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"));
    }

    /// Stops it as a crash does: nothing is finished, and its next start recovers (`pg_ctl stop -m immediate`).
    pub fn crash(&self) {
        self.end("QUIT");
    }

    /// Stops it in order, but without waiting for its clients (`pg_ctl stop -m fast`).
    pub fn stop(&self) {
        self.end("INT");
    }

    /// Starts it again after a stop, on the same port.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&self) {
        let deadline = Instant::now() + PATIENCE;
        // What listens there meanwhile is a connection of another test, which ends.
        while !self.run() {
            assert!(Instant::now() < deadline, "PostgreSQL does not start again:\n{}", self.log());
        }
    }

    /// A crash and a start (`pg_ctl restart -m immediate`).
    pub fn restart(&self) {
        self.crash();
        self.start_again();
    }

    /// The number of its first process, if it runs.
    pub fn process(&self) -> Option<u32> {
        self.running.lock().as_ref().map(Guard::server)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn end(&self, signal: &str) {
        if let Some(running) = self.running.lock().take() {
            running.end(signal);
        }
    }

    /// Starts it. False if it ended at once, because its port is taken.
    fn run(&self) -> bool {
        let folder = self.folder.path();
        let logged = self.log().len();
        let shell = self.programs.as_user(Path::new("/bin/sh"));
        let guard = Guard::start(shell, folder, &self.command());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if is_ready(&data(folder), guard.server()) {
                *self.running.lock() = Some(guard);
                return true;
            }
            let log = self.log();
            if log[logged..].contains("FATAL")
                && log[logged..].contains("could not create any TCP/IP sockets")
            {
                guard.end("QUIT");
                return false;
            }
            assert!(Instant::now() < deadline, "PostgreSQL does not start:\n{log}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn command(&self) -> Command {
        let (options, folder) = (&self.options, self.folder.path());
        let mut command = Command::new(self.programs.postgres());
        command.arg("-D").arg(data(folder)).arg("-p").arg(self.port.to_string());
        let mut set = |name: &str, value: &str| {
            command.arg("-c").arg(format!("{name}={value}"));
        };
        set("listen_addresses", "127.0.0.1");
        set("unix_socket_directories", &folder.display().to_string());
        // Many schemas, each with a few connections, in one server.
        set("max_connections", "300");
        set("shared_buffers", "64MB");
        set("max_wal_size", "256MB");
        for name in ["fsync", "full_page_writes"] {
            set(name, if options.fsync { "on" } else { "off" });
        }
        if options.certificate.is_some() {
            set("ssl", "on");
            set("ssl_cert_file", &folder.join("server.crt").display().to_string());
            set("ssl_key_file", &folder.join("server.key").display().to_string());
        }
        for (name, value) in &options.settings {
            set(name, value);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end("QUIT");
    }
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn create_database(programs: &Programs, folder: &Path, options: &Options) {
    let mut initdb = programs.command("initdb");
    initdb.arg("-D").arg(data(folder)).arg("-U").arg(USER).current_dir(folder);
    initdb.args(["--no-sync", "--encoding=UTF8", "--no-locale"]);
    match &options.password {
        None => drop(initdb.arg("--auth=trust")),
        Some(password) => {
            let file = folder.join("password");
            fs::write(&file, password).expect("writes");
            programs.give(&file);
            initdb.arg("--auth=scram-sha-256").arg("--pwfile").arg(file);
        }
    }
    finished(&mut initdb);
    if options.is_replica {
        let signal = data(folder).join("standby.signal");
        fs::write(&signal, "").expect("writes");
        programs.give(&signal);
    }
    for (name, text) in options.certificate.iter().flat_map(Certificate::files) {
        let file = folder.join(name);
        fs::write(&file, text).expect("writes");
        // The server refuses a key that others can read.
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("an own file");
        programs.give(&file);
    }
}

/// Whether the server with this number accepts connections. It says so in the eighth line of the file by which it is found.
fn is_ready(data: &Path, server: u32) -> bool {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let mut lines = text.lines();
    lines.next() == Some(&server.to_string()) && lines.nth(6).is_some_and(|status| status.trim() == "ready")
}

fn finished(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
    output
}
