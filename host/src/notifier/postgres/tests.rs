use std::time::Duration;

use streamtask_test_postgres::{Proxy, Server, server};

use super::*;
use crate::model::{HostId, RunId};
use crate::notifier::conformance;

/// Longest time for what happens in the background.
const SOON: Duration = Duration::from_secs(60);
/// Long enough for a hint that should not come to come.
const A_MOMENT: Duration = Duration::from_millis(50);

/// A connector to a schema, by the server's own port or through something else.
fn connector(server: &Server, url: &str, schema: &str) -> Connector {
    let url = if url.is_empty() { server.url() } else { url.to_owned() };
    Connector::new(url.parse().expect("a URL"), schema.parse().expect("a schema"), "test", None)
        .expect("plain")
}

async fn started(connector: &Connector) -> PostgresNotifier {
    let notifier = PostgresNotifier::start(connector);
    assert!(within(notifier.probed()).await, "hints do not arrive");
    notifier
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.expect("in time")
}

async fn is_hinted_to(listener: &Listener) -> bool {
    tokio::time::timeout(A_MOMENT, listener.heard()).await.is_ok()
}

/// Waits until nothing is heard any more.
async fn silence(listener: &Listener) {
    while is_hinted_to(listener).await {}
}

/// Two hosts: one writes, and the other reads.
struct Pair {
    writes: PostgresNotifier,
    reads: PostgresNotifier,
}

impl Notifier for Pair {
    fn notify(&self, topic: &Topic) {
        self.writes.notify(topic);
    }

    fn listen(&self, topic: Topic) -> Listener {
        self.reads.listen(topic)
    }

    fn reaches_others(&self) -> bool {
        self.writes.reaches_others()
    }
}

async fn pair(server: &Server) -> Pair {
    let schema = server.fresh_schema();
    let connector = connector(server, "", &schema);
    Pair { writes: started(&connector).await, reads: started(&connector).await }
}

#[tokio::test]
async fn conforms_within_a_host() {
    let Some(server) = server("notifier::postgres within a host") else { return };
    conformance::run(&started(&connector(server, "", &server.fresh_schema())).await).await;
}

#[tokio::test]
async fn conforms_between_two_hosts() {
    let Some(server) = server("notifier::postgres between two hosts") else { return };
    conformance::run(&pair(server).await).await;
}

#[tokio::test]
async fn every_topic_reaches_the_other_host_and_no_other_schema() {
    let Some(server) = server("topics of notifier::postgres") else { return };
    let (pair, foreign) = (pair(server).await, pair(server).await);
    let topics = [
        Topic::Queue,
        Topic::Cancel,
        Topic::Runs,
        Topic::Run(RunId::new()),
        Topic::Messages(HostId::new()),
        Topic::Tasks,
        Topic::Removed,
    ];
    for topic in topics {
        let (listener, elsewhere) = (pair.listen(topic.clone()), foreign.listen(topic.clone()));
        pair.notify(&topic);
        within(listener.heard()).await;
        assert!(!is_hinted_to(&elsewhere).await, "{topic:?} was heard in another schema");
    }
}

#[tokio::test]
async fn a_host_hears_itself_once_and_not_from_the_database() {
    let Some(server) = server("own hints of notifier::postgres") else { return };
    let pair = pair(server).await;
    let (own, other) = (pair.writes.listen(Topic::Queue), pair.reads.listen(Topic::Queue));
    pair.notify(&Topic::Queue);
    within(own.heard()).await;
    within(other.heard()).await;
    assert!(!is_hinted_to(&own).await, "its own hint came back");
    assert_eq!(pair.writes.counts().heard, 0);
    assert!(pair.reads.counts().heard > 0);
}

#[tokio::test]
async fn a_host_that_is_alone_sends_nothing() {
    let Some(server) = server("a lonely notifier::postgres") else { return };
    let pair = pair(server).await;
    let (queue, runs) = (pair.listen(Topic::Queue), pair.listen(Topic::Runs));
    pair.writes.set_others(false);
    assert!(!pair.reaches_others());
    pair.notify(&Topic::Queue);
    pair.writes.set_others(true);
    pair.notify(&Topic::Runs);
    within(runs.heard()).await;
    assert!(!is_hinted_to(&queue).await);
}

#[tokio::test]
async fn thousands_of_hints_reach_those_who_listen_to_one_of_them() {
    let Some(server) = server("many hints of notifier::postgres") else { return };
    let pair = pair(server).await;
    let runs: Vec<_> = (0..10_000).map(|_| RunId::new()).collect();
    let listeners: Vec<_> =
        [0, 5_000, 9_999].into_iter().map(|at| pair.listen(Topic::Run(RunId::clone(&runs[at])))).collect();
    for run in runs {
        pair.notify(&Topic::Run(run));
    }
    for listener in listeners {
        within(listener.heard()).await;
    }
}

#[tokio::test]
async fn a_cut_connection_is_opened_again_and_every_listener_is_hinted_to() {
    let Some(server) = server("a cut notifier::postgres") else { return };
    let schema = server.fresh_schema();
    let proxy = Proxy::start(server.address());
    let writes = started(&connector(server, "", &schema)).await;
    let reads = started(&connector(server, &server.url_by(proxy.address), &schema)).await;
    let listeners = [Topic::Queue, Topic::Run(RunId::new()), Topic::Removed]
        .map(|topic| (reads.listen(topic.clone()), topic));
    proxy.cut();
    for (listener, _) in &listeners {
        within(listener.heard()).await;
    }
    for (listener, topic) in &listeners {
        silence(listener).await;
        writes.notify(topic);
        within(listener.heard()).await;
    }
    // What was given to the sender while it was not connected is sent later.
    let listener = writes.listen(Topic::Queue);
    proxy.cut();
    reads.notify(&Topic::Queue);
    within(listener.heard()).await;
}

#[tokio::test]
async fn a_connection_that_dies_in_silence_is_noticed() {
    let Some(server) = server("a silent notifier::postgres") else { return };
    let (schema, proxy) = (server.fresh_schema(), Proxy::start(server.address()));
    let connector = connector(server, &server.url_by(proxy.address), &schema);
    let reads = started(&connector).await;
    proxy.set_silent(true);
    within(async {
        while connector.outage().is_none() {
            tokio::time::sleep(A_MOMENT).await;
        }
    })
    .await;
    let listener = reads.listen(Topic::Queue);
    proxy.set_silent(false);
    within(listener.heard()).await;
}

#[tokio::test]
async fn a_pooler_that_swallows_notifications_is_noticed_and_polled_around() {
    let Some(server) = server("notifier::postgres behind a pooler") else { return };
    let (schema, proxy) = (server.fresh_schema(), Proxy::start(server.address()));
    proxy.set_swallows_notifications(true);
    let reads = PostgresNotifier::start(&connector(server, &server.url_by(proxy.address), &schema));
    assert!(!within(reads.probed()).await);
    assert!(reads.problem().is_some_and(|problem| problem.contains("pooler")));
    // Nobody sends anything, and still everybody is hinted to, again and again.
    let listeners = [Topic::Queue, Topic::Run(RunId::new())].map(|topic| reads.listen(topic));
    for _ in 0..3 {
        for listener in &listeners {
            within(listener.heard()).await;
        }
    }
    proxy.set_swallows_notifications(false);
    within(async {
        while reads.problem().is_some() {
            tokio::time::sleep(A_MOMENT).await;
        }
    })
    .await;
    let writes = started(&connector(server, "", &schema)).await;
    silence(&listeners[0]).await;
    writes.notify(&Topic::Queue);
    within(listeners[0].heard()).await;
}
