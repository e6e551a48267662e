//! Receives hints of other hosts, and finds out whether they arrive.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::super::Notifier as _;
use super::payload::{Hint, parse};
use super::{Arrival, NO_HINTS, Shared};
use crate::postgres::{Connection, Connector, Result, Session, SessionSettings};

/// How often the connection is asked whether it lives, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a probe may take. Usually it takes a millisecond.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a probe is sent, while they arrive and while they do not.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);
const PROBE_AGAIN: Duration = Duration::from_secs(5);
/// How often all listeners are hinted to while hints do not arrive: fast enough for a person who watches a run, slow enough
/// for the database.
const INSTEAD_INTERVAL: Duration = Duration::from_millis(250);
/// Pause after the server refused to listen over a connection that works.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Receives hints until it is aborted.
pub(super) async fn listen(shared: Arc<Shared>, connector: Connector) {
    let receiver = Arc::clone(&shared);
    let settings = SessionSettings {
        on_notification: Some(Arc::new(move |channel, payload| receiver.receive(channel, payload))),
        ..SessionSettings::new("listen")
    };
    let connection = Connection::open(&connector, settings);
    let listen = format!("LISTEN \"{}\"", shared.channel);
    loop {
        let session = connection.session().await;
        if let Err(error) = session.batch(&listen).await {
            tracing::debug!(%error, "can't listen to hints of other hosts");
            sleep(RETRY_PAUSE).await;
            continue;
        }
        // Before this, something may have been missed.
        shared.local.notify_all();
        tokio::select! {
            () = session.closed() => {}
            Err(error) = ping(&session) => {
                tracing::debug!(%error, "the connection that listens is lost");
                session.close();
            }
            () = probe(&shared) => {}
        }
    }
}

/// Asks the server until it does not answer.
async fn ping(session: &Session) -> Result<()> {
    loop {
        sleep(PING_INTERVAL).await;
        match timeout(PING_TIMEOUT, session.batch("")).await {
            Ok(answer) => answer?,
            Err(_) => session.close(),
        }
    }
}

/// Sends probes to this host, and notes whether they arrive. Never ends.
async fn probe(shared: &Shared) {
    let mut probes = shared.probes.subscribe();
    loop {
        let (probe, began) = (fastrand::u64(1..), Instant::now());
        shared.outgoing.lock().set_probe(probe);
        shared.wake.notify_one();
        if probes.wait_for(|probes| probes.sent == probe || probes.heard == probe).await.is_err() {
            return pending().await;
        }
        let heard = timeout(PROBE_TIMEOUT, probes.wait_for(|probes| probes.heard == probe)).await.is_ok();
        if heard {
            let lag_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            shared.lag_us.store(lag_us, Ordering::Relaxed);
        }
        shared.note_arrival(heard);
        sleep(if heard { PROBE_INTERVAL } else { PROBE_AGAIN }).await;
    }
}

/// Hints to all listeners while hints do not arrive. Never ends.
pub(super) async fn hint_instead(shared: Arc<Shared>) {
    let mut arrival = shared.arrival.subscribe();
    while arrival.wait_for(|arrival| *arrival == Arrival::No).await.is_ok() {
        shared.local.notify_all();
        sleep(INSTEAD_INTERVAL).await;
    }
}

impl Shared {
    fn receive(&self, channel: &str, payload: &str) {
        if channel != self.channel {
            return;
        }
        let (sender, hints) = parse(payload);
        let is_own = sender == self.sender;
        for hint in hints {
            if let Hint::Probe(probe) = hint {
                if is_own {
                    self.probes.send_modify(|probes| probes.heard = probe);
                }
                continue;
            }
            if is_own {
                // Its listeners were hinted to when it was given to the sender.
                continue;
            }
            self.heard.fetch_add(1, Ordering::Relaxed);
            match hint {
                Hint::Topic(topic) => self.local.notify(&topic),
                _ => self.local.notify_all(),
            }
        }
    }

    fn note_arrival(&self, arrives: bool) {
        let now = if arrives { Arrival::Yes } else { Arrival::No };
        let before = self.arrival.send_replace(now);
        match (before, now) {
            (Arrival::Unknown | Arrival::Yes, Arrival::No) => tracing::warn!("{NO_HINTS}; polling instead"),
            (Arrival::No, Arrival::Yes) => tracing::info!("hints of other hosts arrive again"),
            _ => {}
        }
    }
}
