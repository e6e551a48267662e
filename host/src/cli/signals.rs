//! Commands that send something to a run.

use std::io::Write as _;

use bytes::Bytes;
use clap::Args;

use super::input::check_json;
use super::lists::{encoded, text};
use super::{Exit, Server};

/// A run to be held or let go on.
#[derive(Args)]
pub(super) struct Hold {
    /// The run's id
    run: String,
    #[command(flatten)]
    server: Server,
}

/// A signal.
#[derive(Args)]
pub(super) struct Signal {
    /// The run's id
    run: String,
    /// What it is about; the task's own word
    name: String,
    /// What goes with it: a JSON value
    #[arg(value_name = "JSON", default_value = "null")]
    payload: String,
    #[command(flatten)]
    server: Server,
}

/// A parameter.
#[derive(Args)]
pub(super) struct Set {
    /// The run's id
    run: String,
    /// The parameter
    name: String,
    /// Its value from now on: a JSON value
    #[arg(value_name = "JSON")]
    value: String,
    #[command(flatten)]
    server: Server,
}

impl Hold {
    pub(super) async fn run(self, action: &str) -> Result<(), Exit> {
        let path = format!("/api/runs/{}/{action}", encoded(&self.run));
        let run = self.server.client()?.post(&path, &[], Bytes::new()).await?;
        writeln!(std::io::stdout().lock(), "{} {}", text(&run["id"]), text(&run["status"]))?;
        Ok(())
    }
}

impl Signal {
    pub(super) async fn run(self) -> Result<(), Exit> {
        check_json(self.payload.as_bytes(), "what goes with the signal")?;
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
