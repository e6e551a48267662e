//! Commands that start a run and follow it.

use std::io::Write as _;

use bytes::Bytes;
use clap::Args;
use serde_json::Value;

use super::client::Client;
use super::follow::{RunStream, follow_to_end};
use super::lists::{encoded, text};
use super::screen::Screen;
use super::{Exit, Server, input};

/// Header of a request with an input.
const JSON: (&str, &str) = ("content-type", "application/json");

/// Start a run and follow it to its end. The result goes to stdout, the events go to stderr.
#[derive(Args)]
pub(super) struct Start {
    /// The task, as APP/TASK
    #[arg(value_name = "APP/TASK")]
    task: String,
    #[command(flatten)]
    server: Server,
    /// Input of the run: a JSON value, @FILE, or - for stdin
    #[arg(long, short, default_value = "{}", value_name = "JSON")]
    input: String,
    /// Id for the run; repeating the command with the same id and input starts no second run
    #[arg(long)]
    id: Option<String>,
    /// Label of the run; can be repeated
    #[arg(long, value_name = "KEY:VALUE")]
    label: Vec<String>,
    /// Start the run after this delay, such as 10m
    #[arg(long, value_name = "TIME", conflicts_with = "not_before")]
    delay: Option<String>,
    /// Start the run at this time, such as 2030-01-31T08:00:00Z
    #[arg(long, value_name = "MOMENT")]
    not_before: Option<String>,
    /// Priority in the queue, from -100 to 100; runs with a higher one start first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Exclusive resource to lock during the run; can be repeated
    #[arg(long, value_name = "NAME")]
    resource: Vec<String>,
    /// What to do if another run holds the lock of a resource: wait or fail
    #[arg(long, value_name = "WHAT")]
    if_busy: Option<String>,
    #[command(flatten)]
    watch: Watch,
}

/// Start a new run with the task and input of a run that has ended, and follow it to its end.
#[derive(Args)]
pub(super) struct Retry {
    /// The id of the run that has ended
    run: String,
    #[command(flatten)]
    server: Server,
    /// Other input: a JSON value, @FILE, or - for stdin [default: the input of the run]
    #[arg(long, short, value_name = "JSON")]
    input: Option<String>,
    /// Id for the new run
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    watch: Watch,
}

/// Options for following the started run.
#[derive(Args)]
struct Watch {
    /// What the host does when no client has followed the run for 10s: continue or cancel
    #[arg(long, value_name = "WHAT")]
    on_disconnect: Option<String>,
    /// Print the id of the run and exit without following it
    #[arg(long, short)]
    detach: bool,
    /// Print only the result
    #[arg(long, short)]
    quiet: bool,
    /// Print the events to stdout as JSON, one per line, instead of the result
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
}

impl Start {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let client = self.server.client()?;
        let input = input::read(&self.input)?;
        let (app, task) = self.task.split_once('/').unwrap_or(("default", &self.task));
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(id) = &self.id {
            query.append_pair("id", id);
        }
        for (name, values) in [("label", &self.label), ("resource", &self.resource)] {
            for value in values {
                query.append_pair(name, value);
            }
        }
        let priority = self.priority.map(|priority| priority.to_string());
        for (name, value) in [
            ("delay", &self.delay),
            ("not_before", &self.not_before),
            ("priority", &priority),
            ("if_busy", &self.if_busy),
            ("on_disconnect", &self.watch.on_disconnect),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let path = format!("/api/tasks/{}/{}/runs?{}", encoded(app), encoded(task), query.finish());
        let run = client.post(&path, &[JSON], input).await?;
        self.watch.follow(client, &run).await
    }
}

impl Retry {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let client = self.server.client()?;
        let input = self.input.as_deref().map(input::read).transpose()?;
        if input.as_ref().is_some_and(Bytes::is_empty) {
            // To the host, an empty body means the input of the original run.
            return Err(Exit::Usage("--input is empty; it must be a JSON value".to_owned()));
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(id) = &self.id {
            query.append_pair("id", id);
        }
        if let Some(what) = &self.watch.on_disconnect {
            query.append_pair("on_disconnect", what);
        }
        let path = format!("/api/runs/{}/retry?{}", encoded(&self.run), query.finish());
        let run = client.post(&path, &[JSON], input.unwrap_or_default()).await?;
        self.watch.follow(client, &run).await
    }
}

impl Watch {
    async fn follow(self, client: Client, run: &Value) -> Result<(), Exit> {
        if self.detach {
            writeln!(std::io::stdout().lock(), "{}", text(&run["id"]))?;
            return Ok(());
        }
        let screen = Screen::new(self.json, self.quiet);
        let stream = RunStream::new(client, run, Some(0), None)?;
        follow_to_end(stream, screen, true).await?.conclude(self.json)
    }
}
