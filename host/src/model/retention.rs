use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{RunKey, Timestamp};

/// How long what ended runs leave behind is kept. What is not set is kept for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Since the run's end.
    pub max_age: Option<Duration>,
    /// Ended runs of one task: those that ended last.
    pub max_runs: Option<u64>,
    /// Since the run's end, for all its events but the terminal one. The run itself
    /// stays.
    pub events_max_age: Option<Duration>,
}

/// Who says how long something is kept. A later one wins over an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The host's own settings.
    #[default]
    Host,
    /// The manifest of all tasks of a folder.
    App,
    /// The task's own manifest.
    Task,
}

/// Where each setting of a [`Retention`] comes from, and which manifests there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Of `max_age`.
    pub max_age: Origin,
    /// Of `max_runs`.
    pub max_runs: Origin,
    /// Of `events_max_age`.
    pub events_max_age: Origin,
    /// Whether there is a manifest of the task's app.
    pub has_app: bool,
    /// Whether there is one of the task.
    pub has_task: bool,
}

impl Origins {
    /// Whether that one can say anything now. A manifest that is away says nothing, which is not the same as to
    /// say something else.
    pub const fn is_present(&self, origin: Origin) -> bool {
        match origin {
            Origin::Host => true,
            Origin::App => self.has_app,
            Origin::Task => self.has_task,
        }
    }
}

/// The end of a run, as a place in the order in which the runs of a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndPosition {
    /// When.
    pub at: Timestamp,
    /// The run's number, for runs that ended in the same millisecond.
    pub run: i64,
}

impl EndPosition {
    /// Before all runs.
    pub const FIRST: Self = Self { at: Timestamp::from_millis(i64::MIN), run: 0 };

    /// Before all runs that ended at that moment or later.
    pub const fn from(at: Timestamp) -> Self {
        Self { at, run: 0 }
    }

    /// Right after this one.
    pub const fn next(self) -> Self {
        Self { at: self.at, run: self.run.saturating_add(1) }
    }
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRun {
    /// The run.
    pub key: RunKey,
    /// Its end.
    pub ending: EndPosition,
}

/// What is removed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The run with all that belongs to it: from then on it has never been.
    Run,
    /// Its events but for the terminal one.
    Events,
}

/// Which of the runs that have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedFilter {
    /// All of them.
    All,
    /// Those that can be removed: all but the others.
    Removable,
    /// Those whose parent has not ended, and may still ask how they ended.
    Needed,
}

/// How much was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Whole runs.
    pub runs: u64,
    /// Events, those of whole runs among them.
    pub events: u64,
    /// The data of the events, and inputs, labels and results of the runs. On the disk
    /// they take somewhat more.
    pub bytes: u64,
}

impl Amount {
    /// Whether it is nothing at all.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, more: Self) {
        self.runs += more.runs;
        self.events += more.events;
        self.bytes += more.bytes;
    }
}
