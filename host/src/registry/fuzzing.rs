//! Fuzz targets for manifests, and for inputs against schemas.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::manifest::{Ceilings, GrantPolicy, Settings};
use super::schema::{self, Schema};
use crate::engine::Limits;
use crate::model::{ErrorKind, Input, Json, MAX_LOCKS, Retention, RunError, TaskRef};

/// A host with limits, whose manifests may grant what needs no access to its files.
fn ceilings() -> Ceilings {
    let limits = Limits {
        memory_bytes: 64 << 20,
        deadline: Some(Duration::from_secs(60)),
        cpu: Some(Duration::from_secs(30)),
        events: Some(1000),
        events_bytes: Some(1 << 20),
        event_rate: Some(100),
        event_bytes_rate: Some(1 << 20),
        input_bytes: 1 << 20,
        output_bytes: 1 << 20,
        event_bytes: 1 << 20,
        log_bytes: 1 << 20,
    };
    let (data, tasks) = ("/nonexistent/data".into(), "/nonexistent/tasks".into());
    let kinds = "env,files,http,private".parse().expect("these are kinds");
    Ceilings { limits, grants: GrantPolicy { kinds, max_files_bytes: 1 << 30, data, tasks } }
}

/// Target: a manifest. Its settings never exceed the host's limits, and are consistent.
pub fn manifests(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let ceilings = ceilings();
    let host = Settings::of_host(&ceilings, Retention::default());
    let settings = match host.with("x.toml", text, Path::new("/nonexistent"), &ceilings) {
        Ok(settings) => settings,
        Err(error) => {
            let line = text.split('\n').nth(error.line - 1).expect("the line is one of the text");
            assert!((1..=line.len() + 1).contains(&error.column), "{error}");
            assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error}");
            return;
        }
    };
    within(&settings.limits, &ceilings.limits);
    pauses(&settings);
    let task = TaskRef::parse("demo", "x").expect("a name");
    for schedule in &settings.schedules {
        checked(schedule.input.as_str());
        let locks = settings.queueing.locks(&task, &Input::from(schedule.input.clone()), &[]);
        assert!(locks.len() <= MAX_LOCKS);
    }
    // The task's manifest after its app's, which may be the same.
    let twice = settings.clone().with("x.toml", text, Path::new("/nonexistent"), &ceilings);
    assert!(twice.is_ok(), "{twice:?}");
}

fn within(limits: &Limits, ceilings: &Limits) {
    let of = |limits: &Limits| {
        [limits.memory_bytes, limits.input_bytes, limits.output_bytes, limits.event_bytes, limits.log_bytes]
    };
    assert!(of(limits).iter().zip(of(ceilings)).all(|(own, ceiling)| *own <= ceiling), "{limits:?}");
    let of = |limits: &Limits| [limits.deadline, limits.cpu];
    // None is no limit.
    assert!(of(limits).iter().zip(of(ceilings)).all(|(own, ceiling)| own.is_some() && *own <= ceiling));
    let of =
        |limits: &Limits| [limits.events, limits.events_bytes, limits.event_rate, limits.event_bytes_rate];
    assert!(of(limits).iter().zip(of(ceilings)).all(|(own, ceiling)| own.is_some() && *own <= ceiling));
}

/// Retry pauses stay below their limit, and never get shorter.
fn pauses(settings: &Settings) {
    let retry = &settings.retry;
    let error = RunError { retryable: true, ..RunError::new(ErrorKind::Failure, "") };
    let mut before = Duration::ZERO;
    for attempt in 1..retry.attempts {
        let Some(pause) = retry.pause_after(attempt, &error, 0.0) else { continue };
        assert!(pause >= before && pause <= retry.max_backoff.max(before), "{pause:?} after {before:?}");
        assert!(retry.backoff > Duration::ZERO || pause.is_zero(), "{pause:?} of none");
        before = pause;
        let least = retry.pause_after(attempt, &error, 1.0);
        assert!(least.is_some_and(|least| least <= pause), "{least:?}");
    }
}

/// Target: a schema and an input, separated by a NUL. Without one, an input for schemas that are hard to check.
pub fn inputs(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some((schema, input)) = text.split_once('\0') {
        let Ok(schema) = serde_json::from_str(schema) else { return };
        let (Some(built), Some(input)) = (build(&schema), checked(input)) else { return };
        compare(&built, &input);
    } else if let Some(input) = checked(text) {
        HARD.iter().for_each(|built| compare(built, &input));
    }
}

/// The text as an input, if it is valid. Checks that clients get the same value, on one line, and readable wherever the host
/// puts it.
fn checked(text: &str) -> Option<Json> {
    let json = Json::parse(text).ok()?;
    assert!(!json.as_str().contains(['\n', '\r']));
    let value: Value = serde_json::from_str(text).expect("it has been parsed");
    assert!(json.to_value() == value, "{json:?}");
    assert_eq!(Json::parse(json.as_str()).as_ref(), Ok(&json));
    // As in a list of runs.
    let listed = Json::of(&json!({ "runs": [{ "input": value }] }));
    assert!(serde_json::from_str::<Value>(listed.as_str()).is_ok(), "no client can read it: {json:?}");
    Some(json)
}

/// A schema, and the same one without a limit of work.
type Built = (Schema, jsonschema::Validator);

fn build(schema: &Value) -> Option<Built> {
    // A schema that can't be built needs no limit.
    let ours = Schema::new(schema).ok()?;
    Some((ours, schema::options().build(schema).expect("with a bound it is a schema")))
}

/// Checks that the limit does not change results.
fn compare((ours, plain): &Built, input: &Json) {
    match ours.check(input) {
        Ok(()) => assert!(plain.is_valid(&input.to_value()), "{input:?} should not match"),
        Err(error) => {
            assert!(!error.violations.is_empty());
            // Without the limit, an aborted check would take for ever.
            let given_up = error.violations.iter().any(|(_, why)| why.contains("takes too long"));
            assert!(given_up || !plain.is_valid(&input.to_value()), "{input:?} should match: {error}");
        }
    }
}

static HARD: LazyLock<Vec<Built>> = LazyLock::new(|| {
    let schemas = [
        json!({ "items": { "anyOf": [{ "$ref": "#" }, { "$ref": "#" }] }, "type": "array" }),
        json!({ "additionalProperties": { "oneOf": [{ "$ref": "#" }, { "type": "object" }, { "$ref": "#" }] } }),
        json!({ "type": ["string", "object"], "pattern": "^(a|a?)+(b*)*$", "uniqueItems": true }),
        json!({ "unevaluatedProperties": false, "patternProperties": { ".": { "$dynamicRef": "#" } } }),
        json!({ "type": "array", "uniqueItems": true, "contains": { "multipleOf": 0.1 }, "maxContains": 2 }),
    ];
    schemas.iter().map(|schema| build(schema).expect("a schema")).collect()
});
