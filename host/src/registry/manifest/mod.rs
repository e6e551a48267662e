//! What the operator says of a task, in a file beside it: `counter.toml` for
//! `counter.wasm`, and `app.toml` for all tasks of a folder.

mod limits;
mod queueing;
mod retry;
mod schedule;

use serde::Deserialize;

use crate::engine::Limits;
use crate::model::{OnInterrupt, Queueing, Retry, Schedule};

use self::limits::LimitsTable;
use self::queueing::{ConcurrencyTable, QueueTable};
use self::retry::RetryTable;
use self::schedule::ScheduleTable;

/// A manifest can't be used: where and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} line {line}, column {column}: {message}")]
pub struct ManifestError {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in bytes.
    pub column: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What a task may use and how its runs are treated.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Text for people, in place of the task's own.
    pub description: Option<String>,
    /// For each attempt.
    pub limits: Limits,
    /// Runs under way at once; none: as many as the host allows of one task.
    pub max_running: Option<u32>,
    /// How runs wait.
    pub queueing: Queueing,
    /// What becomes of a run when the host stops without letting it finish.
    pub on_interrupt: OnInterrupt,
    /// When a failed attempt is followed by another.
    pub retry: Retry,
    /// Runs that start by themselves.
    pub schedules: Vec<Schedule>,
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Manifest {
    description: Option<String>,
    on_interrupt: Option<Interrupted>,
    limits: LimitsTable,
    queue: QueueTable,
    concurrency: ConcurrencyTable,
    retry: RetryTable,
    schedule: Vec<ScheduleTable>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Interrupted {
    Resume,
    Rerun,
    Fail,
}

impl Settings {
    /// Without a manifest: all that the host allows.
    pub fn of_host(ceilings: &Limits) -> Self {
        Self {
            description: None,
            limits: *ceilings,
            max_running: None,
            queueing: Queueing::default(),
            on_interrupt: OnInterrupt::default(),
            retry: Retry::default(),
            schedules: Vec::new(),
        }
    }

    /// These settings with what a manifest's text says in their place. `file` names
    /// it in errors; no limit may be above the host's own, `ceilings`.
    pub fn with(mut self, file: &str, text: &str, ceilings: &Limits) -> Result<Self, ManifestError> {
        let manifest: Manifest = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            error_at(file, text, at, error.message().to_owned())
        })?;
        self.description = manifest.description.or(self.description);
        self.on_interrupt = manifest.on_interrupt.map_or(self.on_interrupt, OnInterrupt::from);
        manifest
            .limits
            .apply(&mut self.limits, ceilings)
            .and_then(|()| manifest.queue.apply(&mut self.queueing))
            .and_then(|()| manifest.concurrency.apply(&mut self.queueing, &mut self.max_running))
            .and_then(|()| manifest.retry.apply(&mut self.retry))
            .and_then(|()| ScheduleTable::apply_all(manifest.schedule, &mut self.schedules))
            .map_err(|(at, message)| error_at(file, text, at, message))?;
        Ok(self)
    }
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

/// Where in the text, and what is wrong there.
type Fault = (usize, String);

fn error_at(file: &str, text: &str, at: usize, message: String) -> ManifestError {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
    // A parser's message may have several lines; one is for the log, the rest repeats the text.
    let message = message.lines().next().unwrap_or_default().to_owned();
    ManifestError { file: file.to_owned(), line, column, message }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::RetryOn;

    fn ceilings() -> Limits {
        Limits {
            memory_bytes: 64 << 20,
            deadline: Some(Duration::from_secs(60)),
            cpu: None,
            events: None,
            events_bytes: None,
            input_bytes: 1 << 20,
            output_bytes: 1 << 20,
            event_bytes: 1 << 20,
            log_bytes: 1 << 20,
        }
    }

    fn settings(text: &str) -> Result<Settings, ManifestError> {
        Settings::of_host(&ceilings()).with("x.toml", text, &ceilings())
    }

    #[test]
    fn what_is_set_takes_the_place_of_the_hosts_own() {
        let text = "description = 'Counts.'\n[limits]\nmemory = '32MiB'\ncpu = '2s'\nevents = 10\n\
                    events-size = '1KiB'\n[concurrency]\nmax-running = 2\n\
                    [retry]\nattempts = 3\nbackoff = '250ms'\non = ['failure', 'trap']\n";
        let settings = settings(text).unwrap();
        assert_eq!(settings.description.as_deref(), Some("Counts."));
        assert_eq!(settings.limits.memory_bytes, 32 << 20);
        assert_eq!(settings.limits.cpu, Some(Duration::from_secs(2)));
        assert_eq!((settings.limits.events, settings.limits.events_bytes), (Some(10), Some(1024)));
        assert_eq!(settings.limits.deadline, ceilings().deadline, "what is not set stays");
        assert_eq!(settings.max_running, Some(2));
        assert_eq!(settings.retry.attempts, 3);
        assert_eq!(settings.retry.backoff, Duration::from_millis(250));
        assert_eq!(settings.retry.on, [RetryOn::Failure, RetryOn::Trap]);
    }

    #[test]
    fn the_tasks_file_wins_over_the_apps() {
        let app = settings("[limits]\nmemory = '32MiB'\nlog = '1KiB'\n").unwrap();
        let both = app.with("x.toml", "[limits]\nmemory = '16MiB'\n", &ceilings()).unwrap();
        assert_eq!((both.limits.memory_bytes, both.limits.log_bytes), (16 << 20, 1024));
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let cases = [
            ("[limits]\nmemroy = '1MiB'\n", 2, 1, "unknown field"),
            ("[limits]\nmemory = '1 parsec'\n", 2, 10, "parse"),
            ("[limits]\ncpu = 5\n", 2, 7, "string"),
            ("[limits]\nmemory = '65MiB'\n", 2, 10, "at most 64.0 MiB"),
            ("[limits]\n\n  deadline = 'none'\n", 3, 14, "at most 60s"),
            ("[retry]\nattempts = 0\n", 2, 12, "1 to 1000 attempts"),
            ("[retry]\njitter = 1.5\n", 2, 10, "from 0 to 1"),
            ("[retry]\non = ['rain']\n", 2, 7, "unknown variant"),
            ("[concurrency]\nmax-running = 0\n", 2, 15, "never run"),
            ("[concurrency]\nkey = 'customer'\n", 2, 7, "JSON Pointer"),
            ("[concurrency]\nmax-running-per-key = 2\n", 2, 23, "`key`"),
            ("[concurrency]\nresources = ['a', '']\n", 2, 19, "1 to 128 bytes"),
            ("[queue]\npriority = 101\n", 2, 12, "-100 to 100"),
            ("[[schedule]]\ncron = 'soon'\n", 2, 8, "cron pattern"),
            ("[[schedule]]\ncron = '0 3 * * *'\ntime-zone = 'Mars'\n", 3, 13, "time zone"),
            ("[[schedule]]\ncron = '0 3 * * *'\n[[schedule]]\ncron = '0 3 * * *'\n", 4, 8, "`name`"),
            ("on-interrupt = 'pray'\n", 1, 16, "unknown variant"),
            ("nonsense\n", 1, 9, "expected"),
        ];
        for (text, line, column, message) in cases {
            let error = settings(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
            assert!(error.message.contains(message), "{text:?}: {error}");
        }
    }
}
