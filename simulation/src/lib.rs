//! The host's rooms in one thread on a virtual clock, led through orders of events that a
//! seed decides, with invariants after each step.
//!
//! Real are the scheduler, the queue, schedules, retention, the tasks folder's logic and
//! SQLite. Guests are scripts, the disk is in memory, there is no HTTP. One seed is one history.
//!
//! - `steps`: what happens, drawn from a seed
//! - `tasks`, `script`: the tasks of the folder, and what their guests do
//! - `rooms`: one life of a host
//! - `world`: a history: steps done to a host in one life after the other
//! - `invariants`: what has to be so after each step, read from the database; `kept`, `schedules`,
//!   `endings` and `logs` are those of retention, schedules, cancels and logs
//! - `shorten`: a shorter list of steps that fails too

mod endings;
mod invariants;
mod kept;
mod logs;
mod rooms;
mod schedules;
mod script;
mod shorten;
mod steps;
mod tasks;
mod world;

pub use shorten::{describe, shorten};

pub use world::Outcome;

/// What a seed decides.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides what the steps leave open.
    pub seed: u64,
    /// Runs under way at once.
    pub max_running: u32,
    /// What happens.
    steps: Vec<steps::Step>,
}

impl Plan {
    /// Draws so many steps.
    pub fn new(seed: u64, steps: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let max_running = [1, 2, 4, 16][rng.usize(..4)];
        Self { seed, max_running, steps: steps::draw(steps, &mut rng) }
    }

    /// Without what changes the tasks folder.
    pub fn without_files(mut self) -> Self {
        self.steps.retain(|step| !step.is_of_files());
        self
    }

    /// Lets it happen.
    pub fn play(&self) -> Outcome {
        world::play(self.seed, self.max_running, &self.steps)
    }
}
