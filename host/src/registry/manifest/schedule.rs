//! `[[schedule]]`: schedules by which a task starts.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use crate::model::{Json, MAX_SCHEDULE_NAME_BYTES, MisfirePolicy, Schedule, ScheduleError};

/// Most schedules of one task.
const MAX_SCHEDULES: usize = 100;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "schedule")]
pub(super) struct ScheduleTable {
    /// Name, unique within the task; the pattern by default. Runs of the schedule have the label `schedule:NAME`.
    #[schemars(with = "Option<String>", length(min = 1, max = MAX_SCHEDULE_NAME_BYTES))]
    name: Option<Spanned<String>>,
    /// Cron pattern: five fields, or six with seconds first.
    #[schemars(with = "String")]
    cron: Spanned<String>,
    /// Name of a time zone in the IANA database; UTC by default.
    #[schemars(with = "Option<String>")]
    time_zone: Option<Spanned<String>>,
    /// Input of the runs: any value, which becomes JSON.
    #[schemars(with = "serde_json::Value")]
    input: Option<toml::Value>,
    /// Misfire policy: what to do about missed starts.
    // Manifests of before 0.1 have it as `missed`.
    #[serde(default, alias = "missed")]
    misfire: MisfireWord,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum MisfireWord {
    /// They are skipped.
    #[default]
    Skip,
    /// The last one is made up for.
    Once,
    /// All are made up for.
    All,
}

/// Converts to JSON. A date becomes its text as written, not the parser's form of it.
fn json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(set) => set.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(members) => members.into_iter().map(|(name, value)| (name, json(value))).collect(),
    }
}

impl ScheduleTable {
    /// Applies the schedules of a manifest. Those of the task's own manifest replace the app's.
    pub(super) fn apply_all(tables: Vec<Self>, schedules: &mut Vec<Schedule>) -> Result<(), Fault> {
        if tables.is_empty() {
            return Ok(());
        }
        schedules.clear();
        for table in tables {
            let at = table.name.as_ref().map_or(table.cron.span(), Spanned::span).start;
            let schedule = table.schedule(at)?;
            if schedules.iter().any(|other| other.name == schedule.name) {
                return Err((
                    at,
                    format!("there is another schedule {:?}; give each a `name`", schedule.name),
                ));
            }
            schedules.push(schedule);
            if schedules.len() > MAX_SCHEDULES {
                return Err((at, format!("a task has at most {MAX_SCHEDULES} schedules")));
            }
        }
        Ok(())
    }

    fn schedule(self, at: usize) -> Result<Schedule, Fault> {
        let zone = self.time_zone.as_ref().map_or("UTC", |zone| zone.get_ref());
        let mut schedule = Schedule::new(self.cron.get_ref(), zone).map_err(|error| match &error {
            ScheduleError::Zone(_) => {
                (self.time_zone.as_ref().map_or(0, |zone| zone.span().start), error.to_string())
            }
            ScheduleError::Pattern(_) | ScheduleError::Never(_) => {
                (self.cron.span().start, error.to_string())
            }
        })?;
        if let Some(name) = self.name {
            let plain = !name.get_ref().chars().any(char::is_control);
            if !plain || !(1..=MAX_SCHEDULE_NAME_BYTES).contains(&name.get_ref().len()) {
                let message =
                    format!("a name is 1 to {MAX_SCHEDULE_NAME_BYTES} bytes without control characters");
                return Err((name.span().start, message));
            }
            schedule.name = name.into_inner();
        }
        if let Some(input) = self.input {
            // Some names are valid in JSON but not in an input.
            let input = Json::parse(json(input).to_string());
            schedule.input =
                input.map_err(|error| (at, format!("the input can't be used: {}", error.message)))?;
        }
        schedule.misfire = match self.misfire {
            MisfireWord::Skip => MisfirePolicy::Skip,
            MisfireWord::Once => MisfirePolicy::Once,
            MisfireWord::All => MisfirePolicy::All,
        };
        Ok(schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_key_of_the_misfire_policy_works_but_not_beside_the_new_one() {
        let parse = |keys: &str| toml::from_str::<ScheduleTable>(&format!("cron = '0 3 * * *'\n{keys}"));
        for keys in ["misfire = 'all'", "missed = 'all'"] {
            assert!(matches!(parse(keys).unwrap().misfire, MisfireWord::All), "{keys}");
        }
        let error = parse("missed = 'once'\nmisfire = 'all'").unwrap_err();
        assert!(error.message().contains("duplicate field `misfire`"), "{error}");
    }

    #[test]
    fn a_date_in_an_input_is_its_text() {
        let text = "at = 2026-01-05T07:30:00Z\nlist = [1, 1.5, true, 'x', 07:30:00]\n";
        let input = json(toml::from_str(text).unwrap());
        let list = serde_json::json!([1, 1.5, true, "x", "07:30:00"]);
        assert_eq!(input, serde_json::json!({ "at": "2026-01-05T07:30:00Z", "list": list }));
    }
}
