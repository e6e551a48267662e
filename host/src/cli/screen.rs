//! Output of events: on stdout, on stderr, or as progress bars.

use std::io::{IsTerminal, Write as _};

use serde_json::Value;
use serde_json::value::RawValue;

use super::bars::Bars;
use super::stream_event::{is_terminal, raw_data};
use super::style::{Colour, Style};
use crate::process::{plain, plain_json, plain_lines};

/// Where and how events are printed.
pub(super) enum Screen {
    /// Not at all.
    Silent,
    /// On stdout, as JSON lines from the host.
    Json,
    /// On stdout, one line of text for each.
    Lines(Printer),
    /// Like `Lines`, with the id of the run in a column as wide as the longest id so far.
    Runs { width: usize, printer: Printer },
    /// On stderr, one line of text for each, except the terminal event: the command prints the outcome.
    Notes(Printer),
    /// On stderr, a terminal: progress as bars, other events as lines above them, except the terminal event.
    Bars(Bars, Printer),
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
        Self::Lines(Printer::of(&std::io::stdout()))
    }

    /// For several runs. `width` is the initial width of the column of ids.
    pub(super) fn runs(width: usize) -> Self {
        Self::Runs { width, printer: Printer::of(&std::io::stdout()) }
    }

    /// Bars on a terminal, otherwise plain lines.
    pub(super) fn progress() -> Self {
        let printer = Printer::of(&std::io::stderr());
        if stderr_is_terminal() { Self::Bars(Bars::new(), printer) } else { Self::Notes(printer) }
    }

    /// Prints an event, parsed and as the line of JSON.
    pub(super) fn event(&mut self, event: &Value, line: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Silent => Ok(()),
            Self::Json => {
                let mut out = std::io::stdout().lock();
                writeln!(out, "{}", plain_json(&String::from_utf8_lossy(line)))
            }
            Self::Lines(printer) => {
                writeln!(std::io::stdout().lock(), "{}", printer.describe(event, line, ""))
            }
            Self::Runs { width, printer } => {
                let run = plain(event["_task_id"].as_str().unwrap_or_default());
                *width = run.len().max(*width);
                let run = format!("{run:width$} ", width = *width);
                writeln!(std::io::stdout().lock(), "{}", printer.describe(event, line, &run))
            }
            Self::Notes(_) | Self::Bars(..) if is_terminal(event) => Ok(()),
            Self::Notes(printer) => {
                writeln!(std::io::stderr().lock(), "{}", printer.describe(event, line, ""))
            }
            Self::Bars(bars, printer) => {
                if event["type"] != "progress" || !bars.update(&event["data"]) {
                    bars.line(&printer.describe(event, line, ""));
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
            Self::Bars(bars, _) => bars.line(text),
            Self::Json | Self::Lines(_) | Self::Runs { .. } | Self::Notes(_) => {
                let _ = writeln!(std::io::stderr().lock(), "{text}");
            }
        }
    }

    /// Leaves the bars as they are.
    pub(super) fn finish(&self) {
        if let Self::Bars(bars, _) = self {
            bars.finish();
        }
    }
}

/// Whether a person can see stderr.
pub(super) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// How events are formatted for one output.
#[derive(Clone, Copy)]
pub(super) struct Printer {
    style: Style,
}

impl Printer {
    /// Coloured if a person reads the output.
    pub(super) fn of(stream: &impl IsTerminal) -> Self {
        Self { style: Style::of(stream) }
    }

    /// Formats an event as time, run (if there are several), type and data. A log message keeps its line breaks; its
    /// lines are indented, so none looks like another event.
    pub(super) fn describe(self, event: &Value, line: &[u8], run: &str) -> String {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        let style = self.style;
        // The time of day is enough for a live run.
        let time = plain(text("timestamp").get(11..23).unwrap_or_default());
        let (time, run) = (style.paint(Colour::Dim, &time), style.paint(Colour::Cyan, run));
        match event["data"]["message"].as_str() {
            Some(message) if text("type") == "log" => {
                let level = plain(event["data"]["level"].as_str().unwrap_or_default());
                let level = match level.is_empty() {
                    true => String::new(),
                    false => format!("{} ", style.paint(of_level(&level), &level)),
                };
                let message = plain_lines(message.trim_end()).replace('\n', "\n    ");
                format!("{time} {run}log {level}{message}")
            }
            _ => {
                let event_type = plain(text("type"));
                let event_type = style.paint(of_type(&event_type), &event_type);
                let data = raw_data(line).map_or("null", RawValue::get);
                format!("{time} {run}{event_type} {}", plain_json(data))
            }
        }
    }
}

fn of_level(level: &str) -> Colour {
    match level {
        "error" => Colour::Red,
        "warn" => Colour::Yellow,
        "info" => Colour::Green,
        _ => Colour::Dim,
    }
}

fn of_type(event_type: &str) -> Colour {
    match event_type {
        "run.failed" | "gap" => Colour::Red,
        "run.cancelled" => Colour::Yellow,
        "run.completed" => Colour::Green,
        event_type if event_type.starts_with("run.") => Colour::Blue,
        _ => Colour::Bold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_and_a_log_message_has_its_level() {
        let printer = Printer { style: Style::plain() };
        let describe = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            printer.describe(&event, line.as_bytes(), "")
        };
        let head = r#""timestamp":"2030-01-31T08:00:00.000Z""#;
        assert_eq!(
            describe(&format!(r#"{{"type":"price","data":{{"a":7.50}},{head}}}"#)),
            r#"08:00:00.000 price {"a":7.50}"#
        );
        assert_eq!(
            describe(&format!(r#"{{"type":"log","data":{{"level":"warn","message":"a\nb"}},{head}}}"#)),
            "08:00:00.000 log warn a\n    b"
        );
        assert_eq!(
            describe(&format!(r#"{{"type":"log","data":{{"stream":"stderr","message":"a"}},{head}}}"#)),
            "08:00:00.000 log a"
        );
    }
}
