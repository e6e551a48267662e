//! Runs the host's rooms in one thread on a virtual clock, through sequences of events determined
//! by a seed, and checks invariants after each step.
//!
//! The scheduler, the queue, schedules, retention, the logic of the tasks folder and SQLite are
//! real. Guests are scripts, the disk is in memory, and there is no HTTP. A seed determines a
//! history.
//!
//! - `steps`: the events of a history, drawn from a seed
//! - `tasks`, `script`: the tasks in the folder, and the behaviour of their guests
//! - `rooms`: one life of a host
//! - `members`: the hosts of a life: one, or several that share a database
//! - `link`, `hints`: what connects several hosts: the database that they share, and wake-ups
//! - `world`: executes a history: applies steps to successive lives of a host
//! - `invariants`: what has to be so after each step, read from the database; `kept`, `schedules`,
//!   `endings` and `logs` are those of retention, schedules, cancels and logs
//! - `shorten`: finds a shorter list of steps that fails, too

mod endings;
mod hints;
mod invariants;
mod kept;
mod link;
mod logs;
mod members;
mod rooms;
mod schedules;
mod script;
mod shorten;
mod steps;
mod tasks;
#[cfg(test)]
mod two_hosts;
mod world;

pub use shorten::{describe, shorten};

pub use world::Outcome;

/// A history, as determined by a seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Determines everything that the steps leave open.
    pub seed: u64,
    /// Most concurrent runs of each host.
    pub max_running: u32,
    /// Number of hosts.
    pub hosts: usize,
    /// The steps.
    pub(crate) steps: Vec<steps::Step>,
}

impl Plan {
    /// Draws a number of steps.
    pub fn new(seed: u64, steps: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let max_running = [1, 2, 4, 16][rng.usize(..4)];
        Self { seed, max_running, hosts: 1, steps: steps::draw(steps, &mut rng) }
    }

    /// With several hosts that share the database, and faults of single ones.
    pub fn with_hosts(mut self, hosts: usize) -> Self {
        if hosts > 1 {
            let mut rng = fastrand::Rng::with_seed(self.seed ^ hosts as u64);
            self.steps = steps::for_hosts(self.steps, hosts, &mut rng);
            self.hosts = hosts;
        }
        self
    }

    /// Without the steps that change the tasks folder.
    pub fn without_files(mut self) -> Self {
        self.steps.retain(|step| !step.is_of_files());
        self
    }

    /// Executes the history.
    pub fn play(&self) -> Outcome {
        world::play(self)
    }
}
