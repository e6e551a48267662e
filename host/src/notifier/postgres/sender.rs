//! Sends hints to other hosts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::payload::Outgoing;
use crate::postgres::{Connection, Connector, Error, ErrorClass, SessionSettings};

/// Time between two transactions with hints. Each costs the server a transaction and every host a wake-up, so a busy host
/// sends 100 of them a second at most, however many runs have news.
const GATHERING_TIME: Duration = Duration::from_millis(10);
/// Pause after the server refused hints over a connection that works.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

const NOTIFY: &str = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload";

/// Sends what is given to [`Shared::outgoing`], until it is aborted.
pub(super) async fn send(shared: Arc<Shared>, connector: Connector) {
    // A commit with a notification has a transaction number, so it would wait for the disk.
    let settings = SessionSettings { synchronous_commit: false, ..SessionSettings::new("hints") };
    let connection = Connection::open(&connector, settings);
    let mut next = Instant::now();
    loop {
        shared.wake.notified().await;
        tokio::time::sleep_until(next).await;
        let outgoing = std::mem::take(&mut *shared.outgoing.lock());
        if outgoing.is_empty() {
            continue;
        }
        next = Instant::now() + GATHERING_TIME;
        if let Err(error) = send_once(&shared, &connection, &outgoing).await {
            shared.outgoing.lock().put_back(outgoing);
            shared.wake.notify_one();
            if error.class() != ErrorClass::Disconnected {
                tracing::warn!(%error, "the database refuses hints to other hosts; trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

async fn send_once(shared: &Shared, connection: &Connection, outgoing: &Outgoing) -> Result<(), Error> {
    let payloads = outgoing.payloads(&shared.sender);
    let session = connection.session().await;
    session.execute(NOTIFY, &[&shared.channel, &payloads]).await?;
    shared.sent.fetch_add(outgoing.count() as u64, Ordering::Relaxed);
    if let Some(probe) = outgoing.probe() {
        shared.probes.send_modify(|probes| probes.sent = probe);
    }
    Ok(())
}
