//! A connection that is opened again when it is lost.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Result;
use super::connector::Connector;
use super::error::{Error, ErrorClass};
use super::session::{Session, SessionSettings};

/// Keeps a session open, by a task that ends when this is dropped.
pub struct Connection {
    current: watch::Receiver<Option<Arc<Session>>>,
    connector: Connector,
    _keeper: AbortOnDropHandle<()>,
}

impl Connection {
    /// Starts the task, which connects at once.
    pub fn open(connector: &Connector, settings: SessionSettings) -> Self {
        let (publish, current) = watch::channel(None);
        let keeper = tokio::spawn(keep(connector.clone(), settings, publish));
        Self { current, connector: connector.clone(), _keeper: AbortOnDropHandle::new(keeper) }
    }

    /// The session, as soon as there is one. Take it again for each statement, and keep it no longer.
    pub async fn session(&self) -> Arc<Session> {
        let mut current = self.current.clone();
        loop {
            if let Some(session) = usable(&current.borrow_and_update()) {
                return session;
            }
            if current.changed().await.is_err() {
                // The runtime stops, and with it the caller.
                return pending().await;
            }
        }
    }

    /// The session, if there is one within this time.
    pub async fn session_within(&self, time: Duration) -> Result<Arc<Session>> {
        tokio::time::timeout(time, self.session()).await.map_err(|_| unreachable(&self.connector, time))
    }

    /// Whether there is a session now.
    pub fn is_connected(&self) -> bool {
        usable(&self.current.borrow()).is_some()
    }
}

/// The error of a caller that waited for so long.
pub(super) fn unreachable(connector: &Connector, time: Duration) -> Error {
    let reason = match connector.outage() {
        Some(outage) => outage.error,
        None => format!("no free connection for {} s", time.as_secs()),
    };
    Error::new(ErrorClass::Disconnected, reason)
}

fn usable(session: &Option<Arc<Session>>) -> Option<Arc<Session>> {
    session.as_ref().filter(|session| !session.is_closed()).cloned()
}

async fn keep(connector: Connector, settings: SessionSettings, publish: watch::Sender<Option<Arc<Session>>>) {
    let mut read_only_servers = connector.read_only_servers();
    for nth in 0_u64.. {
        read_only_servers.mark_unchanged();
        let session = Arc::new(connector.connect_eventually(&settings).await);
        if nth > 0 {
            connector.note_reconnect();
        }
        publish.send_replace(Some(Arc::clone(&session)));
        tokio::select! {
            () = session.closed() => {}
            _ = read_only_servers.changed() => session.close(),
        }
        publish.send_replace(None);
    }
}
