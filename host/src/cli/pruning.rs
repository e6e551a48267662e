//! Commands that remove ended runs.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stdin};

use bytes::Bytes;
use clap::{ArgGroup, Args};
use serde_json::Value;

use super::lists::{encoded, items, print_json, text};
use super::screen::stderr_is_terminal;
use super::table::{Table, column, rest};
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
    /// Do not ask before runs are removed
    #[arg(long, short)]
    yes: bool,
    /// Print the JSON response of the host
    #[arg(long)]
    json: bool,
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
    /// Print the JSON response of the host
    #[arg(long)]
    json: bool,
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
        let client = self.server.client()?;
        let path = self.path(self.dry_run);
        if !self.dry_run && !self.yes && stdin().is_terminal() && stderr_is_terminal() {
            // The clock must not be confirmed by a question.
            let question = if self.confirm_clock {
                Some("confirm that the clock is right, and remove the selected runs for good?".to_owned())
            } else {
                let would = client.post(&self.path(true), &[], Bytes::new()).await?;
                (would["runs"] != 0).then(|| format!("remove {} for good?", amount(&would)))
            };
            if let Some(question) = question
                && !is_confirmed(&question)?
            {
                return Err(Exit::Interrupted("nothing was removed".to_owned()));
            }
        }
        let pruned = client.post(&path, &[], Bytes::new()).await?;
        if self.json {
            return print_json(&pruned);
        }
        let mut table = Table::new(vec![column("task"), column("runs"), column("events"), rest("bytes")]);
        for task in items(&pruned, "tasks") {
            let name = format!("{}/{}", text(&task["app"]), text(&task["task"]));
            let number = |name: &str| task[name].to_string();
            table.add(vec![name, number("runs"), number("events"), number("bytes")]);
        }
        if !table.is_empty() {
            table.print("")?;
        }
        let would = if self.dry_run { "would remove" } else { "removed" };
        writeln!(std::io::stdout().lock(), "{would} {}", amount(&pruned))?;
        Ok(())
    }

    fn path(&self, dry_run: bool) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("dry_run", if dry_run { "true" } else { "false" });
        if self.confirm_clock {
            query.append_pair("confirm_clock", "true");
        }
        let keep = self.keep.map(|keep| keep.to_string());
        for (name, value) in [("older_than", &self.older_than), ("keep", &keep), ("task", &self.task)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        format!("/api/prune?{}", query.finish())
    }
}

/// Asks a question whose default answer is no.
fn is_confirmed(question: &str) -> Result<bool, Exit> {
    let mut err = std::io::stderr().lock();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    drop(err);
    let mut answer = String::new();
    // An answer that is not text is not a yes.
    if stdin().lock().read_line(&mut answer).is_err() {
        return Ok(false);
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

impl Delete {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let path = format!("/api/runs/{}", encoded(&self.run));
        let removed = self.server.client()?.delete(&path).await?;
        if self.json {
            return print_json(&removed);
        }
        writeln!(std::io::stdout().lock(), "removed {}", amount(&removed))?;
        Ok(())
    }
}

/// Exact numbers, so that a dry run can be compared with the removal.
fn amount(value: &Value) -> String {
    format!("{} runs, {} events, {} bytes", value["runs"], value["events"], value["bytes"])
}
