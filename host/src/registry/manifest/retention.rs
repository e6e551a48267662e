//! `[retention]`: retention of ended runs.

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema::TimeText;
use crate::model::{Origin, Origins, Retention, Time};

// No ceilings: the host's settings are only defaults, because this table exists for tasks whose runs are worth more or
// less than others'.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(rename = "retention")]
pub(super) struct RetentionTable {
    /// How long a run is kept after its end.
    #[schemars(with = "TimeText")]
    max_age: Option<Time>,
    /// Most ended runs that are kept: those that ended last.
    #[schemars(with = "u64")]
    max_runs: Option<u64>,
    /// How long the events of a run are kept after its end. The run itself and its terminal event stay.
    #[schemars(with = "TimeText")]
    events_max_age: Option<Time>,
}

impl RetentionTable {
    pub(super) fn apply(self, retention: &mut Retention, origins: &mut Origins, origin: Origin) {
        let Self { max_age, max_runs, events_max_age } = self;
        if let Some(Time(age)) = max_age {
            (retention.max_age, origins.max_age) = (age, origin);
        }
        if max_runs.is_some() {
            (retention.max_runs, origins.max_runs) = (max_runs, origin);
        }
        if let Some(Time(age)) = events_max_age {
            (retention.events_max_age, origins.events_max_age) = (age, origin);
        }
    }
}
