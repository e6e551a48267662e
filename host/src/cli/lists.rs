//! Commands that send one request and print the response.

use std::io::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use clap::{Args, value_parser};
use serde_json::Value;

use super::relative::{ago, between, precise};
use super::table::{self, Table, column, dim, rest, status};
use super::{Exit, Server};
use crate::process::{plain, plain_json};

/// Most runs that a host lists in one response.
const MAX_LISTED: i64 = 1000;
/// Every status of a run.
const STATUSES: [&str; 7] = ["queued", "delayed", "running", "paused", "completed", "failed", "cancelled"];

/// List the tasks of a host.
#[derive(Args)]
pub(super) struct Tasks {
    #[command(flatten)]
    server: Server,
    /// Print the JSON response of the host
    #[arg(long)]
    json: bool,
}

/// List runs.
#[derive(Args)]
pub(super) struct Runs {
    #[command(flatten)]
    server: Server,
    /// Only runs of this task
    #[arg(long, value_name = "APP/TASK")]
    task: Option<String>,
    /// Only runs with this status; can be repeated
    #[arg(long, value_delimiter = ',', value_parser = STATUSES)]
    status: Vec<String>,
    /// Only runs with this label; can be repeated, to require all labels
    #[arg(long, value_name = "KEY:VALUE")]
    label: Vec<String>,
    /// Only runs created after this time, such as 2030-01-31T08:00:00Z or 15m (15 minutes ago)
    #[arg(long, value_name = "MOMENT")]
    created_after: Option<String>,
    /// Only runs created before this time, in the same forms
    #[arg(long, value_name = "MOMENT")]
    created_before: Option<String>,
    /// Largest number of runs to list
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..=MAX_LISTED))]
    limit: u32,
    /// Print the JSON response of the host
    #[arg(long)]
    json: bool,
}

/// Cancel a run.
#[derive(Args)]
pub(super) struct Cancel {
    /// Id of the run
    run: String,
    #[command(flatten)]
    server: Server,
    /// Print the JSON response of the host: the run
    #[arg(long)]
    json: bool,
}

impl Tasks {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let answer = self.server.client()?.get("/api/tasks").await?;
        if self.json {
            return print_json(&answer);
        }
        let mut table = Table::new(vec![column("task"), dim("version"), rest("description")]);
        items(&answer, "tasks").for_each(|task| table.add(task_row(task)));
        table.print("the host has no tasks; put NAME.wasm into its tasks folder")?;
        Ok(())
    }
}

/// The name, version and description of a task, or why it is not loaded.
fn task_row(task: &Value) -> Vec<String> {
    let name = match (task["app"].as_str(), task["task"].as_str()) {
        (Some(app), Some(task)) => plain(&format!("{app}/{task}")).into_owned(),
        _ => text(&task["path"]),
    };
    let version: String = match task["version"].as_str() {
        Some(version) => plain(version).chars().take(12).collect(),
        None => "-".to_owned(),
    };
    let description = match task["problem"]["message"].as_str() {
        Some(problem) => format!("not loaded: {}", plain(problem)),
        None => first_line(&task["description"]),
    };
    vec![name, version, description]
}

impl Runs {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &self.limit.to_string());
        for (name, value) in [
            ("task", &self.task),
            ("created_after", &self.created_after),
            ("created_before", &self.created_before),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        for (name, values) in [("status", &self.status), ("label", &self.label)] {
            for value in values {
                query.append_pair(name, value);
            }
        }
        if !self.json {
            query.append_pair("fields", "brief");
        }
        let answer = self.server.client()?.get(&format!("/api/runs?{}", query.finish())).await?;
        if self.json {
            return print_json(&answer);
        }
        let columns = match table::is_for_people() {
            true => vec![
                column("run"),
                status("status"),
                column("task"),
                dim("created"),
                dim("took"),
                rest("error"),
            ],
            false => vec![column("run"), status("status"), dim("created"), column("task"), rest("error")],
        };
        let (mut table, now) = (Table::new(columns), SystemTime::now());
        items(&answer, "runs").for_each(|run| table.add(run_row(run, now)));
        table.print("no run matches")?;
        Ok(())
    }
}

/// The row of a run: relative times for people, the time of its creation for programs.
fn run_row(run: &Value, now: SystemTime) -> Vec<String> {
    let task = format!("{}/{}", text(&run["app"]), text(&run["task"]));
    let (id, status, created) = (text(&run["id"]), text(&run["status"]), text(&run["created_at"]));
    let error = first_line(&run["error"]["message"]);
    if !table::is_for_people() {
        return vec![id, status, created, task, error];
    }
    let took = between(&text(&run["started_at"]), &text(&run["finished_at"]));
    vec![id, status, task, ago(&created, now), took.map(precise).unwrap_or_default(), error]
}

impl Cancel {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let path = format!("/api/runs/{}/cancel", encoded(&self.run));
        let run = self.server.client()?.post(&path, &[], Bytes::new()).await?;
        if self.json {
            return print_json(&run);
        }
        let (id, status) = (text(&run["id"]), text(&run["status"]));
        let mut out = std::io::stdout().lock();
        // A run in progress has time to end by itself.
        match run["finished_at"].is_null() {
            true => writeln!(out, "{id}: cancel requested; it is still {status}")?,
            false => writeln!(out, "{id} {status}")?,
        }
        Ok(())
    }
}

/// The first line of a text, escaped for the terminal; empty if it is no text.
fn first_line(value: &Value) -> String {
    let line = value.as_str().and_then(|text| text.lines().next()).unwrap_or_default();
    plain(line).into_owned()
}

/// The members of a list in a response.
pub(super) fn items<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    answer[name].as_array().into_iter().flatten()
}

/// A string of a response, escaped for the terminal; empty if it is not a string.
pub(super) fn text(value: &Value) -> String {
    plain(value.as_str().unwrap_or_default()).into_owned()
}

/// Prints a response as JSON.
pub(super) fn print_json(value: &Value) -> Result<(), Exit> {
    writeln!(std::io::stdout().lock(), "{}", json(value))?;
    Ok(())
}

/// A response as JSON, escaped for the terminal.
pub(super) fn json(value: &Value) -> String {
    plain_json(&value.to_string()).into_owned()
}

/// The characters to escape in a segment of a path.
const PATH: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Escapes user input as a segment of a path.
pub(super) fn encoded(part: &str) -> String {
    percent_encoding::utf8_percent_encode(part, PATH).to_string()
}
