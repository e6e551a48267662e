//! `streamtask hosts` and `streamtask migrate`: the hosts that share a database, and its tables.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use serde_json::Value;

use super::lists::{items, print_json, text};
use super::relative::ago;
use super::table::{self, Table, column, dim};
use super::{Exit, Server};
use crate::app::{self, Migration};
use crate::config::Settings;

/// List the hosts that share a database.
#[derive(Args)]
pub(super) struct Hosts {
    #[command(flatten)]
    server: Server,
    /// Print the JSON response of the host
    #[arg(long)]
    json: bool,
}

/// Bring the tables of a shared database up to date.
#[derive(Args)]
pub(super) struct Migrate {
    /// Configuration file of the hosts [default: streamtask.toml, if it exists]
    #[arg(long, value_name = "FILE", env = "STREAMTASK_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Hosts {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let answer = self.server.client()?.get("/api/hosts").await?;
        if self.json {
            return print_json(&answer);
        }
        let columns =
            vec![column("host"), column("runs"), dim("started"), dim("version"), column("url"), dim("id")];
        let (mut table, now) = (Table::new(columns), SystemTime::now());
        items(&answer, "hosts").for_each(|host| table.add(row(host, now)));
        table.print("no host is alive")?;
        Ok(())
    }
}

fn row(host: &Value, now: SystemTime) -> Vec<String> {
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let started = text(&host["started_at"]);
    let started = if table::is_for_people() { ago(&started, now) } else { started };
    vec![
        or_dash(text(&host["name"])),
        host["runs"].to_string(),
        started,
        text(&host["version"]),
        or_dash(text(&host["url"])),
        text(&host["id"]),
    ]
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let usage = |error: crate::config::ConfigError| Exit::Usage(error.to_string());
        let file = Settings::read(self.config.as_deref()).map_err(usage)?;
        let config = self.settings.or(file).config().map_err(usage)?;
        if config.database().map_err(usage)?.is_none() {
            let message = "there is no shared database to migrate: name it with --database; a host migrates SQLite \
                           itself when it starts";
            return Err(Exit::Usage(message.to_owned()));
        }
        let Migration { from, to } =
            app::migrate(&config, self.dry_run).await.map_err(super::launching::failed)?;
        let mut out = std::io::stdout().lock();
        match (from == to, self.dry_run) {
            (true, _) => writeln!(out, "the tables are of version {to}; nothing to do")?,
            (false, true) => writeln!(out, "the tables would be migrated from version {from} to {to}")?,
            (false, false) => writeln!(out, "the tables were migrated from version {from} to {to}")?,
        }
        Ok(())
    }
}
