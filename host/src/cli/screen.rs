//! Output of events: on stdout, on stderr, or as progress bars.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;
use serde_json::value::RawValue;

use super::bars::Bars;
use super::stream_event::{is_terminal, raw_data};
use crate::process::{plain, plain_json, plain_lines};

/// Where and how events are printed.
pub(super) enum Screen {
    /// Not at all.
    Silent,
    /// On stdout, as JSON lines from the host.
    Json,
    /// On stdout, one line of text for each.
    Lines,
    /// Like `Lines`, with the id of the run in a column as wide as the longest id so far.
    Runs { width: usize },
    /// On stderr, one line of text for each, except the terminal event: the command prints the outcome.
    Notes,
    /// On stderr, a terminal: progress as bars, other events as lines above them, except the terminal event.
    Bars(Bars),
}

impl Screen {
    /// The output that the flags of a command select.
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

    /// For several runs. `width` is the initial width of the column of ids.
    pub(super) fn runs(width: usize) -> Self {
        Self::Runs { width }
    }

    /// Bars on a terminal, otherwise plain lines.
    pub(super) fn progress() -> Self {
        if stderr_is_terminal() { Self::Bars(Bars::new()) } else { Self::Notes }
    }

    /// Prints an event, parsed and as the line of JSON.
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

    /// Prints a message that is not an event.
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

    /// Leaves the bars as they are.
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

/// Formats an event as time, run (if there are several), type and data. A log message keeps its line breaks; its lines
/// are indented, so none looks like another event.
fn describe(event: &Value, line: &[u8], run: &str) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    // The time of day is enough for a live run.
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
