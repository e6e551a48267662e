//! The proof that `kill -9` loses nothing.
//!
//! A real host is killed again and again, at any moment: while it starts, while
//! it settles what the last one left, while it drains. Meanwhile clients start
//! runs of every kind, cancel, hold and talk to them, and read their streams.
//! What the clients saw and were told is then held against what the database
//! has.
//!
//! - `history`: what clients saw, what they were told, what is stored
//! - `checker`: whether these agree
//! - `world`: how clients reach a host that may be gone at any moment
//! - `readers`, `actors`: the clients
//! - `victim`: the host, and how it is killed
//! - `stored`: reading the database
//! - `report`: what was counted

pub mod checker;
pub mod history;

mod actors;
mod load;
mod readers;
mod report;
mod stored;
mod victim;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::history::Violation;
use self::victim::Victim;
use self::world::World;

pub use self::report::Report;
pub use self::victim::Kills;

/// Time for everything that is under way to end after the last start. What takes
/// longer counts as stuck.
const SETTLING: Duration = Duration::from_secs(120);

/// What to prove.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How often the host is killed.
    pub kills: u32,
    /// If given, it is killed for so long instead.
    pub time: Option<Duration>,
    /// Decides what the clients do and when the host is killed. What happens in
    /// between is the machine's.
    pub seed: u64,
    /// Runs that clients have open at once.
    pub actors: u32,
}

/// Kills the host again and again, then checks everything.
pub async fn prove(options: Options) -> Report {
    let mut victim = Victim::new(options.seed);
    let began = Instant::now();
    let world = World::new(victim.address());
    let mut clients = actors::start(&world, options);

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
        // Some clients have not told what they know.
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
    report.kills = victim.kills;
    report.seed = options.seed;
    report.time = began.elapsed();
    if !report.violations.is_empty() {
        report.kept = Some(victim.keep());
    }
    report
}
