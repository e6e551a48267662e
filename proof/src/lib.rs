//! The proof that `kill -9` loses nothing.
//!
//! Kills a real host repeatedly, at any moment: during its start, recovery and shutdown.
//! Meanwhile, clients start runs of all kinds, cancel, pause and signal them, and read
//! their streams. At the end, everything that the clients received and that the host
//! acknowledged is compared with the database.
//!
//! - `history`: what clients received, what the host acknowledged, what is stored
//! - `checker`: checks whether these agree
//! - `world`: requests to a host that may be killed at any moment
//! - `readers`, `actors`: the clients
//! - `victim`: the host, and how it is killed
//! - `cluster`: several hosts on one PostgreSQL
//! - `stored`: reading the database
//! - `report`: the results

pub mod checker;
pub mod history;

mod actors;
mod cluster;
mod load;
mod readers;
mod report;
mod stored;
mod victim;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::history::Violation;
use self::victim::Victim;
use self::world::World;

pub use self::report::Report;
pub use self::victim::Kills;

/// Time for all active runs to end after the last start. A run that takes longer counts
/// as stuck.
const SETTLING: Duration = Duration::from_secs(120);

/// The options of a proof.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The number of kills.
    pub kills: u32,
    /// If given, the host is killed for this long instead.
    pub time: Option<Duration>,
    /// Determines the actions of the clients and the times of the kills, but not the
    /// timing in between.
    pub seed: u64,
    /// Number of concurrent runs of clients.
    pub actors: u32,
    /// Number of hosts. Several share one PostgreSQL, one uses SQLite.
    pub hosts: u32,
    /// With several hosts: how often one is stopped for longer than its lease.
    pub stops: u32,
    /// The host's program; built if there is none.
    pub binary: Option<PathBuf>,
    /// With several hosts: a file of SQL that breaks the database's functions, to show that the checker finds it.
    pub sabotage: Option<PathBuf>,
}

/// Kills the host repeatedly, then checks everything.
pub async fn prove(options: Options) -> Report {
    if options.hosts > 1 {
        return cluster::prove(&options).await;
    }
    let mut victim = Victim::new(options.seed, options.binary.clone());
    let began = Instant::now();
    let world = World::new(vec![victim.address()]);
    let mut clients = actors::start(&world, &options);

    let mut ended_by_itself = None;
    while options.time.map_or(victim.kills.all() < options.kills, |time| began.elapsed() < time) {
        if let Err(problem) = victim.live_and_be_killed().await {
            ended_by_itself = Some(Violation::of_host(problem));
            break;
        }
    }
    world.stop_starting();
    let mut live = victim.start();
    let mut broken = Vec::new();
    let settled = tokio::time::timeout(SETTLING, async {
        while let Some(ended) = clients.join_next().await {
            broken.extend(ended.err().map(|error| Violation::of_host(format!("a client gave up: {error}"))));
        }
    })
    .await;
    clients.abort_all();
    if settled.is_ok() {
        readers::replay_all(&world).await;
    }
    if let Err(problem) = live.stop() {
        ended_by_itself.get_or_insert(Violation::of_host(problem));
    }

    let history = match settled {
        Ok(()) => Arc::into_inner(world).map(World::into_history),
        // Some clients have not reported their results.
        Err(_) => None,
    };
    let stored = stored::read(&victim.database());
    let mut report = match history {
        Some(history) => Report::of(&history, &stored),
        None => Report::stuck(&stored),
    };
    report.violations.extend(broken);
    report.violations.extend(ended_by_itself);
    report.violations.extend(victim.panics().map(Violation::of_host));
    report.repeat = format!("--kills {} --seed {}", victim.kills.all(), options.seed);
    report.kills = victim.kills;
    report.seed = options.seed;
    report.time = began.elapsed();
    if !report.violations.is_empty() {
        report.kept = Some(victim.keep());
    }
    report
}
