//! Commands that send one request and print the response.

use std::io::Write as _;

use bytes::Bytes;
use clap::{Args, value_parser};
use serde_json::Value;

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
}

impl Tasks {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let answer = self.server.client()?.get("/api/tasks").await?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(&answer))?;
            return Ok(());
        }
        for task in items(&answer, "tasks") {
            let name = match (task["app"].as_str(), task["task"].as_str()) {
                (Some(app), Some(task)) => plain(&format!("{app}/{task}")).into_owned(),
                _ => text(&task["path"]),
            };
            let version: String = match task["version"].as_str() {
                Some(version) => plain(version).chars().take(12).collect(),
                None => "-".to_owned(),
            };
            let description =
                task["description"].as_str().and_then(|text| text.lines().next()).unwrap_or_default();
            let description = plain(description);
            writeln!(out, "{name:<32} {version:<12} {description}")?;
            if let Some(problem) = task["problem"]["message"].as_str() {
                writeln!(out, "{:<32} not loaded: {}", "", plain(problem))?;
            }
        }
        Ok(())
    }
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
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(&answer))?;
            return Ok(());
        }
        for run in items(&answer, "runs") {
            let task = format!("{}/{}", text(&run["app"]), text(&run["task"]));
            let (id, status, created) = (text(&run["id"]), text(&run["status"]), text(&run["created_at"]));
            let error =
                run["error"]["message"].as_str().and_then(|error| error.lines().next()).unwrap_or_default();
            let error = plain(error);
            writeln!(out, "{id:<36} {status:<10} {created:<24} {task:<24} {error}")?;
        }
        Ok(())
    }
}

impl Cancel {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let path = format!("/api/runs/{}/cancel", encoded(&self.run));
        let run = self.server.client()?.post(&path, &[], Bytes::new()).await?;
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

/// The members of a list in a response.
pub(super) fn items<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    answer[name].as_array().into_iter().flatten()
}

/// A string of a response, escaped for the terminal; empty if it is not a string.
pub(super) fn text(value: &Value) -> String {
    plain(value.as_str().unwrap_or_default()).into_owned()
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
