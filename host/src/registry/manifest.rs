//! What the operator says of a task, in a file beside it: `counter.toml` for
//! `counter.wasm`, and `app.toml` for all tasks of a folder.

use bytesize::ByteSize;
use serde::Deserialize;
use toml::Spanned;

use crate::engine::Limits;
use crate::model::{Retry, RetryOn, Time};

/// Most attempts that a manifest can ask for.
const MAX_ATTEMPTS: u32 = 1_000;

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
    /// When a failed attempt is followed by another.
    pub retry: Retry,
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Manifest {
    description: Option<String>,
    limits: LimitsTable,
    concurrency: ConcurrencyTable,
    retry: RetryTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct LimitsTable {
    /// All memories and tables together.
    memory: Option<Spanned<ByteSize>>,
    /// From start to end of an attempt.
    deadline: Option<Spanned<Time>>,
    /// Computing, of all that time.
    cpu: Option<Spanned<Time>>,
    /// Events of an attempt.
    events: Option<Spanned<u64>>,
    /// Data of all events of an attempt.
    events_size: Option<Spanned<ByteSize>>,
    /// Data of one event.
    event_size: Option<Spanned<ByteSize>>,
    input: Option<Spanned<ByteSize>>,
    output: Option<Spanned<ByteSize>>,
    log: Option<Spanned<ByteSize>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct ConcurrencyTable {
    max_running: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct RetryTable {
    attempts: Option<Spanned<u32>>,
    backoff: Option<Spanned<Time>>,
    factor: Option<Spanned<f64>>,
    max_backoff: Option<Spanned<Time>>,
    jitter: Option<Spanned<f64>>,
    on: Option<Vec<Cause>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Cause {
    Failure,
    Trap,
    Limit,
}

impl Settings {
    /// Without a manifest: all that the host allows.
    pub fn of_host(ceilings: &Limits) -> Self {
        Self { description: None, limits: *ceilings, max_running: None, retry: Retry::default() }
    }

    /// These settings with what a manifest's text says in their place. `file` names
    /// it in errors; no limit may be above the host's own, `ceilings`.
    pub fn with(mut self, file: &str, text: &str, ceilings: &Limits) -> Result<Self, ManifestError> {
        let manifest: Manifest = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            error_at(file, text, at, error.message().to_owned())
        })?;
        let faulty = |at: usize, message: String| error_at(file, text, at, message);
        self.description = manifest.description.or(self.description);
        manifest.limits.apply(&mut self.limits, ceilings).map_err(|(at, message)| faulty(at, message))?;
        if let Some(max) = manifest.concurrency.max_running {
            if *max.get_ref() == 0 {
                let message = "a task that may never run has no use; remove the file instead".to_owned();
                return Err(faulty(max.span().start, message));
            }
            self.max_running = Some(max.into_inner());
        }
        manifest.retry.apply(&mut self.retry).map_err(|(at, message)| faulty(at, message))?;
        Ok(self)
    }
}

/// Where in the text, and what is wrong there.
type Fault = (usize, String);

impl LimitsTable {
    fn apply(self, limits: &mut Limits, ceilings: &Limits) -> Result<(), Fault> {
        let size = |set: Option<Spanned<ByteSize>>, present: &mut usize, ceiling: usize| {
            let Some(set) = set else { return Ok(()) };
            let bytes = usize::try_from(set.get_ref().as_u64()).unwrap_or(usize::MAX);
            *present = at_most(set.span().start, bytes, ceiling, &ByteSize(ceiling as u64))?;
            Ok(())
        };
        size(self.memory, &mut limits.memory_bytes, ceilings.memory_bytes)?;
        size(self.event_size, &mut limits.event_bytes, ceilings.event_bytes)?;
        size(self.input, &mut limits.input_bytes, ceilings.input_bytes)?;
        size(self.output, &mut limits.output_bytes, ceilings.output_bytes)?;
        size(self.log, &mut limits.log_bytes, ceilings.log_bytes)?;
        for (set, present, ceiling) in [
            (self.deadline, &mut limits.deadline, ceilings.deadline),
            (self.cpu, &mut limits.cpu, ceilings.cpu),
        ] {
            let Some(set) = set else { continue };
            let at = set.span().start;
            *present = match (set.into_inner().0, ceiling) {
                (Some(time), Some(ceiling)) => {
                    Some(at_most(at, time, ceiling, &format_args!("{ceiling:?}"))?)
                }
                (None, Some(ceiling)) => {
                    return Err((at, format!("the host allows at most {ceiling:?}")));
                }
                (time, None) => time,
            };
        }
        for (set, present, ceiling) in [
            (self.events, &mut limits.events, ceilings.events),
            (
                self.events_size.map(|size| Spanned::new(size.span(), size.get_ref().as_u64())),
                &mut limits.events_bytes,
                ceilings.events_bytes,
            ),
        ] {
            let Some(set) = set else { continue };
            let (at, count) = (set.span().start, set.into_inner());
            *present = Some(match ceiling {
                Some(ceiling) => at_most(at, count, ceiling, &ceiling)?,
                None => count,
            });
        }
        Ok(())
    }
}

fn at_most<T: PartialOrd>(
    at: usize,
    wanted: T,
    ceiling: T,
    text: &dyn std::fmt::Display,
) -> Result<T, Fault> {
    if wanted > ceiling { Err((at, format!("the host allows at most {text}"))) } else { Ok(wanted) }
}

impl RetryTable {
    fn apply(self, retry: &mut Retry) -> Result<(), Fault> {
        if let Some(attempts) = self.attempts {
            let at = attempts.span().start;
            if !(1..=MAX_ATTEMPTS).contains(attempts.get_ref()) {
                return Err((at, format!("a run has 1 to {MAX_ATTEMPTS} attempts")));
            }
            retry.attempts = attempts.into_inner();
        }
        for (set, present) in [(self.backoff, &mut retry.backoff), (self.max_backoff, &mut retry.max_backoff)]
        {
            let Some(set) = set else { continue };
            let at = set.span().start;
            *present = set.into_inner().0.ok_or((at, "a pause has an end".to_owned()))?;
        }
        if let Some(factor) = self.factor {
            if !(1.0..=100.0).contains(factor.get_ref()) {
                return Err((factor.span().start, "a factor is from 1 to 100".to_owned()));
            }
            retry.factor = factor.into_inner();
        }
        if let Some(jitter) = self.jitter {
            if !(0.0..=1.0).contains(jitter.get_ref()) {
                return Err((jitter.span().start, "jitter is a part of the pause, from 0 to 1".to_owned()));
            }
            retry.jitter = jitter.into_inner();
        }
        if let Some(on) = self.on {
            retry.on = on.into_iter().map(RetryOn::from).collect();
        }
        Ok(())
    }
}

impl From<Cause> for RetryOn {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Failure => Self::Failure,
            Cause::Trap => Self::Trap,
            Cause::Limit => Self::Limit,
        }
    }
}

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
            ("nonsense\n", 1, 9, "expected"),
        ];
        for (text, line, column, message) in cases {
            let error = settings(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
            assert!(error.message.contains(message), "{text:?}: {error}");
        }
    }
}
