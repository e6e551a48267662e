//! `streamtask show`: everything about one run.

use std::io::{self, Write};
use std::time::SystemTime;

use clap::Args;
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::{Client, ClientError};
use super::lists::{encoded, text};
use super::relative::{ago, between, precise};
use super::screen::Printer;
use super::stream_event::parse_event;
use super::style::{Colour, Style, of_status};
use super::{Exit, Server};
use crate::process::{plain, plain_json};

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

/// The values of a run, byte for byte: parsing would round an integer of 60 digits.
#[derive(Default, serde::Deserialize)]
struct Values {
    #[serde(default)]
    input: Option<Box<RawValue>>,
    #[serde(default)]
    final_value: Option<Box<RawValue>>,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let client = self.server.client()?;
        let record = client.get_text(&format!("/api/runs/{}", encoded(&self.run))).await?;
        let broken = |error| ClientError::Broken(format!("the answer is not JSON: {error}"));
        let run: Value = serde_json::from_str(&record).map_err(broken)?;
        let values: Values = serde_json::from_str(&record).map_err(broken)?;
        let events = self.last_events(&client, &run).await?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", one_line(&with_events(&record, &events)))?;
            return Ok(());
        }
        let style = Style::of(&out);
        fields(&mut out, style, &run, &values, SystemTime::now())?;
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

/// The record of a run, with a field `events`.
fn with_events(record: &str, events: &[(Value, Vec<u8>)]) -> String {
    let lines: Vec<_> = events.iter().map(|(_, line)| String::from_utf8_lossy(line)).collect();
    match record.trim_end().strip_suffix('}') {
        Some(fields) => format!("{fields},\"events\":[{}]}}", lines.join(",")),
        None => record.to_owned(),
    }
}

/// Prints the fields of a run that are known.
fn fields(
    out: &mut impl Write,
    style: Style,
    run: &Value,
    values: &Values,
    now: SystemTime,
) -> io::Result<()> {
    let status = text(&run["status"]);
    let status = style.paint(of_status(&status), &status).into_owned();
    let mut fields = vec![("run", text(&run["id"])), ("task", task(run)), ("status", status)];
    fields.push(("waits for", text(&run["waits_for"])));
    let attempt = run["attempt"].as_u64().filter(|attempt| *attempt > 0);
    fields.push(("attempt", attempt.map(|attempt| attempt.to_string()).unwrap_or_default()));
    fields.extend(times(run, now));
    fields.push(("parent", text(&run["parent"])));
    let labels = run["labels"].as_object().into_iter().flatten();
    let labels: Vec<String> = labels.map(|(key, value)| format!("{}:{}", plain(key), text(value))).collect();
    fields.push(("labels", labels.join(" ")));
    let shown = |value: &Option<Box<RawValue>>| value.as_deref().map(|json| value_line(json.get()));
    fields.push(("input", shown(&values.input).unwrap_or_default()));
    fields.push(("result", shown(&values.final_value).unwrap_or_default()));
    fields.extend(error(style, &run["error"]));
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        let name = format!("{name:<NAME_WIDTH$}");
        writeln!(out, "{} {value}", style.paint(Colour::Dim, &name))?;
    }
    Ok(())
}

/// APP/TASK, with the beginning of its version.
fn task(run: &Value) -> String {
    let version: String = text(&run["version"]).chars().take(12).collect();
    let version = if version.is_empty() { version } else { format!(" (version {version})") };
    format!("{}/{}{version}", text(&run["app"]), text(&run["task"]))
}

/// The times of a run, each with how long ago it is.
fn times(run: &Value, now: SystemTime) -> [(&'static str, String); 5] {
    let time = |name: &str| match text(&run[name]) {
        time if time.is_empty() => time,
        time => format!("{time} ({})", ago(&time, now)),
    };
    let took = between(&text(&run["started_at"]), &text(&run["finished_at"]));
    let took = took.map(|took| format!(", took {}", precise(took))).unwrap_or_default();
    [
        ("created", time("created_at")),
        ("starts", time("not_before")),
        ("started", time("started_at")),
        ("cancelled", time("cancel_requested_at")),
        ("finished", time("finished_at") + &took),
    ]
}

/// The error of a run, if it failed.
fn error(style: Style, error: &Value) -> Vec<(&'static str, String)> {
    if error.is_null() {
        return Vec::new();
    }
    let message = format!("{}: {}", text(&error["kind"]), text(&error["message"]));
    let details = &error["details"];
    let details = if details.is_null() { String::new() } else { value_line(&details.to_string()) };
    let message = style.paint(Colour::Red, &message).into_owned();
    vec![("error", message), ("code", text(&error["code"])), ("details", details)]
}

/// JSON as one line, which stays the same value: line breaks can only be between its tokens.
fn one_line(json: &str) -> String {
    plain_json(json).replace(['\n', '\r', '\t'], " ")
}

/// A JSON value on one line, cut if it is long.
fn value_line(json: &str) -> String {
    let text = one_line(json);
    match text.char_indices().nth(MAX_VALUE) {
        None => text,
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
            "finished_at": "2030-01-31T08:00:03.500Z", "labels": {"team": "blue"}, "error": {"kind": "trap", "message": "x\u{1b}[2J", "code": null},
        });
        let now = "2030-01-31T08:01:00Z".parse::<jiff::Timestamp>().unwrap();
        let mut out = Vec::new();
        let values: Values = serde_json::from_str(r#"{"input":{"a":12345678901234567890123}}"#).unwrap();
        fields(&mut out, Style::plain(), &run, &values, now.into()).unwrap();
        let out = String::from_utf8(out).unwrap();
        let expected = "run        one
task       demo/counter (version 0123456789ab)
status     failed
attempt    2
created    2030-01-31T08:00:00.000Z (1m ago)
started    2030-01-31T08:00:01.000Z (59s ago)
finished   2030-01-31T08:00:03.500Z (56s ago), took 2.5s
labels     team:blue
input      {\"a\":12345678901234567890123}
error      trap: x\\u{1b}[2J
";
        assert_eq!(out, expected);
        let event = (json!({"seq": 1}), br#"{"seq":1}"#.to_vec());
        assert_eq!(with_events("{\"id\":\"one\"}\n", &[event]), r#"{"id":"one","events":[{"seq":1}]}"#);
        assert_eq!(value_line("{\n\"a\":\t1}"), "{ \"a\": 1}");
        assert!(value_line(&"1".repeat(5000)).ends_with("… (--json prints all)"));
    }
}
