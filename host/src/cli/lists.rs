//! Commands that ask once and print the answer.

use std::io::Write as _;

use bytes::Bytes;
use clap::{Args, value_parser};
use serde_json::Value;

use super::{Exit, Server};
use crate::process::{plain, plain_json};

/// Most runs that a host lists in one answer.
const MAX_LISTED: i64 = 1000;
/// Every status of a run.
const STATUSES: [&str; 7] = ["queued", "delayed", "running", "paused", "completed", "failed", "cancelled"];

/// List the tasks of a host.
#[derive(Args)]
pub(super) struct Tasks {
    #[command(flatten)]
    server: Server,
    /// Print the host's JSON
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
    /// Only runs in this status; can be repeated
    #[arg(long, value_delimiter = ',', value_parser = STATUSES)]
    status: Vec<String>,
    /// Only runs with this label; of several, with all of them
    #[arg(long, value_name = "KEY:VALUE")]
    label: Vec<String>,
    /// Only runs submitted after this moment, such as 2030-01-31T08:00:00Z, or so long ago, such as 15m
    #[arg(long, value_name = "MOMENT")]
    created_after: Option<String>,
    /// Only runs submitted before this moment; the same
    #[arg(long, value_name = "MOMENT")]
    created_before: Option<String>,
    /// Most runs to list
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..=MAX_LISTED))]
    limit: u32,
    /// Print the host's JSON
    #[arg(long)]
    json: bool,
}

/// Ask a run to end.
#[derive(Args)]
pub(super) struct Cancel {
    /// The run's id
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
        // One under way has time to end by itself.
        let asked = if run["finished_at"].is_null() { "was asked to end, and is " } else { "" };
        writeln!(std::io::stdout().lock(), "{} {asked}{}", text(&run["id"]), text(&run["status"]))?;
        Ok(())
    }
}

/// The members of a list in the host's answer.
pub(super) fn items<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    answer[name].as_array().into_iter().flatten()
}

/// A text of the host's answer, as it may be shown; empty if it is none.
pub(super) fn text(value: &Value) -> String {
    plain(value.as_str().unwrap_or_default()).into_owned()
}

/// The host's answer as JSON, as it may be shown.
pub(super) fn json(value: &Value) -> String {
    plain_json(&value.to_string()).into_owned()
}

/// What has to be escaped in a part of a path.
const PATH: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A part of a path, whatever the user typed.
pub(super) fn encoded(part: &str) -> String {
    percent_encoding::utf8_percent_encode(part, PATH).to_string()
}
