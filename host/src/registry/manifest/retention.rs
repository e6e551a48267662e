//! `[retention]`: how long what ended runs leave behind is kept.

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema::TimeText;
use crate::model::{Retention, Time};

// No ceilings: the host's own are defaults, because a task whose runs are worth more or less than others' is
// what this table is for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(rename = "retention")]
pub(super) struct RetentionTable {
    /// How long a run is kept after its end.
    #[schemars(with = "TimeText")]
    max_age: Option<Time>,
    /// How many ended runs are kept: those that ended last.
    #[schemars(with = "u64")]
    max_runs: Option<u64>,
    /// How long the events of a run are kept after its end; the run itself stays, and the
    /// event that ended it.
    #[schemars(with = "TimeText")]
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
