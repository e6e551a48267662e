//! The host that gets killed.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use streamtask_tests::{Connection, child, guests};
use tempfile::TempDir;

use crate::load;

/// Few enough that runs have to queue.
pub(crate) const MAX_RUNNING: &str = "9";
/// Longest time from the start of the process until it responds.
pub(crate) const START: Duration = Duration::from_secs(60);
/// Longest time from SIGTERM to the exit: the grace periods below, and time to close.
const STOP: Duration = Duration::from_secs(60);
pub(crate) const DRAIN_GRACE: &str = "250ms";
pub(crate) const CANCEL_GRACE: &str = "300ms";

/// The number of kills, by the phase of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kills {
    /// During the start.
    pub starting: u32,
    /// While serving.
    pub serving: u32,
    /// After SIGTERM, before the exit.
    pub draining: u32,
    /// Not killed, because it exited before.
    pub stopped: u32,
}

impl Kills {
    /// With SIGKILL.
    pub fn all(&self) -> u32 {
        self.starting + self.serving + self.draining
    }
}

/// Installs the tasks that clients start.
pub(crate) fn install_tasks(tasks: &Path) {
    let probe = guests::probe();
    for task in ["work", "retry", "lock"] {
        guests::install(tasks, &format!("test/{task}.wasm"), &probe);
    }
    std::fs::write(tasks.join("test/retry.toml"), load::RETRY).expect("a writable folder");
    std::fs::write(tasks.join("test/lock.toml"), load::LOCK).expect("a writable folder");
}

/// The host as a command: a program that exists, or else one that is built.
pub(crate) fn command(binary: Option<&Path>) -> Command {
    let Some(binary) = binary else { return child::command() };
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STREAMTASK_") {
            command.env_remove(name);
        }
    }
    command
}

/// Whether the host at this address accepts requests. One that is stopped does not.
pub(crate) async fn is_ready(address: SocketAddr) -> bool {
    let asked = async {
        let mut connection = Connection::try_open(address).await?;
        let answer = connection.try_send(&hyper::Method::GET, "/readyz", &[], "").await.ok()?;
        Some(answer.status() == 200)
    };
    let answer = tokio::time::timeout(Duration::from_secs(1), asked).await;
    answer.ok().flatten().unwrap_or(false)
}

/// The first panic in a log.
pub(crate) fn panic_in(log: &str) -> Option<String> {
    let at = log.lines().position(|line| line.contains("panicked at"))?;
    let lines: Vec<&str> = log.lines().skip(at).take(30).collect();
    Some(format!("the host panicked:\n  {}", lines.join("\n  ")))
}

/// The folders and the address of a host that is restarted repeatedly.
pub(crate) struct Victim {
    folder: TempDir,
    binary: Option<PathBuf>,
    address: SocketAddr,
    rng: Rng,
    /// Duration of the last start: kills during a start happen within this time.
    start: Duration,
    pub(crate) kills: Kills,
}

/// One process of the host.
pub(crate) struct Life {
    process: Child,
    log: PathBuf,
}

impl Victim {
    pub(crate) fn new(seed: u64, binary: Option<PathBuf>) -> Self {
        let folder = tempfile::Builder::new().prefix("streamtask-proof-").tempdir();
        let folder = folder.expect("a temporary folder");
        let tasks = folder.path().join("tasks");
        // Built now, so that it does not delay the first start.
        if binary.is_none() {
            child::binary();
        }
        install_tasks(&tasks);
        // The port is free now; the proof relies on no other process taking it.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = address.expect("a free port");
        Self {
            folder,
            binary,
            address,
            rng: Rng::with_seed(seed),
            start: Duration::from_millis(300),
            kills: Kills::default(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("data/streamtask.db")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("host.log")
    }

    /// Keeps the folders, for debugging.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// The first panic of any life, if there was one: it is a fault even if the host
    /// continues.
    pub(crate) fn panics(&self) -> Option<String> {
        panic_in(&std::fs::read_to_string(self.log()).unwrap_or_default())
    }

    /// Starts a process on the same folders and port.
    pub(crate) fn start(&mut self) -> Life {
        // Both must preserve what a killed process has committed.
        let durability = if self.rng.bool() { "full" } else { "normal" };
        let mut command = command(self.binary.as_deref());
        command.args(["serve", "--listen", &self.address.to_string(), "--durability", durability]);
        command.args(["--max-running", MAX_RUNNING, "--drain-grace", DRAIN_GRACE]);
        command.args(["--cancel-grace", CANCEL_GRACE]);
        command.arg("--tasks").arg(self.folder.path().join("tasks"));
        command.arg("--data").arg(self.folder.path().join("data"));
        Life::spawn(command, self.log())
    }

    /// Runs one life, from the start to the kill. Returns an error if the host exited by
    /// itself.
    pub(crate) async fn live_and_be_killed(&mut self) -> Result<(), String> {
        let mut life = self.start();
        let chance = self.rng.u8(..10);
        if chance < 2 {
            let within = self.start.as_micros() as u64 * 5 / 4;
            tokio::time::sleep(Duration::from_micros(self.rng.u64(..within.max(1)))).await;
            life.kill()?;
            self.kills.starting += 1;
            return Ok(());
        }
        let began = Instant::now();
        self.answers(&mut life).await?;
        self.start = began.elapsed();
        tokio::time::sleep(Duration::from_millis(self.rng.u64(20..1200))).await;
        if chance < 8 {
            life.kill()?;
            self.kills.serving += 1;
            return Ok(());
        }
        life.signal(Signal::TERM);
        tokio::time::sleep(Duration::from_millis(self.rng.u64(..500))).await;
        if life.has_ended()? {
            self.kills.stopped += 1;
        } else {
            life.kill()?;
            self.kills.draining += 1;
        }
        Ok(())
    }

    /// Waits until the host responds.
    async fn answers(&self, life: &mut Life) -> Result<(), String> {
        let until = Instant::now() + START;
        loop {
            if life.has_ended()? {
                return Err(life.told("the host exited during its start"));
            }
            if is_ready(self.address).await {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(life.told("the host does not become ready"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Life {
    /// Starts a process whose log is appended to the file.
    pub(crate) fn spawn(mut command: Command, log: PathBuf) -> Self {
        let said = File::options().create(true).append(true).open(&log).expect("a writable folder");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        Self { process: command.spawn().expect("the binary starts"), log }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        // The process may already have exited.
        let _ = kill_process(id.expect("a process"), signal);
    }

    /// Whether it has exited; an error unless that was an orderly shutdown.
    pub(crate) fn has_ended(&mut self) -> Result<bool, String> {
        match self.process.try_wait().expect("a child") {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => Err(self.told(&format!("the host exited by itself: {status}"))),
        }
    }

    pub(crate) fn kill(mut self) -> Result<(), String> {
        if self.has_ended()? {
            return Err(self.told("the host exited by itself"));
        }
        self.process.kill().expect("a child");
        self.process.wait().expect("a child");
        Ok(())
    }

    /// Shuts it down.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        self.signal(Signal::TERM);
        let until = Instant::now() + STOP;
        while !self.has_ended()? {
            if Instant::now() > until {
                return Err(self.told("the host does not stop"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Adds the last lines of the log to an error.
    pub(crate) fn told(&self, what: &str) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(20)..];
        format!("{what}; its log ends with:\n  {}", last.join("\n  "))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
