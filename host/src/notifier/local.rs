use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Listener, Notifier, Topic};

type Listeners = HashMap<Topic, Vec<Arc<Notify>>>;

/// Notifier within this process.
#[derive(Clone, Default)]
pub struct LocalNotifier {
    listeners: Arc<Mutex<Listeners>>,
    is_shared: bool,
}

impl LocalNotifier {
    /// A notifier without listeners, for the only host of this process.
    pub fn new() -> Self {
        Self::default()
    }

    /// A notifier without listeners, for several hosts of this process. Its clones share all listeners.
    pub fn between_hosts() -> Self {
        Self { is_shared: true, ..Self::default() }
    }

    /// Wakes the listeners of all topics.
    pub(super) fn notify_all(&self) {
        let listeners = self.listeners.lock();
        for hints in listeners.values().flatten() {
            hints.notify_one();
        }
    }
}

impl Notifier for LocalNotifier {
    fn notify(&self, topic: &Topic) {
        let listeners = self.listeners.lock();
        for hints in listeners.get(topic).into_iter().flatten() {
            // Stores one permit for a listener that does not wait right now.
            hints.notify_one();
        }
    }

    fn listen(&self, topic: Topic) -> Listener {
        let hints = Arc::new(Notify::new());
        let mut listeners = self.listeners.lock();
        listeners.entry(topic.clone()).or_default().push(Arc::clone(&hints));
        let (all, own) = (Arc::clone(&self.listeners), Arc::clone(&hints));
        Listener::new(hints, move || {
            let mut listeners = all.lock();
            if let Some(of_topic) = listeners.get_mut(&topic) {
                of_topic.retain(|hints| !Arc::ptr_eq(hints, &own));
                if of_topic.is_empty() {
                    listeners.remove(&topic);
                }
            }
        })
    }

    fn reaches_others(&self) -> bool {
        self.is_shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifier::conformance;

    #[tokio::test]
    async fn conforms() {
        conformance::run(&LocalNotifier::new()).await;
        conformance::run(&LocalNotifier::between_hosts()).await;
    }

    #[tokio::test]
    async fn its_clones_reach_each_other_and_say_so_if_they_are_other_hosts() {
        assert!(!LocalNotifier::new().reaches_others());
        let one = LocalNotifier::between_hosts();
        let other = one.clone();
        assert!(one.reaches_others() && other.reaches_others());
        let listener = other.listen(Topic::Tasks);
        one.notify(&Topic::Tasks);
        listener.heard().await;
    }

    #[test]
    fn topics_without_listeners_are_removed() {
        let notifier = LocalNotifier::new();
        drop(notifier.listen(Topic::Queue));
        assert!(notifier.listeners.lock().is_empty());
    }
}
