//! Reads, on connections of their own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::run_row::ReadError;
use crate::postgres::{Connector, ErrorClass, Pool, Session, SessionSettings};
use crate::storage::{Result, StorageError};

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
            match on_a_session(&pool, &arguments, &work).await {
                Err(ReadError::Statement(error)) if error.class() == ErrorClass::Disconnected => {
                    on_a_session(&pool, &arguments, &work).await
                }
                other => other,
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

async fn on_a_session<A, T, F>(pool: &Pool, arguments: &A, work: &F) -> Result<T, ReadError>
where
    F: for<'a> Fn(&'a Session, &'a A) -> Reading<'a, T>,
{
    let session = pool.session().await?;
    work(&session, arguments).await
}
