//! A host as its own process: the real binary, which can be killed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::{Api, PATIENCE, eventually, root};

/// Cargo, without what another cargo has told this test of its package: a build script that
/// looks at that (that of ring does) would run again, and the host be compiled again.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

/// Names a host that is built already. The clients' tests know it as well.
const PREBUILT: &str = "STREAMTASK_BIN";

/// The binary, built once for each test run; or that which `STREAMTASK_BIN` names.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(prebuilt) = std::env::var_os(PREBUILT) {
            return prebuilt.into();
        }
        let mut command = cargo();
        command.args(["build", "--quiet", "--package", "streamtask-host", "--bin", "streamtask"]);
        // Together with this package the host has the features that it was built with for this very test, so
        // all there is to do is to link it.
        command.args(["--package", "streamtask-tests"]);
        // A test lies in target/PROFILE/deps, another program in target/PROFILE, where the binary belongs.
        let own = std::env::current_exe().expect("a running program");
        let mut folder = own.parent().expect("target/PROFILE").to_owned();
        if folder.ends_with("deps") {
            folder.pop();
        }
        if folder.ends_with("release") {
            command.arg("--release");
        }
        let status = command.current_dir(root()).status().expect("cargo runs");
        assert!(status.success(), "the binary can't be built");
        folder.join("streamtask")
    })
}

/// The binary as a command, without the settings of whoever runs the tests.
pub fn command() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STREAMTASK_") {
            command.env_remove(name);
        }
    }
    command
}

/// `streamtask serve` on these folders and a free port; `arguments` come on top. With a database of its own, as
/// [`crate::database`] says.
pub fn serve(tasks: &Path, data: &Path, arguments: &[&str]) -> Command {
    let mut command = command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--tasks"]).arg(tasks).arg("--data").arg(data);
    if let Some(database) = crate::database::of(data) {
        command.env("STREAMTASK_DATABASE", database.url).env("STREAMTASK_DATABASE_SCHEMA", database.schema);
        command.env("STREAMTASK_LEASE", crate::cluster::LEASE);
    }
    command.args(arguments);
    command
}

/// A `streamtask serve` of its own.
pub struct ChildHost {
    api: Api,
    /// What it logged up to that it listens.
    pub opening: Vec<String>,
    process: Child,
    log: Receiver<String>,
}

impl ChildHost {
    /// The binary as a client of this host.
    pub fn client(&self, arguments: &[&str]) -> Command {
        let mut command = command();
        command.args(arguments).env("STREAMTASK_HOST", format!("http://{}", self.address));
        command
    }

    /// Starts a host on these folders and waits until it has loaded its tasks.
    /// `arguments` come on top.
    pub fn start(tasks: &Path, data: &Path, arguments: &[&str]) -> Self {
        let host = Self::try_start(tasks, data, arguments)
            .unwrap_or_else(|(status, log)| panic!("{status}: {log:?}"));
        host.ready()
    }

    /// Waits until it has loaded its tasks.
    pub fn ready(self) -> Self {
        let until = Instant::now() + PATIENCE;
        while !is_ready(self.address) {
            assert!(Instant::now() < until, "stuck: the host does not become ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        self
    }

    /// The same; an error is how the process ended, and what it said.
    pub fn try_start(
        tasks: &Path,
        data: &Path,
        arguments: &[&str],
    ) -> Result<Self, (ExitStatus, Vec<String>)> {
        Self::spawn(serve(tasks, data, arguments))
    }

    /// Starts whatever command becomes a host, and waits until it listens.
    pub fn spawn(mut command: Command) -> Result<Self, (ExitStatus, Vec<String>)> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the binary starts");
        let log = lines(process.stderr.take().expect("piped"));
        let mut opening = Vec::new();
        loop {
            let Ok(line) = log.recv_timeout(PATIENCE) else {
                return Err((process.wait().expect("a child"), opening));
            };
            if let Some(address) = line.split("listening on http://").nth(1) {
                let address = address.split_whitespace().next().and_then(|address| address.parse().ok());
                let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
                opening.push(line);
                return Ok(Self { api: Api { address }, opening, process, log });
            }
            opening.push(line);
        }
    }

    /// Starts a host that logs to `stderr`, whatever becomes of that, and waits until it listens.
    pub fn spawn_logging_to(mut command: Command, stderr: impl Into<Stdio>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let mut process = command.spawn().expect("the binary starts");
        // The other end of a pipe would stay open with it.
        drop(command);
        let until = Instant::now() + PATIENCE;
        let address = loop {
            if let Some(address) = listening(process.id()) {
                break address;
            }
            assert!(process.try_wait().expect("a child").is_none(), "it has ended");
            assert!(Instant::now() < until, "stuck: the host does not listen");
            std::thread::sleep(Duration::from_millis(5));
        };
        Self { api: Api { address }, opening: Vec::new(), process, log: mpsc::channel().1 }
    }

    /// Sends it a signal, by its name.
    pub fn signal(&self, name: &str) {
        let killed =
            Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status();
        assert!(killed.expect("kill runs").success());
    }

    /// Waits until it has ended by itself. Returns what it logged meanwhile.
    pub fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let until = Instant::now() + PATIENCE;
        while self.process.try_wait().expect("a child").is_none() {
            assert!(Instant::now() < until, "stuck: the host does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        (self.process.wait().expect("a child"), self.log.iter().collect())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The most memory that it ever held, in bytes: its own, its guests' and of files.
    pub fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("a living process");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a Linux system");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        kib << 10
    }

    /// What it logged since it listens, or since this was asked last.
    pub fn logged(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// Waits for a line that says `what`, from its first on or since the last one was asked for; returns it.
    pub async fn says(&self, what: &str) -> String {
        let mut found = self.opening.iter().find(|line| line.contains(what)).cloned();
        eventually(what, || {
            found = found.take().or_else(|| self.logged().into_iter().find(|line| line.contains(what)));
            let is_there = found.is_some();
            async move { is_there }
        })
        .await;
        found.expect("it is there")
    }

    /// Ends it without a word: `kill -9`.
    pub fn kill(mut self) {
        self.process.kill().expect("a living process");
        self.process.wait().expect("a child");
    }

    /// Asks it to end, and waits until it has. Returns what it logged meanwhile.
    pub fn terminate(mut self) -> (ExitStatus, Vec<String>) {
        self.signal("TERM");
        let status = self.process.wait().expect("a child");
        (status, self.log.iter().collect())
    }
}

impl Deref for ChildHost {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Drop for ChildHost {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where a process listens on 127.0.0.1, if it does (proc(5), net/tcp).
fn listening(process: u32) -> Option<SocketAddr> {
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{process}/fd"))
        .ok()?
        .filter_map(|file| Some(std::fs::read_link(file.ok()?.path()).ok()?.to_str()?.to_owned()))
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{process}/net/tcp")).ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, state, inode) = (*fields.get(1)?, *fields.get(3)?, *fields.get(9)?);
        let own = state == "0A" && sockets.contains(&format!("socket:[{inode}]"));
        let port = u16::from_str_radix(address.split(':').nth(1)?, 16).ok()?;
        own.then(|| SocketAddr::from(([127, 0, 0, 1], port)))
    })
}

fn is_ready(address: SocketAddr) -> bool {
    let mut answer = String::new();
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
        stream.read_to_string(&mut answer)
    });
    asked.is_ok() && answer.starts_with("HTTP/1.1 200")
}

/// Reads lines on a thread of its own, so that the child never waits for a reader.
fn lines(stderr: std::process::ChildStderr) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
