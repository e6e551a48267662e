use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{RunKey, Timestamp};

/// Retention settings for ended runs. Without a setting, data is kept for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Longest time since the end of a run.
    pub max_age: Option<Duration>,
    /// Most ended runs of one task: those that ended last are kept.
    pub max_runs: Option<u64>,
    /// Longest time since the end of a run for all its events except the terminal one. The run itself is kept.
    pub events_max_age: Option<Duration>,
}

/// Source of a retention setting. A later one overrides an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The settings of the host.
    #[default]
    Host,
    /// The manifest of all tasks of a folder.
    App,
    /// The task's own manifest.
    Task,
}

/// Source of each setting of a [`Retention`], and the manifests that exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Source of `max_age`.
    pub max_age: Origin,
    /// Source of `max_runs`.
    pub max_runs: Origin,
    /// Source of `events_max_age`.
    pub events_max_age: Origin,
    /// Whether the task's app has a manifest.
    pub has_app: bool,
    /// Whether the task has a manifest.
    pub has_task: bool,
}

impl Origins {
    /// Whether the source exists now. An absent manifest is not the same as one with other settings.
    pub const fn is_present(&self, origin: Origin) -> bool {
        match origin {
            Origin::Host => true,
            Origin::App => self.has_app,
            Origin::Task => self.has_task,
        }
    }
}

/// Position of a run in the order in which the runs of a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndPosition {
    /// When the run ended.
    pub at: Timestamp,
    /// The run's number, for runs that ended in the same millisecond.
    pub run: i64,
}

impl EndPosition {
    /// The position before all runs.
    pub const FIRST: Self = Self { at: Timestamp::from_millis(i64::MIN), run: 0 };

    /// The position before all runs that ended at that time or later.
    pub const fn from(at: Timestamp) -> Self {
        Self { at, run: 0 }
    }

    /// The position right after this one.
    pub const fn next(self) -> Self {
        Self { at: self.at, run: self.run.saturating_add(1) }
    }
}

/// An ended run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRun {
    /// The run.
    pub key: RunKey,
    /// The position of its end.
    pub ending: EndPosition,
}

/// Part of a run to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The whole run with all its data.
    Run,
    /// Its events, except the terminal one.
    Events,
}

/// Filter of ended runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedFilter {
    /// All ended runs.
    All,
    /// Runs that can be removed.
    Removable,
    /// Runs that can't be removed, because their parent has not ended and may ask for their outcome.
    Needed,
}

/// Amount of removed data, or of data that would be removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Whole runs.
    pub runs: u64,
    /// Events, including those of whole runs.
    pub events: u64,
    /// Bytes of event data, inputs, labels and results. On the disk they take somewhat more.
    pub bytes: u64,
}

impl Amount {
    /// Whether it is nothing.
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
