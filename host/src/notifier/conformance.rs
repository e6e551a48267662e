//! Conformance tests for every [`Notifier`]. A backend's tests call [`run`].

use std::time::Duration;

use super::{Listener, Notifier, Topic};
use crate::model::{HostId, RunId};

/// Longest time a hint may take.
const SOON: Duration = Duration::from_secs(10);

async fn hears(listener: &Listener) {
    assert!(tokio::time::timeout(SOON, listener.heard()).await.is_ok(), "a hint was not heard");
}

/// Panics at the first violation.
pub async fn run(notifier: &dyn Notifier) {
    let run = Topic::Run(RunId::new());

    // Without listeners, nothing happens.
    notifier.notify(&Topic::Queue);

    // A hint between `listen` and `heard` is stored.
    let listener = notifier.listen(Topic::Queue);
    notifier.notify(&Topic::Queue);
    hears(&listener).await;

    // All listeners of a topic get each hint.
    let second = notifier.listen(Topic::Queue);
    for _ in 0..3 {
        notifier.notify(&Topic::Queue);
        hears(&listener).await;
        hears(&second).await;
    }

    // A dropped listener does not affect the others.
    drop(listener);
    notifier.notify(&Topic::Queue);
    hears(&second).await;

    // Topics are separate: a hint about one run does not wake listeners of another.
    let of_run = notifier.listen(run.clone());
    let of_other = notifier.listen(Topic::Run(RunId::new()));
    notifier.notify(&run);
    hears(&of_run).await;
    let nothing = tokio::time::timeout(Duration::from_millis(20), of_other.heard()).await;
    assert!(nothing.is_err(), "a hint reached a listener of another topic");

    // The same for messages to one host, and for each topic without a subject.
    let host = HostId::new();
    let topics = [
        Topic::Queue,
        Topic::Cancel,
        Topic::Runs,
        Topic::Tasks,
        Topic::Removed,
        Topic::Messages(host.clone()),
        Topic::Messages(HostId::new()),
    ];
    let listeners: Vec<Listener> = topics.iter().map(|topic| notifier.listen(topic.clone())).collect();
    for (topic, listener) in topics.iter().zip(&listeners) {
        notifier.notify(topic);
        hears(listener).await;
    }
    notifier.notify(&Topic::Messages(host));
    // However long it takes between hosts.
    hears(&listeners[5]).await;
    for (topic, listener) in topics.iter().zip(&listeners) {
        let heard = tokio::time::timeout(Duration::from_millis(20), listener.heard()).await;
        assert!(heard.is_err(), "{topic:?}");
    }

    // A listener that waits is woken.
    let (heard, ()) = tokio::join!(tokio::time::timeout(SOON, of_run.heard()), async {
        tokio::task::yield_now().await;
        notifier.notify(&run);
    });
    assert!(heard.is_ok(), "a waiting listener was not woken");
}
