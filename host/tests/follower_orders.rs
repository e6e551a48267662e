//! Many random orders of hints, events and moves of a run between two hosts, which subscribers at both must not notice.
//!
//! Simulated: one seed is one history.

#![cfg(feature = "simulation")]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod two_hosts;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use streamtask_host::event_log::{Delivery, EventLog, Position, RunLog, Subscription};
use streamtask_host::model::{Json, NewEvent, Outcome, RunKey, Timestamp};
use streamtask_host::notifier::{Listener, LocalNotifier, Notifier, Topic};
use streamtask_host::platform;
use streamtask_host::storage::Log as _;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::two_hosts::{Host, Hosts};

const HISTORIES: u64 = 60;
const STEPS: u32 = 40;
/// The longest way of an event to a subscriber that reads at once, in milliseconds: the interval of polls, and what the
/// simulated disk and the reads of a poll take.
const LONGEST_MS: i64 = 1_500;
/// Time after which all subscribers have everything, however slow they are.
const PATIENCE: Duration = Duration::from_secs(300);

/// Loses a third of the hints, and delays or repeats others.
struct Unreliable(LocalNotifier);

impl Notifier for Unreliable {
    fn notify(&self, topic: &Topic) {
        let is_late = match fastrand::u8(..6) {
            0 | 1 => return,
            2 | 3 => true,
            4 => {
                self.0.notify(topic);
                true
            }
            _ => false,
        };
        if !is_late {
            return self.0.notify(topic);
        }
        let (notifier, topic) = (self.0.clone(), topic.clone());
        let delay = Duration::from_millis(fastrand::u64(..2_000));
        tokio::spawn(async move {
            sleep(delay).await;
            notifier.notify(&topic);
        });
    }

    fn listen(&self, topic: Topic) -> Listener {
        self.0.listen(topic)
    }

    fn reaches_others(&self) -> bool {
        true
    }
}

/// A subscriber of a run.
struct Reader {
    /// Where it may read.
    hosts: [Arc<EventLog>; 2],
    run: RunKey,
    /// Whether it sometimes pauses, so that it falls behind.
    is_slow: bool,
    began: Timestamp,
}

impl Reader {
    async fn subscribe(&self, position: Position) -> Subscription {
        self.hosts[fastrand::usize(..2)].subscribe(self.run.clone(), position).await.unwrap()
    }

    /// Reads to the end of the run, sometimes elsewhere. Returns the last event.
    async fn read(self, position: Position) -> u64 {
        let mut subscription = self.subscribe(position).await;
        loop {
            let after = subscription.position();
            match subscription.next().await.unwrap() {
                Delivery::Events(segment, from) => {
                    let events = &segment.events()[from..];
                    assert!(events.iter().map(|event| event.seq).eq(after + 1..=subscription.position()));
                    for event in events.iter().filter(|event| event.what.time > self.began) {
                        let took = Timestamp::now().as_millis() - event.what.time.as_millis();
                        assert!(self.is_slow || took < LONGEST_MS, "event {} took {took} ms", event.seq);
                    }
                }
                Delivery::Gap { from, to } => panic!("a gap from {from} to {to}"),
                Delivery::Removed { from } => panic!("removed from {from} on"),
                Delivery::End => return after,
            }
            if self.is_slow && fastrand::u8(..4) == 0 {
                sleep(Duration::from_millis(fastrand::u64(..3_000))).await;
            }
            if fastrand::u8(..16) == 0 {
                let position = Position::After(subscription.position());
                subscription = self.subscribe(position).await;
            }
        }
    }
}

/// One run, and where it executes.
struct History {
    hosts: Hosts,
    run: RunKey,
    log: Arc<RunLog>,
    is_at_b: bool,
    readers: JoinSet<u64>,
}

impl History {
    async fn begin() -> Self {
        let notifier = LocalNotifier::between_hosts();
        let hosts = Hosts::with_notifiers(Unreliable(notifier.clone()), Unreliable(notifier));
        let (run, log) = hosts.a.start().await;
        Self { hosts, run, log, is_at_b: false, readers: JoinSet::new() }
    }

    fn owner(&self) -> &Host {
        if self.is_at_b { &self.hosts.b } else { &self.hosts.a }
    }

    async fn step(&mut self) {
        match fastrand::u8(..8) {
            0..3 => self.send().await,
            3 => self.move_run().await,
            4 | 5 => sleep(Duration::from_millis(fastrand::u64(..2_500))).await,
            _ => self.add_reader(),
        }
    }

    async fn send(&self) {
        let (count, bytes) = match fastrand::u8(..6) {
            0 => (1_500, 1_000),
            1 => (600, 10),
            _ => (fastrand::u32(1..10), 10),
        };
        for _ in 0..count {
            self.log.send_when_room(NewEvent::of_host("test", &"x".repeat(bytes))).await.unwrap();
        }
    }

    async fn move_run(&mut self) {
        self.owner().log.requeue(&self.log, NewEvent::of_host("moved", &()), None).await.unwrap();
        if fastrand::bool() {
            sleep(Duration::from_millis(fastrand::u64(..2_500))).await;
        }
        self.is_at_b = fastrand::bool();
        self.log = self.owner().claim().await;
    }

    fn add_reader(&mut self) {
        let reader = Reader {
            hosts: [Arc::clone(&self.hosts.a.log), Arc::clone(&self.hosts.b.log)],
            run: self.run.clone(),
            is_slow: fastrand::bool(),
            began: Timestamp::now(),
        };
        let position = match fastrand::u8(..4) {
            0 => Position::Now,
            1 => Position::Tail(fastrand::u64(..1_000)),
            _ => Position::After(0),
        };
        self.readers.spawn(reader.read(position));
    }

    /// Ends the run. Returns a digest of all that happened.
    async fn end(mut self) -> u64 {
        self.owner().log.finish(&self.log, Outcome::Completed(Json::null())).await.unwrap();
        let last = self.hosts.a.storage.last_seq(self.run.no).await.unwrap();
        while let Some(read) = timeout(PATIENCE, self.readers.join_next()).await.expect("all end") {
            assert_eq!(read.unwrap(), last);
        }
        let reads = [&self.hosts.a, &self.hosts.b].map(|host| host.storage.reads());
        last * 1_000_000 + reads[0] * 1_000 + reads[1]
    }
}

fn play(seed: u64) -> u64 {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let _simulated = platform::simulate(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        fastrand::seed(seed);
        let mut history = History::begin().await;
        for _ in 0..STEPS {
            history.step().await;
        }
        history.end().await
    })
}

#[test]
fn subscribers_notice_neither_lost_late_and_repeated_hints_nor_where_a_run_executes() {
    for seed in 0..HISTORIES {
        let played = std::panic::catch_unwind(|| play(seed));
        assert!(played.is_ok(), "seed {seed}");
    }
}

#[test]
fn one_seed_is_one_history() {
    for seed in 0..3 {
        assert_eq!(play(seed), play(seed));
    }
}
