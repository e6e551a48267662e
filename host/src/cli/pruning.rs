//! Commands that remove ended runs.

use std::io::Write as _;

use bytes::Bytes;
use clap::{ArgGroup, Args};
use serde_json::Value;

use super::lists::{encoded, items, text};
use super::{Exit, Server};
use crate::model::{Time, TimeError};

/// The ended runs to remove. There is no default selection, because removal is final.
#[derive(Args)]
#[command(group(ArgGroup::new("which").required(true).multiple(true).args(WHICH)))]
pub(super) struct Prune {
    #[command(flatten)]
    server: Server,
    /// Remove runs beyond the retention limits of the manifests and the host
    #[arg(long, conflicts_with_all = ["older_than", "keep"])]
    by_rules: bool,
    /// Remove runs that ended longer ago than this, such as `7d`
    #[arg(long, value_name = "TIME", value_parser = age)]
    older_than: Option<String>,
    /// Keep only the last N ended runs of each task
    #[arg(long, value_name = "N")]
    keep: Option<u64>,
    /// Remove only runs of this task
    #[arg(long, value_name = "APP/TASK")]
    task: Option<String>,
    /// Remove nothing, only print how much would be removed
    #[arg(long)]
    dry_run: bool,
    /// Confirm that the clock of the host is right after it has jumped ahead
    #[arg(long)]
    confirm_clock: bool,
}

/// The options that make the command valid: a selection, or one that removes no runs by itself.
const WHICH: [&str; 5] = ["by_rules", "older_than", "keep", "dry_run", "confirm_clock"];

/// The run to remove.
#[derive(Args)]
pub(super) struct Delete {
    /// Id of the run
    run: String,
    #[command(flatten)]
    server: Server,
}

/// A text is not an age.
#[derive(Debug, thiserror::Error)]
enum AgeError {
    #[error(transparent)]
    Time(#[from] TimeError),
    #[error("`none` is not an age")]
    Unlimited,
}

/// Checks an age, and sends it as it is written.
fn age(text: &str) -> Result<String, AgeError> {
    match text.parse()? {
        Time(Some(_)) => Ok(text.to_owned()),
        Time(None) => Err(AgeError::Unlimited),
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

/// Exact numbers, so that a dry run can be compared with the removal.
fn amount(value: &Value) -> String {
    format!("{} runs, {} events, {} bytes", value["runs"], value["events"], value["bytes"])
}
