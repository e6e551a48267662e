//! Where the events of runs are shown: on stdout, on stderr, or as bars.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;
use serde_json::value::RawValue;

use super::bars::Bars;
use super::stream_event::{is_terminal, raw_data};
use crate::process::{plain, plain_json, plain_lines};

/// Where events are shown.
pub(super) enum Screen {
    /// Nowhere.
    Silent,
    /// On stdout, as the host sent them.
    Json,
    /// On stdout, a line for each.
    Lines,
    /// The same, with the run that it is of, in a column as wide as the longest id so far.
    Runs { width: usize },
    /// On stderr, a line for each but the last: the command itself says how the run ended.
    Notes,
    /// On a terminal: progress as bars, the rest as lines above them; the same.
    Bars(Bars),
}

impl Screen {
    /// As the flags of a command say: the events as JSON, or nothing, or else progress.
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        match (json, quiet) {
            (true, _) => Self::Json,
            (_, true) => Self::Silent,
            _ => Self::progress(),
        }
    }

    pub(super) fn json() -> Self {
        Self::Json
    }

    pub(super) fn lines() -> Self {
        Self::Lines
    }

    /// Of runs whose ids are at least so long.
    pub(super) fn runs(width: usize) -> Self {
        Self::Runs { width }
    }

    /// Bars if a person watches, plain lines else.
    pub(super) fn progress() -> Self {
        if stderr_is_terminal() { Self::Bars(Bars::new()) } else { Self::Notes }
    }

    /// Shows an event, of which `line` is the JSON.
    pub(super) fn event(&mut self, event: &Value, line: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Silent => Ok(()),
            Self::Json => {
                let mut out = std::io::stdout().lock();
                writeln!(out, "{}", plain_json(&String::from_utf8_lossy(line)))
            }
            Self::Lines => writeln!(std::io::stdout().lock(), "{}", describe(event, line, "")),
            Self::Runs { width } => {
                let run = plain(event["_task_id"].as_str().unwrap_or_default());
                *width = run.len().max(*width);
                let run = format!("{run:width$} ", width = *width);
                writeln!(std::io::stdout().lock(), "{}", describe(event, line, &run))
            }
            Self::Notes | Self::Bars(_) if is_terminal(event) => Ok(()),
            Self::Notes => writeln!(std::io::stderr().lock(), "{}", describe(event, line, "")),
            Self::Bars(bars) => {
                if event["type"] != "progress" || !bars.update(&event["data"]) {
                    bars.line(&describe(event, line, ""));
                }
                Ok(())
            }
        }
    }

    /// Says what is no event, beside them.
    pub(super) fn note(&self, text: &str) {
        let text = &plain_lines(text);
        match self {
            Self::Silent => {}
            Self::Bars(bars) => bars.line(text),
            Self::Json | Self::Lines | Self::Runs { .. } | Self::Notes => {
                let _ = writeln!(std::io::stderr().lock(), "{text}");
            }
        }
    }

    /// Leaves what it shows as it is.
    pub(super) fn finish(&self) {
        if let Self::Bars(bars) = self {
            bars.finish();
        }
    }
}

/// Whether a person can see stderr.
pub(super) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// One line: when, of which run if there are several, what, and the data. A message that was logged keeps its lines,
/// which are set in, so that none can be taken for another event.
fn describe(event: &Value, line: &[u8], run: &str) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    // The time of day is enough beside a live run.
    let time = plain(text("timestamp").get(11..23).unwrap_or_default());
    match event["data"]["message"].as_str() {
        Some(message) if text("type") == "log" => {
            format!("{time} {run}log {}", plain_lines(message.trim_end()).replace('\n', "\n    "))
        }
        _ => {
            let data = raw_data(line).map_or("null", RawValue::get);
            format!("{time} {run}{} {}", plain(text("type")), plain_json(data))
        }
    }
}
