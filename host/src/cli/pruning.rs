//! Commands that remove what ended runs left behind.

use std::io::Write as _;

use bytes::Bytes;
use clap::{ArgGroup, Args};
use serde_json::Value;

use super::lists::{encoded, items, text};
use super::{Exit, Server};
use crate::model::Time;

/// Ended runs to be removed. Which ones has to be said: what is gone is gone.
#[derive(Args)]
#[command(group(ArgGroup::new("which").required(true).multiple(true).args(WHICH)))]
pub(super) struct Prune {
    #[command(flatten)]
    server: Server,
    /// Runs that the tasks' manifests and the host's settings no longer keep
    #[arg(long, conflicts_with_all = ["older_than", "keep"])]
    by_rules: bool,
    /// Runs that ended so long ago, such as `7d`
    #[arg(long, value_name = "TIME", value_parser = age)]
    older_than: Option<String>,
    /// Runs beyond so many of each task that ended last
    #[arg(long, value_name = "N")]
    keep: Option<u64>,
    /// Only runs of this task
    #[arg(long, value_name = "APP/TASK")]
    task: Option<String>,
    /// Remove nothing, only say how much it would be
    #[arg(long)]
    dry_run: bool,
    /// The host's clock is right, although it has jumped ahead
    #[arg(long)]
    confirm_clock: bool,
}

/// What says which runs are meant, or that none is removed.
const WHICH: [&str; 5] = ["by_rules", "older_than", "keep", "dry_run", "confirm_clock"];

/// A run to be removed.
#[derive(Args)]
pub(super) struct Delete {
    /// The run's id
    run: String,
    #[command(flatten)]
    server: Server,
}

/// Checked here, sent as it was written.
fn age(text: &str) -> Result<String, String> {
    match text.parse()? {
        Time(Some(_)) => Ok(text.to_owned()),
        Time(None) => Err("`none` is no age".to_owned()),
    }
}

impl Prune {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("dry_run", if self.dry_run { "true" } else { "false" });
        if self.confirm_clock {
            query.append_pair("confirm_clock", "true");
        }
        let keep = self.keep.map(|keep| keep.to_string());
        for (name, value) in [("older_than", &self.older_than), ("keep", &keep), ("task", &self.task)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let path = format!("/api/prune?{}", query.finish());
        let pruned = self.server.client()?.post(&path, &[], Bytes::new()).await?;
        let mut out = std::io::stdout().lock();
        for task in items(&pruned, "tasks") {
            let name = format!("{}/{}", text(&task["app"]), text(&task["task"]));
            writeln!(out, "{name:<32} {}", amount(task))?;
        }
        let would = if self.dry_run { "would remove" } else { "removed" };
        writeln!(out, "{would} {}", amount(&pruned))?;
        Ok(())
    }
}

impl Delete {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let path = format!("/api/runs/{}", encoded(&self.run));
        let removed = self.server.client()?.delete(&path).await?;
        writeln!(std::io::stdout().lock(), "removed {}", amount(&removed))?;
        Ok(())
    }
}

/// In full: the same numbers before and after.
fn amount(value: &Value) -> String {
    format!("{} runs, {} events, {} bytes", value["runs"], value["events"], value["bytes"])
}
