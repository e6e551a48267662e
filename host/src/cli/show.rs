//! `streamtask show`: everything about one run.

use std::io::{self, Write};
use std::time::SystemTime;

use clap::Args;
use serde_json::Value;

use super::client::Client;
use super::lists::{encoded, json, text};
use super::relative::{ago, between, precise};
use super::screen::Printer;
use super::stream_event::parse_event;
use super::style::{Colour, Style, of_status};
use super::{Exit, Server};
use crate::process::plain_json;

/// Width of the names of fields.
const NAME_WIDTH: usize = 10;
/// Characters of an input or a result that are shown; `--json` shows all of it.
const MAX_VALUE: usize = 2000;

/// The run to show.
#[derive(Args)]
pub(super) struct Show {
    /// Id of the run
    run: String,
    #[command(flatten)]
    server: Server,
    /// Number of the last events to show
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    events: u32,
    /// Print the run as JSON, with the events as `events`
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let client = self.server.client()?;
        let mut run = client.get(&format!("/api/runs/{}", encoded(&self.run))).await?;
        let events = self.last_events(&client, &run).await?;
        let mut out = io::stdout().lock();
        if self.json {
            run["events"] = events.into_iter().map(|(event, _)| event).collect();
            writeln!(out, "{}", json(&run))?;
            return Ok(());
        }
        let style = Style::of(&out);
        fields(&mut out, style, &run, SystemTime::now())?;
        let printer = Printer::of(&out);
        print_events(&mut out, printer, &events)?;
        Ok(())
    }

    /// The last stored events, parsed and as lines.
    async fn last_events(&self, client: &Client, run: &Value) -> Result<Vec<(Value, Vec<u8>)>, Exit> {
        let Some(stream) = run["stream"].as_str().filter(|_| self.events > 0) else { return Ok(Vec::new()) };
        let path = format!("{stream}?tail={}&live=false", self.events);
        let mut events = Vec::new();
        let Some(mut lines) = client.follow(&path).await? else { return Ok(events) };
        while let Some(line) = lines.next().await? {
            if let Some(event) = parse_event(&line)? {
                events.push((event, line.to_vec()));
            }
        }
        Ok(events)
    }
}

/// Prints the fields of a run that are known.
fn fields(out: &mut impl Write, style: Style, run: &Value, now: SystemTime) -> io::Result<()> {
    let mut field = |name: &str, value: &str| match value {
        "" => Ok(()),
        value => {
            let name = format!("{name:<NAME_WIDTH$}");
            writeln!(out, "{} {value}", style.paint(Colour::Dim, &name))
        }
    };
    let time = |name: &str| match text(&run[name]) {
        time if time.is_empty() => time,
        time => format!("{time} ({})", ago(&time, now)),
    };
    field("run", &text(&run["id"]))?;
    let version: String = text(&run["version"]).chars().take(12).collect();
    let version = if version.is_empty() { version } else { format!(" (version {version})") };
    field("task", &format!("{}/{}{version}", text(&run["app"]), text(&run["task"])))?;
    let status = text(&run["status"]);
    field("status", &style.paint(of_status(&status), &status))?;
    field("waits for", &text(&run["waits_for"]))?;
    field(
        "attempt",
        &run["attempt"]
            .as_u64()
            .filter(|attempt| *attempt > 0)
            .map(|attempt| attempt.to_string())
            .unwrap_or_default(),
    )?;
    field("created", &time("created_at"))?;
    field("starts", &time("not_before"))?;
    field("started", &time("started_at"))?;
    field("cancelled", &time("cancel_requested_at"))?;
    let took = between(&text(&run["started_at"]), &text(&run["finished_at"]));
    let took = took.map(|took| format!(", took {}", precise(took))).unwrap_or_default();
    field(
        "finished",
        &match time("finished_at") {
            finished if finished.is_empty() => finished,
            finished => format!("{finished}{took}"),
        },
    )?;
    field("parent", &text(&run["parent"]))?;
    let labels = run["labels"].as_object().into_iter().flatten();
    let labels: Vec<String> =
        labels.map(|(key, value)| format!("{}:{}", crate::process::plain(key), text(value))).collect();
    field("labels", &labels.join(" "))?;
    field("input", &value(&run["input"]))?;
    field("result", &value(&run["final_value"]))?;
    let error = &run["error"];
    if !error.is_null() {
        let kind = text(&error["kind"]);
        field("error", &style.paint(Colour::Red, &format!("{kind}: {}", text(&error["message"]))))?;
        field("code", &text(&error["code"]))?;
        field("details", &value(&error["details"]))?;
    }
    Ok(())
}

/// A JSON value on one line, cut if it is long. Empty if there is none.
fn value(value: &Value) -> String {
    if value.is_null() {
        return String::new();
    }
    let text = value.to_string();
    let text = plain_json(&text);
    match text.char_indices().nth(MAX_VALUE) {
        None => text.into_owned(),
        Some((end, _)) => format!("{}… (--json prints all)", &text[..end]),
    }
}

fn print_events(out: &mut impl Write, printer: Printer, events: &[(Value, Vec<u8>)]) -> io::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    events.iter().try_for_each(|(event, line)| writeln!(out, "{}", printer.describe(event, line, "")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_is_shown_with_what_is_known_of_it() {
        let run = json!({
            "id": "one", "app": "demo", "task": "counter", "version": "0123456789abcdef", "status": "failed",
            "attempt": 2, "created_at": "2030-01-31T08:00:00.000Z", "started_at": "2030-01-31T08:00:01.000Z",
            "finished_at": "2030-01-31T08:00:03.500Z", "labels": {"team": "blue"}, "input": {"a": 1},
            "final_value": null, "error": {"kind": "trap", "message": "x\u{1b}[2J", "code": null},
        });
        let now = "2030-01-31T08:01:00Z".parse::<jiff::Timestamp>().unwrap();
        let mut out = Vec::new();
        fields(&mut out, Style::plain(), &run, now.into()).unwrap();
        let out = String::from_utf8(out).unwrap();
        let expected = "run        one
task       demo/counter (version 0123456789ab)
status     failed
attempt    2
created    2030-01-31T08:00:00.000Z (1m ago)
started    2030-01-31T08:00:01.000Z (59s ago)
finished   2030-01-31T08:00:03.500Z (56s ago), took 2.5s
labels     team:blue
input      {\"a\":1}
error      trap: x\\u{1b}[2J
";
        assert_eq!(out, expected);
        assert!(value(&json!("x".repeat(5000))).ends_with("… (--json prints all)"));
    }
}
