//! Several hosts on one PostgreSQL, and everything that goes wrong with them.
//!
//! - `faults`: what goes wrong, in an order from the seed
//! - `rows`: reading the database, and comparing rows with each other while hosts work
//! - `tails`: readers of all runs, one at each host

mod faults;
mod rows;
mod tails;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;
use streamtask_test_postgres::{Options as ServerOptions, Programs, Server};
use tempfile::TempDir;

use self::faults::Fault;
use crate::history::Violation;
use crate::report::Report;
use crate::victim::{self, Life};
use crate::world::World;
use crate::{Options, SETTLING, actors, readers};

/// Short, so that a run of a host that died goes on soon.
const LEASE: Duration = Duration::from_secs(6);
/// Longest time that a host stays dead before it is started again: some come back within their lease, others after it.
const DEAD_MS: u64 = 8_000;
/// Longest time that a host is stopped beyond its lease.
const OVERTIME_MS: u64 = 4_000;
/// Longest time until all hosts have compiled their tasks for the first time, on one machine at once.
const LOADING: Duration = Duration::from_secs(240);
/// How long the server is away.
const AWAY: Duration = Duration::from_secs(20);
/// Time after a fault of the server in which a host that starts may give up.
const GIVING_UP: Duration = Duration::from_secs(30);
/// Interval in which the driver looks after hosts that are due, and compares rows.
const LOOK: Duration = Duration::from_millis(200);
/// Longest time until readers of all runs have seen every end, once all runs have ended.
const CATCHING_UP: Duration = Duration::from_secs(30);
/// Schema of the hosts.
pub(crate) const SCHEMA: &str = "streamtask";

/// One of the hosts.
struct Host {
    nth: usize,
    address: SocketAddr,
    life: Option<Life>,
    /// When it is started again, or continues.
    due: Option<Instant>,
    is_stopped: bool,
}

/// The server, the hosts, and the folder with what they leave.
struct Cluster {
    folder: TempDir,
    server: Server,
    binary: Option<PathBuf>,
    /// Whether the hosts have made their tables.
    has_schema: bool,
    hosts: Vec<Host>,
    rng: Rng,
    /// When the server was last away or restarted.
    unwell_at: Option<Instant>,
    done: faults::Done,
    row_faults: Vec<String>,
    row_checks: u64,
    violations: Vec<Violation>,
}

/// Does everything to several hosts, then checks everything.
pub(crate) async fn prove(options: &Options) -> Report {
    let began = Instant::now();
    let programs = Programs::find().expect(streamtask_test_postgres::NEEDS);
    let mut cluster = Cluster::new(options, &programs);
    for nth in 0..cluster.hosts.len() {
        cluster.start(nth);
    }
    let addresses: Vec<SocketAddr> = cluster.hosts.iter().map(|host| host.address).collect();
    cluster.wait_until_ready(LOADING).await;
    cluster.has_schema = true;
    if let Some(sql) = &options.sabotage {
        let sql = std::fs::read_to_string(sql).expect("a readable file");
        cluster.server.psql(&format!("SET search_path = {SCHEMA}; {sql}"));
    }
    let world = World::new(addresses.clone());
    let tails = tails::start(&addresses);
    let mut clients = actors::start(&world, options);

    let mut faults = Fault::in_order(options, &mut cluster.rng);
    while options.time.is_none_or(|time| began.elapsed() < time) {
        let Some(fault) = faults.pop() else { break };
        cluster.suffer(fault).await;
    }
    cluster.heal().await;
    let quiet = Instant::now();
    world.stop_starting();
    let mut broken = Vec::new();
    let mut looked = false;
    let settled = loop {
        let joined = tokio::time::timeout(LOOK, clients.join_next()).await;
        match joined {
            Ok(None) => break true,
            Ok(Some(Err(error))) => broken.push(Violation::of_host(format!("a client gave up: {error}"))),
            _ => {}
        }
        cluster.look();
        if !looked && quiet.elapsed() > 2 * LEASE {
            looked = true;
            cluster.check_owners();
        }
        if quiet.elapsed() > SETTLING {
            break false;
        }
    };
    clients.abort_all();
    // Takes part in no rule, but says how far the last run was from the deadline.
    cluster.done.settled = quiet.elapsed();
    if settled {
        readers::replay_all(&world).await;
    }
    cluster.check_owners();
    let tails = tails.finish(cluster.ended_runs(), CATCHING_UP).await;
    cluster.end();

    let (stored, text) = rows::read(&cluster.server);
    let world = if settled { Arc::into_inner(world) } else { None };
    let mut report = match world.map(World::into_history) {
        Some(mut history) => {
            history.tails = tails;
            history.row_faults = std::mem::take(&mut cluster.row_faults);
            history.row_checks = cluster.row_checks;
            Report::of(&history, &stored)
        }
        None => Report::stuck(&stored),
    };
    report.violations.extend(broken);
    report.violations.append(&mut cluster.violations);
    report.violations.extend(cluster.panics());
    report.hosts = Some(cluster.done.to_string());
    report.kills = cluster.done.kills;
    let Options { hosts, kills, stops, seed, actors, .. } = options;
    report.repeat =
        format!("--hosts {hosts} --kills {kills} --stops {stops} --clients {actors} --seed {seed}");
    report.seed = options.seed;
    report.time = began.elapsed();
    if !report.violations.is_empty() {
        std::fs::write(cluster.folder.path().join("rows.jsonl"), text).expect("a writable folder");
        std::fs::write(cluster.folder.path().join("postgres.log"), cluster.server.log()).expect("writes");
        report.kept = Some(cluster.folder.keep());
    }
    report
}

impl Cluster {
    fn new(options: &Options, programs: &Programs) -> Self {
        let folder = tempfile::Builder::new().prefix("streamtask-proof-").tempdir();
        let folder = folder.expect("a temporary folder");
        victim::install_tasks(&folder.path().join("tasks"));
        let server = Server::start(programs, ServerOptions { fsync: true, ..ServerOptions::default() });
        // All at once, so that they differ. The proof relies on no other process taking them.
        let ports: Vec<TcpListener> =
            (0..options.hosts).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let address = |port: &TcpListener| port.local_addr().expect("an address");
        let hosts = ports.iter().map(address).enumerate();
        let hosts =
            hosts.map(|(nth, address)| Host { nth, address, life: None, due: None, is_stopped: false });
        Self {
            folder,
            server,
            binary: options.binary.clone(),
            has_schema: false,
            hosts: hosts.collect(),
            rng: Rng::with_seed(options.seed),
            unwell_at: None,
            done: faults::Done::default(),
            row_faults: Vec::new(),
            row_checks: 0,
            violations: Vec::new(),
        }
    }

    fn start(&mut self, nth: usize) {
        let (host, folder) = (&mut self.hosts[nth], self.folder.path());
        let mut command = victim::command(self.binary.as_deref());
        command.args(["serve", "--listen", &host.address.to_string()]);
        command.args(["--database", &self.server.url(), "--database-schema", SCHEMA]);
        command.args(["--lease", &format!("{}s", LEASE.as_secs()), "--host-name", &format!("host-{nth}")]);
        command.args(["--max-running", victim::MAX_RUNNING, "--drain-grace", victim::DRAIN_GRACE]);
        command.args(["--cancel-grace", victim::CANCEL_GRACE]);
        command.arg("--tasks").arg(folder.join("tasks"));
        command.arg("--data").arg(folder.join(format!("data-{nth}")));
        host.life = Some(Life::spawn(command, folder.join(format!("host-{nth}.log"))));
        (host.due, host.is_stopped) = (None, false);
    }

    /// Waits until all hosts that run accept requests.
    async fn wait_until_ready(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        for nth in 0..self.hosts.len() {
            while !victim::is_ready(self.hosts[nth].address).await && Instant::now() < until {
                self.look();
                tokio::time::sleep(LOOK / 4).await;
            }
        }
    }

    /// Waits, and meanwhile starts and continues hosts that are due.
    async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            self.look();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    /// Starts and continues hosts that are due, and compares rows.
    fn look(&mut self) {
        for nth in 0..self.hosts.len() {
            self.notice_end(nth);
            let host = &mut self.hosts[nth];
            if host.due.is_none_or(|due| due > Instant::now()) {
                continue;
            }
            host.due = None;
            match &host.life {
                Some(life) => {
                    life.signal(Signal::CONT);
                    host.is_stopped = false;
                }
                None => self.start(nth),
            }
        }
        if self.has_schema && self.server.process().is_some() {
            self.row_checks += 1;
            let found = tokio::task::block_in_place(|| rows::disagreements(&self.server));
            self.row_faults.extend(found.into_iter().take(20_usize.saturating_sub(self.row_faults.len())));
        }
    }

    /// Notices that a host has ended by itself: a fault, unless it was asked to, or there was no server.
    fn notice_end(&mut self, nth: usize) {
        let host = &mut self.hosts[nth];
        let Some(life) = &mut host.life else { return };
        let problem = match life.has_ended() {
            Ok(false) => return,
            Ok(true) => None,
            Err(problem) => Some(problem),
        };
        host.life = None;
        host.due = Some(Instant::now() + Duration::from_millis(self.rng.u64(..1_000)));
        let Some(problem) = problem else { return };
        if self.unwell_at.is_some_and(|at| at.elapsed() < GIVING_UP) {
            self.done.gave_up += 1;
        } else {
            self.violations.push(Violation::of_host(format!("host {}: {problem}", host.nth)));
        }
    }

    /// Ends all faults.
    async fn heal(&mut self) {
        let now = Instant::now();
        for host in self.hosts.iter_mut().filter(|host| host.life.is_none()) {
            host.due = Some(now);
        }
        // A host that is stopped stays so for longer than its lease: what it does then is what the fault is for.
        while self.hosts.iter().any(|host| host.due.is_some()) {
            self.pass(LOOK).await;
        }
        self.wait_until_ready(victim::START).await;
    }

    /// Runs must not belong to hosts that are gone for two leases.
    fn check_owners(&mut self) {
        for orphan in rows::orphans(&self.server) {
            self.violations.push(Violation {
                run: Some(orphan),
                seq: None,
                what: "a run goes on within two leases: it still belongs to a host that died".to_owned(),
            });
        }
    }

    /// The number of ended runs.
    fn ended_runs(&self) -> usize {
        rows::ended(&self.server)
    }

    /// Shuts all hosts down.
    fn end(&mut self) {
        for host in &mut self.hosts {
            if let Some(mut life) = host.life.take()
                && let Err(problem) = life.stop()
            {
                self.violations.push(Violation::of_host(problem));
            }
        }
    }

    /// The first panic of each host.
    fn panics(&self) -> Vec<Violation> {
        let logs = self.hosts.iter().map(|host| self.folder.path().join(format!("host-{}.log", host.nth)));
        let logs = logs.map(|log| std::fs::read_to_string(log).unwrap_or_default());
        logs.filter_map(|log| victim::panic_in(&log)).map(Violation::of_host).collect()
    }
}
