//! Notifier between hosts that share a PostgreSQL database, by `LISTEN` and `NOTIFY`.
//!
//! ```text
//! notify ─┬─▶ LocalNotifier ─────────────────────▶ listeners of this process
//!         └─▶ Outgoing ──(10 ms)──▶ pg_notify ──▶ all hosts ──▶ LocalNotifier of each
//! ```
//!
//! - **Hints are sent by a connection of their own**, never in a transaction that writes: PostgreSQL lets transactions with a
//!   notification commit one after the other, on the whole server. Hints of 10 ms are sent together; the first one after a
//!   silence is sent at once. Their commits do not wait for the disk, because hints may be lost.
//! - **A host that is alone sends nothing** ([`PostgresNotifier::set_others`]).
//! - **A connection that listens can die in silence.** So it is asked every 5 s; when it is opened again, every listener of
//!   this process is hinted to, because something may have been missed.
//! - **A pooler may drop `LISTEN` without an error**, if it gives each transaction another session. So the sender sends a
//!   probe to its own host whenever the listener has connected, and once a minute. While probes do not arrive,
//!   [`PostgresNotifier::problem`] says so, and all listeners are hinted to every 250 ms: whoever waits for a hint then polls.
//!
//! Knows nothing of storage, and nobody reads hints but for what they name.

mod listener;
mod payload;
mod sender;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use self::payload::Outgoing;
use super::{Listener, LocalNotifier, Notifier, Topic};
use crate::postgres::Connector;

/// What [`PostgresNotifier::problem`] says.
const NO_HINTS: &str =
    "hints of other hosts do not arrive: is there a pooler in transaction mode? LISTEN needs session mode";

/// Notifier within this process and between hosts.
pub struct PostgresNotifier {
    shared: Arc<Shared>,
    /// The sender, the listener, and what hints in place of them.
    _tasks: [AbortOnDropHandle<()>; 3],
}

/// Numbers of a notifier since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HintCounts {
    /// Hints sent to other hosts, for whom several may have come together.
    pub sent: u64,
    /// Hints received from other hosts.
    pub heard: u64,
    /// How long the last probe took to arrive, with the time for which hints are gathered.
    pub lag: Duration,
}

struct Shared {
    local: LocalNotifier,
    /// Distinguishes own notifications. Drawn at random for each notifier.
    sender: String,
    channel: String,
    has_others: AtomicBool,
    outgoing: Mutex<Outgoing>,
    /// Wakes the sender.
    wake: Notify,
    probes: watch::Sender<Probes>,
    arrival: watch::Sender<Arrival>,
    sent: AtomicU64,
    heard: AtomicU64,
    lag_us: AtomicU64,
}

/// The last probes.
#[derive(Clone, Copy, Default)]
struct Probes {
    sent: u64,
    heard: u64,
}

/// Whether notifications reach the host that sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    /// No probe has been answered or missed yet.
    Unknown,
    Yes,
    No,
}

impl PostgresNotifier {
    /// Starts to connect. Hints within this process work at once.
    pub fn start(connector: &Connector) -> Self {
        let shared = Arc::new(Shared {
            local: LocalNotifier::new(),
            sender: format!("{:016x}", fastrand::u64(..)),
            channel: format!("streamtask_{}", connector.schema()),
            has_others: AtomicBool::new(true),
            outgoing: Mutex::default(),
            wake: Notify::new(),
            probes: watch::Sender::default(),
            arrival: watch::Sender::new(Arrival::Unknown),
            sent: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            lag_us: AtomicU64::new(0),
        });
        let tasks = [
            tokio::spawn(sender::send(Arc::clone(&shared), connector.clone())),
            tokio::spawn(listener::listen(Arc::clone(&shared), connector.clone())),
            tokio::spawn(listener::hint_instead(Arc::clone(&shared))),
        ];
        Self { shared, _tasks: tasks.map(AbortOnDropHandle::new) }
    }

    /// Waits until it is known whether hints of other hosts arrive, and returns that.
    pub async fn probed(&self) -> bool {
        let mut arrival = self.shared.arrival.subscribe();
        let known = arrival.wait_for(|arrival| *arrival != Arrival::Unknown).await;
        known.is_ok_and(|arrival| *arrival == Arrival::Yes)
    }

    /// Numbers for metrics.
    pub fn counts(&self) -> HintCounts {
        let shared = &self.shared;
        HintCounts {
            sent: shared.sent.load(Ordering::Relaxed),
            heard: shared.heard.load(Ordering::Relaxed),
            lag: Duration::from_micros(shared.lag_us.load(Ordering::Relaxed)),
        }
    }
}

impl Notifier for PostgresNotifier {
    fn notify(&self, topic: &Topic) {
        self.shared.local.notify(topic);
        if self.reaches_others() {
            self.shared.outgoing.lock().add(topic.clone());
            self.shared.wake.notify_one();
        }
    }

    fn listen(&self, topic: Topic) -> Listener {
        self.shared.local.listen(topic)
    }

    fn reaches_others(&self) -> bool {
        self.shared.has_others.load(Ordering::Relaxed)
    }

    /// Until this is called, another host is assumed to be alive.
    fn set_others(&self, has_others: bool) {
        self.shared.has_others.store(has_others, Ordering::Relaxed);
    }

    fn problem(&self) -> Option<&'static str> {
        (*self.shared.arrival.borrow() == Arrival::No).then_some(NO_HINTS)
    }
}
