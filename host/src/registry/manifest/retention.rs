//! `[retention]`: how long what ended runs leave behind is kept.

use serde::Deserialize;

use crate::model::{Retention, Time};

/// No ceilings: the host's own are defaults, because a task whose runs are worth more
/// or less than others' is what this table is for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct RetentionTable {
    /// Since the run's end.
    max_age: Option<Time>,
    /// Ended runs.
    max_runs: Option<u64>,
    /// Since the run's end, for its events.
    events_max_age: Option<Time>,
}

impl RetentionTable {
    pub(super) fn apply(self, retention: &mut Retention) {
        let Self { max_age, max_runs, events_max_age } = self;
        retention.max_age = max_age.map_or(retention.max_age, |time| time.0);
        retention.max_runs = max_runs.or(retention.max_runs);
        retention.events_max_age = events_max_age.map_or(retention.events_max_age, |time| time.0);
    }
}
