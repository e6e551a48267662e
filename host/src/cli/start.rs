//! Commands that start a run and follow it.

use std::io::{IsTerminal as _, Write as _};

use bytes::Bytes;
use clap::Args;
use serde_json::Value;

use super::client::Client;
use super::follow::{End, Follow, until_end};
use super::lists::{encoded, text};
use super::screen::Screen;
use super::{Exit, Server, input};
use crate::process::plain_json;

/// Goes with an input.
const JSON: (&str, &str) = ("content-type", "application/json");

/// Start a run and follow it to its end. The result goes to stdout, what the run
/// says on its way to stderr.
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
    /// Own id for the run: the same id with the same input is the same run
    #[arg(long)]
    id: Option<String>,
    /// Label to find the run by; can be repeated
    #[arg(long, value_name = "KEY:VALUE")]
    label: Vec<String>,
    /// Begin no sooner than after this time, such as 10m
    #[arg(long, value_name = "TIME", conflicts_with = "not_before")]
    delay: Option<String>,
    /// Begin no sooner than at this moment, such as 2030-01-31T08:00:00Z
    #[arg(long, value_name = "MOMENT")]
    not_before: Option<String>,
    /// Go before waiting runs of a lower one; from -100 to 100
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Something that no other run may have meanwhile; can be repeated
    #[arg(long, value_name = "NAME")]
    resource: Vec<String>,
    /// What to do if another run has it: wait or fail
    #[arg(long, value_name = "WHAT")]
    if_busy: Option<String>,
    #[command(flatten)]
    watch: Watch,
}

/// Start a run that has ended once more, as a new one, and follow it to its end.
#[derive(Args)]
pub(super) struct Retry {
    /// The id of the run that has ended
    run: String,
    #[command(flatten)]
    server: Server,
    /// Another input: a JSON value, @FILE, or - for stdin [default: that of the run]
    #[arg(long, short, value_name = "JSON")]
    input: Option<String>,
    /// Own id for the new run
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    watch: Watch,
}

/// How a run that was started is followed.
#[derive(Args)]
struct Watch {
    /// What becomes of the run when the last that followed it is gone: continue, or cancel after 10s
    #[arg(long, value_name = "WHAT")]
    on_disconnect: Option<String>,
    /// Print the run's id and leave
    #[arg(long, short)]
    detach: bool,
    /// Print nothing but the result
    #[arg(long, short)]
    quiet: bool,
    /// Print the events to stdout, one JSON object a line, and no result
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
            // To the host it would be no other input at all.
            return Err(Exit::Usage("the input is empty; it must be a JSON value".to_owned()));
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
        let end = until_end(Follow::new(client, run, Some(0), None)?, screen, true).await?;
        conclude(&end, self.json)
    }
}

/// Prints the result of a run that ended, unless stdout has its events; returns how the
/// command ends.
pub(super) fn conclude(end: &End, has_events: bool) -> Result<(), Exit> {
    if let Some(value) = end.final_value.as_ref().filter(|_| !has_events) {
        writeln!(std::io::stdout().lock(), "{}", plain_json(value.get()))?;
    }
    outcome(end)
}

/// The exit that a run's end stands for.
pub(super) fn outcome(end: &End) -> Result<(), Exit> {
    match end.status.as_str() {
        "failed" => {
            let told = |name: &str| end.error.as_ref().and_then(|error| error[name].as_str());
            let kind = told("kind").unwrap_or("failure");
            let message = told("message").unwrap_or_default();
            Err(Exit::RunFailed(format!("the run failed ({kind}): {message}")))
        }
        "cancelled" => Err(Exit::RunCancelled("the run was cancelled".to_owned())),
        _ => Ok(()),
    }
}

/// Whether a person watches stderr.
pub(super) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}
