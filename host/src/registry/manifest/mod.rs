//! Manifests: settings of a task in a file beside it (`counter.toml` for `counter.wasm`), and of all tasks in a folder in
//! `app.toml`.

mod circuit_breaker;
mod command;
mod grants;
mod http;
mod limits;
mod policy;
mod queueing;
mod retention;
mod retry;
mod schedule;
mod schema;

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;

use super::paths::APP_MANIFEST;
use super::schema::Schema;
use crate::engine::{CommandSettings, Grants, Limits};
use crate::model::{Breaker, Json, OnInterrupt, Origin, Origins, Queueing, Retention, Retry, Schedule};

use self::circuit_breaker::CircuitBreakerTable;
use self::command::CommandTable;
use self::grants::GrantsTable;
use self::limits::LimitsTable;
use self::queueing::{ConcurrencyTable, QueueTable};
use self::retention::RetentionTable;
use self::retry::RetryTable;
use self::schedule::ScheduleTable;

pub use self::schema::manifest_schema;

pub use policy::{GrantKind, GrantKinds, GrantPolicy, UnknownGrant};

/// Limits and grants that no manifest can exceed.
#[derive(Clone, Debug)]
pub struct Ceilings {
    /// Limits of each attempt.
    pub limits: Limits,
    /// Grants that are allowed.
    pub grants: GrantPolicy,
}

/// Error in a manifest, with its position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} line {line}, column {column}: {message}")]
pub struct ManifestError {
    /// The file's name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// The error, and how to fix it.
    pub message: String,
}

/// Settings of a task, from the host and its manifests.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Description for people; overrides the task's own.
    pub description: Option<String>,
    /// JSON Schema of inputs; overrides the task's own.
    pub input_schema: Option<Json>,
    /// JSON Schema of results; overrides the task's own.
    pub output_schema: Option<Json>,
    /// Whether a result that violates the task's output schema fails the run. Otherwise, the violation is logged in the run.
    pub strict_output: bool,
    /// Limits of each attempt.
    pub limits: Limits,
    /// How to call it, if it is an ordinary program.
    pub command: Arc<CommandSettings>,
    /// Grants.
    pub grants: Arc<Grants>,
    /// Most runs that execute at once; none for the host's limit per task.
    pub max_running: Option<u32>,
    /// Queueing settings.
    pub queueing: Queueing,
    /// Policy for runs that the stop of the host interrupts.
    pub on_interrupt: OnInterrupt,
    /// Retry policy.
    pub retry: Retry,
    /// Schedules by which the task starts.
    pub schedules: Vec<Schedule>,
    /// Retention of ended runs.
    pub retention: Retention,
    /// Sources of the retention settings.
    pub retention_origins: Origins,
    /// Circuit breaker, if any.
    pub breaker: Option<Breaker>,
}

/// Settings of a task, in `NAME.toml` beside `NAME.wasm`, or of all tasks in a folder, in `app.toml`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Manifest {
    /// Description for people; overrides the task's own.
    #[schemars(with = "String")]
    description: Option<String>,
    /// JSON Schema of inputs; overrides the task's own.
    #[schemars(with = "Map<String, Value>")]
    input_schema: Option<Spanned<toml::Table>>,
    /// JSON Schema of results; overrides the task's own.
    #[schemars(with = "Map<String, Value>")]
    output_schema: Option<Spanned<toml::Table>>,
    /// Whether a result that violates the task's output schema fails the run (the default). Otherwise, the violation is
    /// logged in the run.
    #[schemars(with = "bool")]
    strict_output: Option<bool>,
    /// Policy for runs that the stop of the host interrupts: `resume` (from a checkpoint, or fail without one; the
    /// default), `rerun`, or `fail`.
    #[schemars(with = "Interrupted")]
    on_interrupt: Option<Interrupted>,
    /// Limits of an attempt.
    limits: LimitsTable,
    /// How to call an ordinary program.
    command: CommandTable,
    /// Access beyond its own events.
    grants: GrantsTable,
    /// Queue and priority.
    queue: QueueTable,
    /// Concurrency and exclusive resources.
    concurrency: ConcurrencyTable,
    /// Retry policy.
    retry: RetryTable,
    /// Schedules by which the task starts.
    schedule: Vec<ScheduleTable>,
    /// Retention of ended runs.
    retention: RetentionTable,
    /// Circuit breaker, which pauses a task that keeps failing; none by default.
    #[schemars(with = "CircuitBreakerTable")]
    circuit_breaker: Option<CircuitBreakerTable>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "on-interrupt")]
enum Interrupted {
    Resume,
    Rerun,
    Fail,
}

impl Settings {
    /// Settings of a task without a manifest: the host's limits and retention.
    pub fn of_host(ceilings: &Ceilings, retention: Retention) -> Self {
        Self {
            description: None,
            input_schema: None,
            output_schema: None,
            strict_output: true,
            limits: ceilings.limits,
            command: Arc::default(),
            grants: Arc::default(),
            max_running: None,
            queueing: Queueing::default(),
            on_interrupt: OnInterrupt::default(),
            retry: Retry::default(),
            schedules: Vec::new(),
            retention,
            retention_origins: Origins::default(),
            breaker: None,
        }
    }

    /// These settings, overridden by the text of a manifest. `file` is its name in errors, and `folder` its folder. Nothing may
    /// exceed `ceilings`.
    pub fn with(
        mut self,
        file: &str,
        text: &str,
        folder: &Path,
        ceilings: &Ceilings,
    ) -> Result<Self, ManifestError> {
        let manifest: Manifest = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            error_at(file, text, at, without_value(error.message()))
        })?;
        let granted_before = Arc::clone(&self.grants);
        self.description = manifest.description.or(self.description);
        self.strict_output = manifest.strict_output.unwrap_or(self.strict_output);
        self.on_interrupt = manifest.on_interrupt.map_or(self.on_interrupt, OnInterrupt::from);
        manifest
            .limits
            .apply(&mut self.limits, &ceilings.limits)
            .and_then(|()| manifest.grants.apply(&mut self.grants, folder, &ceilings.grants))
            .and_then(|()| manifest.command.apply(&mut self.command))
            .and_then(|()| take_schema(manifest.input_schema, &mut self.input_schema))
            .and_then(|()| take_schema(manifest.output_schema, &mut self.output_schema))
            .and_then(|()| manifest.queue.apply(&mut self.queueing))
            .and_then(|()| manifest.concurrency.apply(&mut self.queueing, &mut self.max_running))
            .and_then(|()| manifest.retry.apply(&mut self.retry))
            .and_then(|()| ScheduleTable::apply_all(manifest.schedule, &mut self.schedules))
            .and_then(|()| {
                let origin = self.note_file(file);
                manifest.retention.apply(&mut self.retention, &mut self.retention_origins, origin);
                manifest.circuit_breaker.map_or(Ok(()), |table| table.apply(&mut self.breaker))
            })
            .map_err(|(at, message)| error_at(file, text, at, message))?;
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
        Arc::make_mut(&mut self.grants).note_file(&name.into(), &granted_before);
        Ok(self)
    }

    /// Records that the manifest exists. Returns whether it is the app's or the task's.
    fn note_file(&mut self, file: &str) -> Origin {
        if Path::new(file).file_name().is_some_and(|name| name == APP_MANIFEST) {
            self.retention_origins.has_app = true;
            Origin::App
        } else {
            self.retention_origins.has_task = true;
            Origin::Task
        }
    }
}

/// Stores a schema as written, because the order of its properties is that of a form.
fn take_schema(schema: Option<Spanned<toml::Table>>, into: &mut Option<Json>) -> Result<(), Fault> {
    let Some(schema) = schema else { return Ok(()) };
    let at = schema.span().start;
    let refused = |reason: String| (at, format!("this is not a JSON Schema: {reason}"));
    let text = Json::of(&schema.into_inner()).into_string();
    let schema = Json::parse(text).map_err(|error| refused(error.to_string()))?;
    Schema::new(&schema.to_value()).map_err(|error| refused(error.to_string()))?;
    *into = Some(schema);
    Ok(())
}

impl From<Interrupted> for OnInterrupt {
    fn from(policy: Interrupted) -> Self {
        match policy {
            Interrupted::Resume => Self::Resume,
            Interrupted::Rerun => Self::Rerun,
            Interrupted::Fail => Self::Fail,
        }
    }
}

/// Checks the text of a manifest, as for a host that allows everything. `file` is its name in errors, and `folder` its
/// folder.
pub fn check(file: &str, text: &str, folder: &Path) -> Result<(), ManifestError> {
    let everything = Ceilings { limits: Limits::UNLIMITED, grants: GrantPolicy::everything() };
    let host = Settings::of_host(&everything, Retention::default());
    host.with(file, text, folder, &everything).map(drop)
}

/// Position in the text, and the error there.
type Fault = (usize, String);

/// A message of the parser without the quoted value, which may be a misplaced secret.
fn without_value(message: &str) -> String {
    let quoted = message.strip_prefix("invalid type: ").and_then(|rest| rest.rsplit_once(", expected "));
    match quoted {
        Some((what, expected)) => {
            let kind = what.split(['"', '`']).next().unwrap_or_default().trim_end();
            format!("invalid type: {kind}, expected {expected}")
        }
        None => message.to_owned(),
    }
}

/// The line and the column in bytes, both from 1, of a position in a text.
pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before.len() - line_start + 1)
}

fn error_at(file: &str, text: &str, at: usize, message: String) -> ManifestError {
    let (line, column) = line_and_column(text, at);
    // Only the first line of the parser's message: the others repeat the text.
    let message = message.lines().next().unwrap_or_default().to_owned();
    ManifestError { file: file.to_owned(), line, column, message }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::RetryOn;

    fn ceilings() -> Ceilings {
        let limits = Limits {
            memory_bytes: 64 << 20,
            deadline: Some(Duration::from_secs(60)),
            event_rate: Some(1000),
            input_bytes: 1 << 20,
            output_bytes: 1 << 20,
            event_bytes: 1 << 20,
            log_bytes: 1 << 20,
            ..Limits::UNLIMITED
        };
        let (data, tasks) = ("/nonexistent/data".into(), "/nonexistent/tasks".into());
        let grants = GrantPolicy { kinds: GrantKinds::default(), max_files_bytes: 1 << 30, data, tasks };
        Ceilings { limits, grants }
    }

    fn settings(text: &str) -> Result<Settings, ManifestError> {
        settings_after(Settings::of_host(&ceilings(), Retention::default()), text)
    }

    fn settings_after(before: Settings, text: &str) -> Result<Settings, ManifestError> {
        before.with("x.toml", text, Path::new("/"), &ceilings())
    }

    #[test]
    fn what_is_set_takes_the_place_of_the_hosts_own() {
        let text = "description = 'Counts.'\n[limits]\nmemory = '32MiB'\ncpu = '2s'\nevents = 10\n\
                    events-size = '1KiB'\nevent-rate = 7\nevent-bytes-rate = '2KiB'\n[concurrency]\nmax-running = 2\n\
                    [retry]\nattempts = 3\nbackoff = '250ms'\non = ['failure', 'trap']\n";
        let settings = settings(text).unwrap();
        assert_eq!(settings.description.as_deref(), Some("Counts."));
        assert_eq!(settings.limits.memory_bytes, 32 << 20);
        assert_eq!(settings.limits.cpu, Some(Duration::from_secs(2)));
        assert_eq!((settings.limits.events, settings.limits.events_bytes), (Some(10), Some(1024)));
        assert_eq!((settings.limits.event_rate, settings.limits.event_bytes_rate), (Some(7), Some(2048)));
        assert_eq!(settings.limits.deadline, ceilings().limits.deadline, "what is not set stays");
        assert_eq!(settings.max_running, Some(2));
        assert_eq!(settings.retry.attempts, 3);
        assert_eq!(settings.retry.backoff, Duration::from_millis(250));
        assert_eq!(settings.retry.on, [RetryOn::Failure, RetryOn::Trap]);
    }

    #[test]
    fn the_tasks_file_wins_over_the_apps() {
        let app = settings("[limits]\nmemory = '32MiB'\nlog = '1KiB'\n").unwrap();
        let both = settings_after(app, "[limits]\nmemory = '16MiB'\n").unwrap();
        assert_eq!((both.limits.memory_bytes, both.limits.log_bytes), (16 << 20, 1024));
    }

    #[test]
    fn a_task_may_keep_more_or_less_than_the_host() {
        let host =
            Retention { max_age: Some(Duration::from_secs(60)), max_runs: Some(5), events_max_age: None };
        let with = |text| {
            Settings::of_host(&ceilings(), host).with("x.toml", text, Path::new("/"), &ceilings()).unwrap()
        };
        assert_eq!(with("").retention, host);
        let text = "[retention]\nmax-age = 'none'\nmax-runs = 7\nevents-max-age = '1d'\n";
        let day = Duration::from_secs(24 * 60 * 60);
        let own = Retention { max_age: None, max_runs: Some(7), events_max_age: Some(day) };
        assert_eq!(with(text).retention, own);

        let app = Settings::of_host(&ceilings(), host);
        let app = app.with("x/app.toml", "[retention]\nmax-runs = 7\n", Path::new("/"), &ceilings()).unwrap();
        let both = settings_after(app, "[retention]\nmax-age = '1d'\n").unwrap().retention_origins;
        let origins = (both.max_age, both.max_runs, both.events_max_age);
        assert_eq!(origins, (Origin::Task, Origin::App, Origin::Host));
        assert!(both.has_app && both.has_task && !with(text).retention_origins.has_app);
    }

    #[test]
    fn an_apps_grants_and_the_tasks_add_up() {
        let app = settings("[grants.env]\nA = 'app'\nB = 'app'\n").unwrap();
        let both = settings_after(app, "[grants.env]\nA = 'task'\n").unwrap();
        let env: Vec<_> = both.grants.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["A=task", "B=app"]);
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let cases = [
            ("[limits]\nmemroy = '1MiB'\n", 2, 1, "unknown field"),
            ("[limits]\nmemory = '1 parsec'\n", 2, 10, "parse"),
            ("[limits]\ncpu = 5\n", 2, 7, "string"),
            ("[limits]\nmemory = '65MiB'\n", 2, 10, "at most 64.0 MiB"),
            ("[limits]\n\n  deadline = 'none'\n", 3, 14, "at most 60s"),
            ("[limits]\nevent-rate = 1001\n", 2, 14, "at most 1000"),
            ("[limits]\nevent-bytes-rate = '0B'\n", 2, 20, "rate of 0"),
            ("[retry]\nattempts = 0\n", 2, 12, "1 to 1000 attempts"),
            ("[retry]\njitter = 1.5\n", 2, 10, "from 0 to 1"),
            ("[retry]\non = ['rain']\n", 2, 7, "unknown variant"),
            ("[concurrency]\nmax-running = 0\n", 2, 15, "at least 1"),
            ("[concurrency]\nkey = 'customer'\n", 2, 7, "JSON Pointer"),
            ("[concurrency]\nmax-running-per-key = 2\n", 2, 23, "`key`"),
            ("[concurrency]\nresources = ['a', '']\n", 2, 19, "1 to 128 bytes"),
            ("[queue]\npriority = 101\n", 2, 12, "-100 to 100"),
            ("[[schedule]]\ncron = 'soon'\n", 2, 8, "cron pattern"),
            (
                "[[schedule]]\ncron = '0 3 * * *'\ninput = { a = { '$serde_json::private::RawValue' = '{}' } }\n",
                2,
                8,
                "can't be used",
            ),
            ("[[schedule]]\ncron = '0 3 * * *'\ntime-zone = 'Mars'\n", 3, 13, "time zone"),
            ("[[schedule]]\ncron = '0 3 * * *'\n[[schedule]]\ncron = '0 3 * * *'\n", 4, 8, "`name`"),
            ("on-interrupt = 'pray'\n", 1, 16, "unknown variant"),
            ("input-schema = 'x.json'\n", 1, 16, "map"),
            ("\n[input-schema]\ntype = 'text'\n", 2, 1, "not a JSON Schema"),
            ("[input-schema.'$serde_json::private::RawValue']\n", 1, 2, "not a JSON Schema"),
            ("[circuit-breaker]\nfailures = 0\n", 2, 12, "at least one"),
            ("[circuit-breaker]\npause = 'none'\n", 2, 9, "more than 0"),
            ("[retention]\nmax-age = '30'\n", 2, 11, "a unit"),
            ("[retention]\nmax-runs = -1\n", 2, 12, "-1"),
            ("[grants]\nhttp = 1\n", 2, 8, "sequence"),
            ("[[grants.http]]\nports = [1]\n", 1, 1, "missing field `host`"),
            ("[[grants.http]]\nhost = 'a'\nport = 1\n", 3, 1, "unknown field"),
            ("[[grants.http]]\nhost = 'a'\n", 1, 1, "--grants env,files,http"),
            ("[grants.secrets]\nA = { env = 'B' }\n", 2, 5, "--grants env,files,secrets"),
            ("nonsense\n", 1, 9, "expected"),
        ];
        for (text, line, column, message) in cases {
            let error = settings(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
            assert!(error.message.contains(message), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_schema_keeps_the_order_in_which_it_is_written() {
        let text = "[input-schema]\ntype = 'object'\n[input-schema.properties]\nsteps = { type = 'integer' }\n\
                    color = { type = 'string' }\nage.type = 'number'\n";
        let schema = settings(text).unwrap().input_schema.unwrap().into_string();
        let places = ["type", "properties", "steps", "color", "age"].map(|name| schema.find(name).unwrap());
        assert!(places.is_sorted(), "{schema}");
    }

    #[test]
    fn no_error_quotes_a_secret_in_the_wrong_place() {
        let secret = "sk-live-4242, expected a secret";
        for text in [
            format!("[grants]\nsecrets = '{secret}'"),
            format!("[grants.secrets]\nKEY = '{secret}'"),
            format!("[grants.secrets]\nKEY = ['{secret}']"),
            format!("[grants.secrets]\nKEY = {{ env = '{secret}' }}"),
            format!("[grants.secrets]\nKEY = {{ file = '{secret}' }}"),
            format!("[grants.secrets]\nKEY = {{ env = ['{secret}'] }}"),
            format!("[grants.secrets]\nKEY = {{ value = '{secret}' }}"),
            format!("[grants]\nenv = ['{secret}']"),
            format!("[grants]\nenv = '{secret}'"),
            format!("[grants.env]\nKEY = {{ env = '{secret}' }}"),
            format!("[grants]\nhttp = '{secret}'"),
            format!("grants = '{secret}'"),
            format!("secrets = '{secret}'"),
            format!("[grants.secrets]\nKEY = '{secret}"),
            "[grants.secrets]\nKEY = 4242".to_owned(),
            "[grants.env]\nKEY = 4242".to_owned(),
            "[grants.env]\nKEY = 4242.5".to_owned(),
        ] {
            let error = check("x.toml", &text, Path::new("/")).unwrap_err();
            assert!(!error.to_string().contains("4242"), "{text}: {error}");
        }
    }
}
