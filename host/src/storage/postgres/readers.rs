//! Reads, on connections of their own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::run_row::ReadError;
use crate::postgres::{self, Connector, ErrorClass, Pool, Session, SessionSettings};
use crate::storage::{Result, StorageError};

/// How long a read is repeated whose connection is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// A read under way.
pub(super) type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T, ReadError>> + Send + 'a>>;

/// A few connections that write nothing.
///
/// A read is a task of its own, so a caller holds no connection: a guest that is paused in a read is not polled during the
/// pause, and would hold it for all that time. And a caller that is dropped leaves no half of an answer on a connection.
pub(super) struct Readers {
    pool: Arc<Pool>,
    closed: AtomicBool,
}

impl Readers {
    /// Opens so many connections.
    pub(super) fn open(connector: &Connector, connections: usize) -> Self {
        let pool = Pool::open(connector, &SessionSettings::reader("reader"), connections);
        Self { pool: Arc::new(pool), closed: AtomicBool::new(false) }
    }

    /// Runs `work` on the next free connection, and again on another one if that is lost. It sees everything that was
    /// committed before it began.
    pub(super) async fn read<A, T, F>(&self, arguments: A, work: F) -> Result<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'a> Fn(&'a Session, &'a A) -> Reading<'a, T> + Send + Sync + 'static,
    {
        if self.closed.load(Ordering::Relaxed) {
            return Err(StorageError::Closed);
        }
        let pool = Arc::clone(&self.pool);
        let reading = tokio::spawn(async move {
            let begun = Instant::now();
            loop {
                let session = pool.session().await?;
                match work(&session, &arguments).await {
                    // Others may have been lost with it, which nobody has noticed yet.
                    Err(ReadError::Statement(error)) if is_lost(&error) && begun.elapsed() < PATIENCE => {}
                    answer => return answer,
                }
            }
        });
        match reading.await {
            Ok(result) => result.map_err(|error| StorageError::Unavailable(error.to_string())),
            // It panicked, or the runtime stops.
            Err(_) => Err(StorageError::Closed),
        }
    }

    /// Rejects reads from now on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// Whether a connection was lost, and the next one may serve the read. A write is refused by all of them.
fn is_lost(error: &postgres::Error) -> bool {
    error.class() == ErrorClass::Disconnected && error.code() != Some("25006")
}

#[cfg(test)]
mod tests {
    use super::super::testing::Schema;
    use super::*;

    async fn number(readers: &Readers, number: i64) -> Result<i64> {
        let read = readers.read(number, |db, number| {
            Box::pin(async move { Ok(db.query_one("SELECT $1::bigint", &[number]).await?.try_get(0)?) })
        });
        read.await
    }

    #[tokio::test]
    async fn a_dropped_read_leaves_its_connection_to_the_next() {
        let Some(schema) = Schema::fresh("dropped reads") else { return };
        let readers = Readers::open(&schema.connector(), 1);
        assert_eq!(number(&readers, 1).await.unwrap(), 1);
        for at in 0..20 {
            let slow = readers.read((), |db, ()| {
                Box::pin(async move { Ok(db.query("SELECT pg_sleep(0.005), -1", &[]).await.map(drop)?) })
            });
            // Dropped while it waits for its answer, or before it is sent.
            let _ = tokio::time::timeout(Duration::from_millis(at % 4), slow).await;
            assert_eq!(number(&readers, at as i64).await.unwrap(), at as i64, "the answer is its own");
        }
    }

    #[tokio::test]
    async fn a_read_is_made_again_if_its_connection_is_cut() {
        let Some(schema) = Schema::fresh("cut connections of readers") else { return };
        let application = format!("reader-of-{}", std::process::id());
        let readers = Readers::open(&schema.connector_of(&application), 2);
        for at in 0..5 {
            assert_eq!(number(&readers, at).await.unwrap(), at);
            schema.server.cut(&format!("{application} reader"));
        }
    }

    #[tokio::test]
    async fn a_reader_writes_nothing() {
        let Some(schema) = Schema::fresh("writes of readers") else { return };
        let storage = schema.open().await;
        let write = storage.readers.read((), |db, ()| {
            Box::pin(async move { Ok(db.execute("UPDATE meta SET version = 99", &[]).await.map(drop)?) })
        });
        assert!(matches!(write.await, Err(StorageError::Unavailable(_))));
        assert_ne!(schema.psql("SELECT version FROM meta"), "99");
    }
}
