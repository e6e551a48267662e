//! Commands that send a message to a run.

use std::io::Write as _;

use bytes::Bytes;
use clap::Args;

use super::input::check_json;
use super::lists::{encoded, print_json, text};
use super::{Exit, Server};

/// The run to pause or resume.
#[derive(Args)]
pub(super) struct PauseOrResume {
    /// Id of the run
    run: String,
    #[command(flatten)]
    server: Server,
    /// Print the JSON response of the host: the run
    #[arg(long)]
    json: bool,
}

/// The signal to send.
#[derive(Args)]
pub(super) struct Signal {
    /// Id of the run
    run: String,
    /// Name of the signal, as the task defines it
    name: String,
    /// Payload of the signal: a JSON value
    #[arg(value_name = "JSON", default_value = "null")]
    payload: String,
    #[command(flatten)]
    server: Server,
}

/// The parameter to set.
#[derive(Args)]
pub(super) struct Set {
    /// Id of the run
    run: String,
    /// Name of the parameter
    name: String,
    /// New value of the parameter: a JSON value
    #[arg(value_name = "JSON")]
    value: String,
    #[command(flatten)]
    server: Server,
}

impl PauseOrResume {
    pub(super) async fn run(self, action: &str) -> Result<(), Exit> {
        let path = format!("/api/runs/{}/{action}", encoded(&self.run));
        let run = self.server.client()?.post(&path, &[], Bytes::new()).await?;
        if self.json {
            return print_json(&run);
        }
        writeln!(std::io::stdout().lock(), "{} {}", text(&run["id"]), text(&run["status"]))?;
        Ok(())
    }
}

impl Signal {
    pub(super) async fn run(self) -> Result<(), Exit> {
        check_json(self.payload.as_bytes(), "the payload of the signal")?;
        let path = format!("/api/runs/{}/signals/{}", encoded(&self.run), encoded(&self.name));
        self.server.client()?.post(&path, &[], self.payload.into()).await?;
        Ok(())
    }
}

impl Set {
    pub(super) async fn run(self) -> Result<(), Exit> {
        check_json(self.value.as_bytes(), "the value")?;
        let path = format!("/api/runs/{}/parameters/{}", encoded(&self.run), encoded(&self.name));
        self.server.client()?.put(&path, self.value.into()).await?;
        Ok(())
    }
}
