//! Creation and migration of the schema.
//!
//! A host that starts creates an empty schema, and changes no other: with many hosts, a migration is a step of its own. It
//! can run beside hosts of the release before.

use std::time::Duration;

use super::schema::MIGRATIONS;
use crate::postgres::{Connector, Error, ErrorClass, Session, SessionSettings};

/// How long one migration waits for another. Longer than any step takes on a large database would be of no use: people
/// watch it.
const LOCK_TRIES: u32 = 60;
/// The command that migrates the schema.
const COMMAND: &str = "streamtask migrate";

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An earlier version of streamtask wrote it.
    #[error("the schema {schema} is of version {found}, and this streamtask needs {known}; run `{COMMAND}`")]
    Older {
        /// The schema.
        schema: String,
        /// Its version.
        found: usize,
        /// The version that this build needs.
        known: usize,
    },
    /// A newer version of streamtask wrote it, and has changed what this one uses.
    #[error(
        "the schema {schema} is of version {found}, and this streamtask knows only {known}; use a newer streamtask"
    )]
    Newer {
        /// The schema.
        schema: String,
        /// Its version.
        found: usize,
        /// The newest version that this build knows.
        known: usize,
    },
    /// It belongs to another program.
    #[error("the schema {0} belongs to another program; choose another with --database-schema")]
    Foreign(String),
    /// The database can't be reached, or refuses a statement.
    #[error("PostgreSQL: {0}")]
    Postgres(#[from] Error),
}

/// What is in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Version(usize),
}

/// Creates the schema if it is empty, and fails if it is of a version that this host can't use.
pub(super) async fn prepare(connector: &Connector) -> Result<(), OpenError> {
    let session = connector.connect(&settings()).await?;
    let schema = connector.schema().as_str();
    let known = MIGRATIONS.len();
    match found(&session, schema).await? {
        Found::Nothing => apply(&session, schema).await.map(drop),
        Found::Version(version) if version < known => {
            Err(OpenError::Older { schema: schema.to_owned(), found: version, known })
        }
        Found::Version(_) => Ok(()),
    }
}

/// Brings the schema to the version of this build. Returns the version before and after.
pub async fn migrate(connector: &Connector) -> Result<(usize, usize), OpenError> {
    let session = connector.connect(&settings()).await?;
    apply(&session, connector.schema().as_str()).await
}

/// The version of the schema, 0 if it is empty, and the one that [`migrate`] would bring it to.
pub async fn pending(connector: &Connector) -> Result<(usize, usize), OpenError> {
    let session = connector.connect(&settings()).await?;
    let known = MIGRATIONS.len();
    match found(&session, connector.schema().as_str()).await? {
        Found::Nothing => Ok((0, known)),
        Found::Version(version) => Ok((version, known.max(version))),
    }
}

fn settings() -> SessionSettings {
    SessionSettings { statement_timeout: None, ..SessionSettings::new("migrate") }
}

/// Looks at the schema without changing it.
async fn found(session: &Session, schema: &str) -> Result<Found, OpenError> {
    let row = session
        .query_one(
            "SELECT count(*), count(*) FILTER (WHERE relname = 'meta') FROM pg_class \
             JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = $1",
            &[&schema],
        )
        .await?;
    match (row.get::<_, i64>(0), row.get::<_, i64>(1)) {
        (0, _) => return Ok(Found::Nothing),
        (_, 0) => return Err(OpenError::Foreign(schema.to_owned())),
        _ => {}
    }
    let row = session.query_opt("SELECT version, min_host FROM meta", &[]).await?;
    let row = row.ok_or_else(|| OpenError::Foreign(schema.to_owned()))?;
    let [version, min_host] = [0, 1].map(|at| usize::try_from(row.get::<_, i32>(at)).unwrap_or(usize::MAX));
    let known = MIGRATIONS.len();
    if min_host > known {
        return Err(OpenError::Newer { schema: schema.to_owned(), found: version, known });
    }
    Ok(Found::Version(version))
}

/// Applies the missing steps, one transaction each: a crash in between leaves a whole version behind.
async fn apply(session: &Session, schema: &str) -> Result<(usize, usize), OpenError> {
    lock(session, schema).await?;
    // Looked at again under the lock, because another host may have done it meanwhile.
    let before = match found(session, schema).await? {
        Found::Nothing => 0,
        Found::Version(version) => version,
    };
    for (done, step) in MIGRATIONS.iter().enumerate().skip(before) {
        let create =
            if done == 0 { format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\";") } else { String::new() };
        let version = done + 1;
        session.batch(&format!("{create}{}\nUPDATE meta SET version = {version};", step.join("\n"))).await?;
        tracing::info!(schema, version, "migrated the database");
    }
    Ok((before, before.max(MIGRATIONS.len())))
}

/// Two that create the same tables at once would fail, or deadlock. Released when the session ends.
async fn lock(session: &Session, schema: &str) -> Result<(), OpenError> {
    let mut tries = 0;
    loop {
        match session.query("SELECT pg_advisory_lock(1937011310, hashtext($1))", &[&schema]).await {
            Ok(_) => return Ok(()),
            // It waits for a few seconds each time.
            Err(error) if error.class() == ErrorClass::Conflict && tries < LOCK_TRIES => {
                tries += 1;
                tracing::info!(schema, "another host migrates the database; waiting for it");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use streamtask_test_postgres::server;

    use super::*;

    fn connector(url: &str, schema: &str) -> Connector {
        let url = url.parse().expect("a URL");
        Connector::new(url, schema.parse().expect("a schema"), "test", None).expect("needs no certificates")
    }

    #[tokio::test]
    async fn a_schema_is_created_once_and_refused_if_it_is_not_ours() {
        let Some(server) = server("the schema") else { return };
        let schema = server.fresh_schema();
        let open = async |schema: &str| prepare(&connector(&server.url(), schema)).await;
        let (one, other) = futures_util::future::join(open(&schema), open(&schema)).await;
        one.and(other).expect("one of both makes it, and the other waits");
        let known = MIGRATIONS.len();
        let again = migrate(&connector(&server.url(), &schema)).await.expect("nothing to do");
        assert_eq!(again, (known, known));

        let refused = async |schema: &str| open(schema).await.expect_err("it is refused");
        server.psql(&format!("UPDATE {schema}.meta SET version = 99"));
        open(&schema).await.expect("it may write");
        server.psql(&format!("UPDATE {schema}.meta SET min_host = 99"));
        assert!(matches!(refused(&schema).await, OpenError::Newer { found: 99, .. }));
        server.psql(&format!("UPDATE {schema}.meta SET version = 0, min_host = 0"));
        let older = refused(&schema).await;
        assert!(older.to_string().contains("streamtask migrate"), "{older}");

        let foreign = server.fresh_schema();
        server.psql(&format!("CREATE SCHEMA {foreign}; CREATE TABLE {foreign}.theirs (x int)"));
        assert!(matches!(refused(&foreign).await, OpenError::Foreign(_)));
        assert!(matches!(migrate(&connector(&server.url(), &foreign)).await, Err(OpenError::Foreign(_))));
    }
}
