//! A host's part in a PostgreSQL database that several hosts share.

use std::sync::Arc;

use super::LaunchError;
use super::builder::Backend;
use crate::config::{Config, Durability};
use crate::notifier::{Notifier, PostgresNotifier};
use crate::postgres::{Connector, DatabaseUrl};
use crate::scheduler::Sharing;
use crate::storage::postgres::{self, Postgres};
use crate::storage::{self, Storage};

/// How sessions of a host are named in the list of the server (`pg_stat_activity`).
const APPLICATION: &str = "streamtask";

/// Opens the shared database, if the configuration names one and the embedding program brings no storage of its own.
pub(super) async fn open(
    config: &Config,
    backend: Backend,
) -> Result<(Backend, Option<Sharing>), LaunchError> {
    let Some(url) = config.database()? else { return Ok((backend, None)) };
    if backend.storage.is_some() {
        return Ok((backend, None));
    }
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| LaunchError::SharedDatabase {
        url: url.to_string(),
        source,
    };
    let name = config.host_name.clone().unwrap_or_else(machine_name);
    let connector = connector(config, url, &name).map_err(|error| failed(error.into()))?;
    let durability = match config.durability {
        Durability::Full => storage::Durability::Full,
        Durability::Normal => storage::Durability::Normal,
    };
    let opened = Postgres::open(connector.clone(), durability, config.database_connections).await;
    let storage = Arc::new(opened.map_err(|error| failed(error.into()))?) as Arc<dyn Storage>;
    let notifier = backend
        .notifier
        .unwrap_or_else(|| Arc::new(PostgresNotifier::start(&connector)) as Arc<dyn Notifier>);
    let sharing = Sharing { lease: config.lease, name, url: config.advertise.clone() };
    Ok((Backend { storage: Some(storage), notifier: Some(notifier) }, Some(sharing)))
}

/// What connects to the database of the configuration.
pub(super) fn connector(
    config: &Config,
    url: &DatabaseUrl,
    name: &str,
) -> Result<Connector, crate::postgres::SetupError> {
    let application = format!("{APPLICATION} {name}");
    Connector::new(url.clone(), config.database_schema.clone(), &application, config.database_ca.clone())
}

/// The name of the machine.
pub(super) fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Versions of the tables of a shared database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Before the migration. 0: there are no tables.
    pub from: usize,
    /// After it.
    pub to: usize,
}

/// Migrates the tables of the shared database, or only says what it would do. With a configuration that names none, nothing
/// is done.
pub async fn migrate(config: &Config, dry_run: bool) -> Result<Migration, LaunchError> {
    let Some(url) = config.database()? else { return Ok(Migration { from: 0, to: 0 }) };
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| LaunchError::SharedDatabase {
        url: url.to_string(),
        source,
    };
    let connector = connector(config, url, "migrate").map_err(|error| failed(error.into()))?;
    let versions = match dry_run {
        true => postgres::pending(&connector).await,
        false => postgres::migrate(&connector).await,
    };
    let (from, to) = versions.map_err(|error| failed(error.into()))?;
    Ok(Migration { from, to })
}
