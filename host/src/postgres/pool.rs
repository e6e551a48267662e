//! Sessions for reads, each lent to one caller at a time.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Result;
use super::connection::{Connection, unreachable};
use super::connector::Connector;
use super::error::{Error, ErrorClass};
use super::session::{Session, SessionSettings};

/// How long a caller waits for a session. A client that reads is better told than left waiting.
const WAIT: Duration = Duration::from_secs(5);

/// A fixed number of sessions. A statement on one session waits for those before it, so each has one caller at a time.
pub struct Pool {
    connector: Connector,
    connections: Vec<Connection>,
    /// As many permits as there are indices in `idle`.
    permits: Semaphore,
    /// Indices of the connections that nobody has. The last returned is taken first: its server process is warm.
    idle: Mutex<Vec<usize>>,
}

impl Pool {
    /// Opens so many connections.
    pub fn open(connector: &Connector, settings: &SessionSettings, size: usize) -> Self {
        let open = |_| Connection::open(connector, settings.clone());
        Self {
            connector: connector.clone(),
            connections: (0..size).map(open).collect(),
            permits: Semaphore::new(size),
            idle: Mutex::new((0..size).rev().collect()),
        }
    }

    /// A session for one caller, until it is dropped. Waits for at most 5 s.
    pub async fn session(&self) -> Result<PooledSession<'_>> {
        let taken = async {
            let permit = self.permits.acquire().await;
            let permit = permit.map_err(|_| Error::new(ErrorClass::Disconnected, "the pool is closed"))?;
            let place = Place { pool: self, at: self.take_idle(), _permit: permit };
            let session = self.connections[place.at].session().await;
            Ok(PooledSession { session, _place: place })
        };
        tokio::time::timeout(WAIT, taken).await.unwrap_or_else(|_| Err(unreachable(&self.connector, WAIT)))
    }

    /// One that is connected, if there is one.
    fn take_idle(&self) -> usize {
        let mut idle = self.idle.lock();
        let connected = idle.iter().rposition(|at| self.connections[*at].is_connected());
        let last = idle.len() - 1;
        idle.remove(connected.unwrap_or(last))
    }
}

/// A connection that is taken.
struct Place<'a> {
    pool: &'a Pool,
    at: usize,
    /// Given back after the index, because fields are dropped after `drop`.
    _permit: SemaphorePermit<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pool.idle.lock().push(self.at);
    }
}

/// A session that nobody else has.
pub struct PooledSession<'a> {
    session: Arc<Session>,
    _place: Place<'a>,
}

impl Deref for PooledSession<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}
