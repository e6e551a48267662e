//! Wake-ups between the hosts of a simulation: late, and sometimes lost.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use streamtask_host::notifier::{Listener, LocalNotifier, Notifier, Topic};

/// Longest time that a hint takes to another host, in milliseconds.
const MAX_DELAY_MS: u64 = 20;

/// What connects the hosts.
#[derive(Clone, Default)]
pub(crate) struct Hints(Arc<Mutex<Wire>>);

#[derive(Default)]
struct Wire {
    /// The hosts that are alive, by an index that is never given again.
    hosts: Vec<(u64, LocalNotifier)>,
    joined: u64,
    /// One in this many hints between hosts is lost; none if 0.
    loses_one_in: u32,
}

/// The notifier of one host. Disconnected when it is dropped.
pub(crate) struct HostNotifier {
    hints: Hints,
    index: u64,
    own: LocalNotifier,
}

impl Hints {
    pub(crate) fn new(loses_one_in: u32) -> Self {
        let hints = Self::default();
        hints.0.lock().loses_one_in = loses_one_in;
        hints
    }

    /// The notifier of another host.
    pub(crate) fn join(&self) -> HostNotifier {
        let own = LocalNotifier::new();
        let mut wire = self.0.lock();
        wire.joined += 1;
        let index = wire.joined;
        wire.hosts.push((index, own.clone()));
        HostNotifier { hints: self.clone(), index, own }
    }
}

impl Notifier for HostNotifier {
    fn notify(&self, topic: &Topic) {
        self.own.notify(topic);
        let wire = self.hints.0.lock();
        for (_, other) in wire.hosts.iter().filter(|(index, _)| *index != self.index) {
            if wire.loses_one_in > 0 && fastrand::u32(..wire.loses_one_in) == 0 {
                continue;
            }
            let (other, topic) = (other.clone(), topic.clone());
            let delay = Duration::from_millis(fastrand::u64(..=MAX_DELAY_MS));
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                other.notify(&topic);
            });
        }
    }

    fn listen(&self, topic: Topic) -> Listener {
        self.own.listen(topic)
    }

    fn reaches_others(&self) -> bool {
        self.hints.0.lock().hosts.len() > 1
    }
}

impl Drop for HostNotifier {
    fn drop(&mut self) {
        self.hints.0.lock().hosts.retain(|(index, _)| *index != self.index);
    }
}
