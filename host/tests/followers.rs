//! Two hosts on one database, as far as event logs go: a stream at one host of a run that executes at the other.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod two_hosts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use streamtask_host::event_log::{Delivery, EventLog, Position, RunLog, Subscription};
use streamtask_host::model::{Json, NewEvent, Outcome, Part, RunKey};
use streamtask_host::notifier::LocalNotifier;
use streamtask_host::storage::Pruning as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::two_hosts::{Host, Hosts};

/// Longest time for something that is not awaited.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest time for an event without a hint: the interval of polls, and a reserve for a busy machine.
const WITHOUT_HINT: Duration = Duration::from_secs(3);

async fn send(log: &Arc<RunLog>, count: u64, bytes: usize) {
    for _ in 0..count {
        log.send_when_room(NewEvent::of_host("test", &"x".repeat(bytes))).await.unwrap();
    }
    log.flush().await.unwrap();
}

async fn end(host: &Host, log: &Arc<RunLog>) {
    host.log.finish(log, Outcome::Completed(Json::null())).await.unwrap();
}

/// Reads until a subscription has the event `to`. Panics if one before it is missing or comes twice.
async fn read_to(subscription: &mut Subscription, to: u64) {
    while subscription.position() < to {
        let after = subscription.position();
        let next = timeout(PATIENCE, subscription.next()).await;
        match next.unwrap_or_else(|_| panic!("nothing follows event {after} of {to}")).unwrap() {
            Delivery::Events(segment, from) => {
                let seqs = segment.events()[from..].iter().map(|event| event.seq);
                assert!(seqs.eq(after + 1..=subscription.position()), "after {after}");
            }
            Delivery::Gap { from, to } => panic!("a gap from {from} to {to}"),
            Delivery::Removed { from } => panic!("removed from {from} on"),
            Delivery::End => panic!("the end after {after}, and not {to}"),
        }
    }
    assert_eq!(subscription.position(), to);
}

async fn has_ended(subscription: &mut Subscription) {
    let next = timeout(PATIENCE, subscription.next()).await.expect("an end").unwrap();
    assert!(matches!(next, Delivery::End));
}

/// Waits in vain, and so begins to follow a run that executes elsewhere.
async fn has_no_news(subscription: &mut Subscription) {
    assert!(timeout(Duration::from_millis(200), subscription.next()).await.is_err());
}

async fn subscribe(log: &Arc<EventLog>, run: &RunKey, position: Position) -> Subscription {
    log.subscribe(run.clone(), position).await.unwrap()
}

#[tokio::test]
async fn a_run_of_another_host_is_read_from_any_position_to_its_end() {
    let hosts = Hosts::new();
    let (run, log) = hosts.a.start().await;
    send(&log, 700, 10).await;
    let head = hosts.a.log.head(&run).await.unwrap();
    let positions = [Position::After(0), Position::After(600), Position::Tail(5), Position::Now];
    let starts = [0, 600, head - 5, head];
    let mut subscriptions = Vec::new();
    for (position, start) in positions.into_iter().zip(starts) {
        let subscription = subscribe(&hosts.b.log, &run, position).await;
        assert_eq!(subscription.position(), start);
        subscriptions.push(subscription);
    }
    for subscription in &mut subscriptions {
        read_to(subscription, head).await;
    }
    for group in 1..=10 {
        send(&log, 3, 10).await;
        for subscription in &mut subscriptions {
            read_to(subscription, head + 3 * group).await;
        }
    }
    let mut ahead = subscribe(&hosts.b.log, &run, Position::After(head + 31)).await;
    let waiting = tokio::spawn(async move { has_ended(&mut ahead).await });
    end(&hosts.a, &log).await;
    for subscription in &mut subscriptions {
        read_to(subscription, head + 31).await;
        has_ended(subscription).await;
    }
    waiting.await.unwrap();
    // After its end, too.
    let mut late = subscribe(&hosts.b.log, &run, Position::After(0)).await;
    read_to(&mut late, head + 31).await;
    has_ended(&mut late).await;
}

#[tokio::test]
async fn a_thousand_subscribers_cost_one_read_of_each_group_of_events() {
    const SUBSCRIBERS: usize = 1_000;
    const GROUPS: u64 = 20;
    let hosts = Hosts::new();
    let (run, log) = hosts.a.start().await;
    send(&log, 1_100, 10).await;
    let head = hosts.a.log.head(&run).await.unwrap();
    let mut first = subscribe(&hosts.b.log, &run, Position::Now).await;
    has_no_news(&mut first).await;
    let before = hosts.b.storage.count("events");
    let mut reading = JoinSet::new();
    for nth in 0..SUBSCRIBERS as u64 {
        let mut subscription = subscribe(&hosts.b.log, &run, Position::After(nth)).await;
        reading.spawn(async move {
            read_to(&mut subscription, head).await;
            subscription
        });
    }
    let mut all = reading.join_all().await;
    let history = hosts.b.storage.count("events") - before;
    assert!(history <= 2, "{history} reads of the two full pages");
    let began = Instant::now();
    let before = hosts.b.storage.reads();
    // One at a time, as clients come, to what the first one has.
    for nth in 0..100 {
        let mut subscription = subscribe(&hosts.b.log, &run, Position::Tail(nth % 50)).await;
        read_to(&mut subscription, head).await;
    }
    for group in 1..=GROUPS {
        send(&log, 2, 10).await;
        for subscription in &mut all {
            read_to(subscription, head + 2 * group).await;
        }
    }
    let reads = hosts.b.storage.reads() - before;
    // Each poll reads the events, and looks the run up.
    let polls = 2 * (began.elapsed().as_secs() + 1);
    assert!(reads <= 2 * GROUPS + polls, "{reads} reads: {:?}", hosts.b.storage.counts());
    // What all of them have is not asked of storage.
    let before = hosts.b.storage.count("last_seq");
    assert_eq!(hosts.b.log.published_head(&run).await.unwrap(), head + 2 * GROUPS);
    assert_eq!(hosts.b.storage.count("last_seq"), before);
    drop((all, first));
    // Nobody reads it any more.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let before = hosts.b.storage.reads();
    send(&log, 2, 10).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(hosts.b.storage.reads(), before);
}

#[tokio::test]
async fn a_lost_hint_delays_events_by_a_second() {
    let hosts = Hosts::with_notifiers(LocalNotifier::between_hosts(), LocalNotifier::between_hosts());
    let (run, log) = hosts.a.start().await;
    let head = hosts.a.log.head(&run).await.unwrap();
    let mut subscription = subscribe(&hosts.b.log, &run, Position::After(0)).await;
    read_to(&mut subscription, head).await;
    for nth in 1..=2 {
        send(&log, 1, 10).await;
        timeout(WITHOUT_HINT, read_to(&mut subscription, head + nth)).await.expect("in time");
    }
    end(&hosts.a, &log).await;
    timeout(WITHOUT_HINT, read_to(&mut subscription, head + 3)).await.expect("in time");
    has_ended(&mut subscription).await;
}

/// A client that comes from the host of the run, where it has read on, must not be told that its position is unknown.
#[tokio::test]
async fn the_newest_event_is_known_before_it_has_arrived() {
    let hosts = Hosts::with_notifiers(LocalNotifier::between_hosts(), LocalNotifier::between_hosts());
    let (run, log) = hosts.a.start().await;
    let mut subscription = subscribe(&hosts.b.log, &run, Position::Now).await;
    has_no_news(&mut subscription).await;
    for _ in 0..10 {
        send(&log, 1, 10).await;
        let head = hosts.a.log.head(&run).await.unwrap();
        assert_eq!(hosts.b.log.head(&run).await.unwrap(), head);
        let mut moved = subscribe(&hosts.b.log, &run, Position::After(head)).await;
        send(&log, 1, 10).await;
        read_to(&mut moved, head + 1).await;
    }
}

#[tokio::test]
async fn a_run_that_moves_from_host_to_host_is_read_without_a_gap_or_a_repeat() {
    let hosts = Hosts::new();
    let (run, mut log) = hosts.a.start().await;
    let mut at_a = subscribe(&hosts.a.log, &run, Position::After(0)).await;
    let mut at_b = subscribe(&hosts.b.log, &run, Position::After(0)).await;
    let mut slow = subscribe(&hosts.b.log, &run, Position::After(0)).await;
    for nth in 0..6 {
        send(&log, 5, 10).await;
        let (from, to) = if nth % 2 == 0 { (&hosts.a, &hosts.b) } else { (&hosts.b, &hosts.a) };
        // With and without having read what the last owner wrote.
        if nth % 3 == 0 {
            let head = from.log.head(&run).await.unwrap();
            read_to(&mut at_a, head).await;
            read_to(&mut at_b, head).await;
        }
        from.log.requeue(&log, NewEvent::of_host("moved", &nth), None).await.unwrap();
        log = to.claim().await;
        assert_eq!(log.run().no, run.no);
    }
    send(&log, 5, 10).await;
    let head = hosts.a.log.head(&run).await.unwrap();
    for subscription in [&mut at_a, &mut at_b] {
        read_to(subscription, head).await;
    }
    end(&hosts.a, &log).await;
    for subscription in [&mut at_a, &mut at_b, &mut slow] {
        read_to(subscription, head + 1).await;
        has_ended(subscription).await;
    }
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_the_window_misses_nothing() {
    let hosts = Hosts::new();
    let (run, log) = hosts.a.start().await;
    let head = hosts.a.log.head(&run).await.unwrap();
    let mut fast = subscribe(&hosts.b.log, &run, Position::After(0)).await;
    let mut slow = subscribe(&hosts.b.log, &run, Position::After(0)).await;
    for subscription in [&mut fast, &mut slow] {
        read_to(subscription, head).await;
        has_no_news(subscription).await;
    }
    // Three windows of 1 MiB.
    for group in 1..=30 {
        send(&log, 100, 1_024).await;
        read_to(&mut fast, head + 100 * group).await;
    }
    let before = hosts.b.storage.count("events");
    read_to(&mut slow, head + 3_000).await;
    assert!(hosts.b.storage.count("events") > before, "it was behind the window");
    end(&hosts.a, &log).await;
    for subscription in [&mut fast, &mut slow] {
        read_to(subscription, head + 3_001).await;
        has_ended(subscription).await;
    }
}

#[tokio::test]
async fn a_run_that_was_removed_before_its_end_was_read_is_reported_as_removed() {
    // Without hints, so that the follower learns of nothing.
    let hosts = Hosts::with_notifiers(LocalNotifier::between_hosts(), LocalNotifier::between_hosts());
    let (run, log) = hosts.a.start().await;
    let head = hosts.a.log.head(&run).await.unwrap();
    let mut subscription = subscribe(&hosts.b.log, &run, Position::After(0)).await;
    read_to(&mut subscription, head).await;
    has_no_news(&mut subscription).await;
    hosts.b.storage.fail(true);
    end(&hosts.a, &log).await;
    hosts.a.storage.inner.prune(vec![run.no], Part::Run).await.unwrap();
    assert!(timeout(Duration::from_millis(1_200), subscription.next()).await.is_err(), "reads fail");
    hosts.b.storage.fail(false);
    let next = timeout(WITHOUT_HINT, subscription.next()).await.expect("in time").unwrap();
    assert!(matches!(next, Delivery::Removed { from } if from == head + 1));
    has_ended(&mut subscription).await;
}

#[tokio::test]
async fn pages_of_a_run_that_another_host_has_removed_are_dropped() {
    let hosts = Hosts::new();
    let (run, log) = hosts.a.start().await;
    send(&log, 600, 10).await;
    end(&hosts.a, &log).await;
    for host in [&hosts.a, &hosts.b] {
        let mut subscription = subscribe(&host.log, &run, Position::After(0)).await;
        read_to(&mut subscription, 512).await;
    }
    hosts.a.storage.inner.prune(vec![run.no], Part::Run).await.unwrap();
    hosts.a.log.forget(&[run.no]);
    for host in [&hosts.a, &hosts.b] {
        let mut subscription = subscribe(&host.log, &run, Position::After(0)).await;
        let next = timeout(PATIENCE, subscription.next()).await.expect("an end").unwrap();
        assert!(matches!(next, Delivery::Removed { from: 1 }));
    }
}

#[tokio::test]
async fn a_flood_of_one_run_does_not_hold_up_the_others() {
    let hosts = Hosts::new();
    let (flooding, flood) = hosts.a.start().await;
    let (quiet, log) = hosts.a.start().await;
    let head = hosts.a.log.head(&quiet).await.unwrap();
    let mut subscription = subscribe(&hosts.b.log, &quiet, Position::Now).await;
    let mut flooded = subscribe(&hosts.b.log, &flooding, Position::Now).await;
    for subscription in [&mut subscription, &mut flooded] {
        has_no_news(subscription).await;
    }
    let flood = tokio::spawn(async move { send(&flood, 20_000, 1_024).await });
    for nth in 1..=20 {
        send(&log, 1, 10).await;
        timeout(WITHOUT_HINT, read_to(&mut subscription, head + nth)).await.expect("in time");
    }
    flood.await.unwrap();
}

#[tokio::test]
async fn a_host_that_is_alone_follows_nothing() {
    let hosts = Hosts::with_notifiers(LocalNotifier::new(), LocalNotifier::new());
    let (run, _log) = hosts.a.start().await;
    let mut subscription = subscribe(&hosts.b.log, &run, Position::Now).await;
    assert!(timeout(Duration::from_millis(1_200), subscription.next()).await.is_err());
    assert_eq!(hosts.b.storage.count("events_of_runs"), 0);
}
