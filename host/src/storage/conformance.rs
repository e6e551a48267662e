//! Conformance tests for every [`Storage`]. A backend's tests call [`run`] with a function that opens an empty database.

mod child_runs;
mod hosts;
mod listing;
mod messages;
pub(super) mod pruning;
mod queueing;
mod submitting;
pub mod two_hosts;

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    Batch, CancelOutcome, ClaimRequest, Claimant, Claimed, DepthLimits, HostInfo, Message, NewRun, Offer,
    Outbox, Result, Storage, StorageError, SubmitOutcome,
};
use crate::model::{
    Channel, Content, ContentType, ErrorKind, Event, EventType, Fence, HostId, Json, NewEvent, OnInterrupt,
    Outcome, Run, RunError, RunId, RunKey, RunStatus, TaskRef, Timestamp, Version,
};

/// Panics at the first violation. `open` opens an empty database.
pub async fn run<F: Future<Output = Arc<dyn Storage>>>(open: impl Fn() -> F) {
    submitting::run(&open).await;
    events_are_numbered_without_gaps(open().await).await;
    events_of_some_types_are_found(open().await).await;
    events_of_several_runs_are_read_together(open().await).await;
    many_runs_append_at_once(open().await).await;
    an_ended_run_never_changes(open().await).await;
    cancelling_ends_waiting_runs_and_is_recorded_for_running_ones(&*open().await).await;
    an_owner_that_lost_its_run_can_not_write(open().await).await;
    checkpoints_survive_the_attempt(&*open().await).await;
    hosts::run(&open).await;
    listing::run(&open).await;
    messages::run(&open).await;
    queueing::run(&open).await;
    child_runs::run(&open).await;
    pruning::run(&open).await;
    a_closed_storage_refuses(open().await).await;
}

fn task(name: &str) -> TaskRef {
    TaskRef::parse("test", name).expect("a valid name")
}

fn version() -> Version {
    Version::of(b"conformance")
}

fn new_run(name: &str) -> NewRun {
    let input = Json::of(&serde_json::json!({ "n": 1 }));
    NewRun::new(RunId::new(), task(name), input, Timestamp::now())
}

/// A host that has just registered.
async fn host(storage: &dyn Storage) -> HostId {
    host_with_lease(storage, 60_000).await
}

async fn host_with_lease(storage: &dyn Storage, lease_ms: u32) -> HostId {
    let host = HostInfo::new(HostId::new());
    storage.register(&host, lease_ms).await.expect("registers");
    host.id
}

fn claimant(owner: &HostId) -> Option<Claimant> {
    Some(Claimant { owner: owner.clone(), version: version(), on_interrupt: OnInterrupt::Resume })
}

async fn queued(storage: &dyn Storage, new: NewRun) -> Run {
    match storage.submit(new, None).await.expect("submits") {
        SubmitOutcome::Queued(run) => run,
        other => panic!("not queued: {other:?}"),
    }
}

async fn claimed(storage: &dyn Storage, new: NewRun, owner: &HostId) -> Claimed {
    match storage.submit(new, claimant(owner)).await.expect("submits") {
        SubmitOutcome::Claimed(claimed) => claimed,
        other => panic!("not claimed: {other:?}"),
    }
}

async fn claim(storage: &dyn Storage, owner: &HostId, rooms: &[(&str, u32)], limit: u32) -> Vec<Claimed> {
    try_claim(storage, owner, rooms, limit).await.expect("claims")
}

async fn try_claim(
    storage: &dyn Storage,
    owner: &HostId,
    rooms: &[(&str, u32)],
    limit: u32,
) -> Result<Vec<Claimed>> {
    let offer = |&(name, room): &(&str, u32)| Offer {
        task: task(name),
        version: version(),
        room,
        on_interrupt: OnInterrupt::Resume,
    };
    let tasks = rooms.iter().map(offer).collect();
    storage.claim(ClaimRequest { owner: owner.clone(), tasks, limits: DepthLimits::all(limit) }).await
}

async fn get(storage: &dyn Storage, id: &RunId) -> Run {
    storage.run(id).await.expect("reads").expect("the run exists")
}

async fn events(storage: &dyn Storage, run: i64) -> Vec<Event> {
    storage.events(run, 0, 10_000).await.expect("reads")
}

fn types(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.what.event_type.as_str()).collect()
}

fn event(event_type: &str, n: u64) -> NewEvent {
    NewEvent {
        event_type: EventType::of_guest(event_type.to_owned()).expect("a type"),
        channel: None,
        content: Content::Json(Json::of(&n)),
        time: Timestamp::from_millis(1_736_944_496_789),
    }
}

/// An outbox that the tests fill.
struct TestOutbox {
    run: i64,
    fence: Fence,
    waiting: Mutex<Vec<NewEvent>>,
    heard: Mutex<Vec<i64>>,
    results: Mutex<Vec<Result<Vec<Event>>>>,
    done: Notify,
}

impl TestOutbox {
    fn new(run: i64, fence: Fence) -> Arc<Self> {
        let (waiting, heard, results) = Default::default();
        Arc::new(Self { run, fence, waiting, heard, results, done: Notify::new() })
    }

    fn fill(&self, events: impl IntoIterator<Item = NewEvent>) {
        self.waiting.lock().extend(events);
    }

    /// Adds the note of a message.
    fn note(&self, message: &Message) {
        self.waiting.lock().extend(message.kind.note());
        self.heard.lock().push(message.no);
    }

    async fn result(&self) -> Result<Vec<Event>> {
        loop {
            if let Some(result) = self.results.lock().pop() {
                return result;
            }
            self.done.notified().await;
        }
    }
}

impl Outbox for TestOutbox {
    fn run(&self) -> i64 {
        self.run
    }

    fn take(&self) -> Option<Batch> {
        let events = std::mem::take(&mut *self.waiting.lock());
        let heard = std::mem::take(&mut *self.heard.lock());
        let is_empty = events.is_empty() && heard.is_empty();
        (!is_empty).then_some(Batch { run: self.run, fence: self.fence, attempt: 1, events, heard })
    }

    fn done(&self, result: Result<Vec<Event>>) {
        self.results.lock().push(result);
        self.done.notify_one();
    }
}

async fn append(
    storage: &Arc<dyn Storage>,
    run: i64,
    fence: Fence,
    events: Vec<NewEvent>,
) -> Result<Vec<Event>> {
    let outbox = TestOutbox::new(run, fence);
    outbox.fill(events);
    storage.append(Arc::clone(&outbox) as _);
    outbox.result().await
}

async fn events_are_numbered_without_gaps(storage: Arc<dyn Storage>) {
    let run = claimed(&*storage, new_run("a"), &host(&*storage).await).await;
    let no = run.run.key.no;
    let bytes = NewEvent {
        channel: Channel::of_guest("c".to_owned()).expect("a channel"),
        content: Content::Bytes(
            ContentType::of_guest("image/png".to_owned()).expect("a media type"),
            Box::new([0, 255, 10]),
        ),
        ..event("bytes", 0)
    };
    let first = append(&storage, no, run.fence, vec![event("one", 1), bytes.clone()]).await.expect("appends");
    assert_eq!(first.iter().map(|event| event.seq).collect::<Vec<_>>(), [2, 3]);
    let second = append(&storage, no, run.fence, (0..3000).map(|n| event("more", n)).collect()).await;
    assert_eq!(second.expect("appends").last().map(|event| event.seq), Some(3003));
    assert_eq!(storage.last_seq(no).await.expect("reads"), 3003);

    let page = storage.events(no, 0, 3).await.expect("reads");
    assert_eq!(types(&page), ["run.started", "one", "bytes"]);
    assert_eq!(page[2].what, bytes);
    let mut after = 3;
    while let Some(last) = storage.events(no, after, 700).await.expect("reads").last() {
        assert!(last.seq > after && last.seq <= after + 700);
        after = last.seq;
    }
    assert_eq!(after, 3003);
    assert!(storage.events(no, u64::MAX, 10).await.expect("reads").is_empty());

    let large = || NewEvent { content: Content::Json(Json::of(&"x".repeat(600 << 10))), ..event("large", 0) };
    append(&storage, no, run.fence, vec![large(), large(), large()]).await.expect("appends");
    let page = storage.events(no, 3003, 100).await.expect("reads");
    assert_eq!(page.len(), 2, "a page is bounded in bytes");
}

async fn events_of_some_types_are_found(storage: Arc<dyn Storage>) {
    let run = claimed(&*storage, new_run("a"), &host(&*storage).await).await;
    let other = claimed(&*storage, new_run("a"), &host(&*storage).await).await;
    let (no, fence) = (run.run.key.no, run.fence);
    for run in [&run, &other] {
        let sent = (0..9).map(|n| event(["a", "b", "c"][n as usize % 3], n)).collect();
        append(&storage, run.run.key.no, run.fence, sent).await.expect("appends");
    }
    let find = async |after, to| {
        let found = storage.events_of_types(no, after, to, &["b", "c", "run.started"]).await;
        let (events, to) = found.expect("reads");
        (events.iter().map(|event| event.seq).collect::<Vec<_>>(), to)
    };
    assert_eq!(find(0, 100).await, (vec![1, 3, 4, 6, 7, 9, 10], 100));
    assert_eq!(find(1, 6).await, (vec![3, 4, 6], 6));
    assert_eq!(find(7, 8).await, (vec![], 8));
    assert_eq!(find(9, 9).await, (vec![], 9));
    let large = NewEvent { content: Content::Json(Json::of(&"x".repeat(600 << 10))), ..event("b", 1) };
    append(&storage, no, fence, vec![large; 3]).await.expect("appends");
    assert_eq!(find(9, 100).await, (vec![10, 11, 12], 12), "a page is bounded in bytes");
    assert_eq!(find(12, 100).await, (vec![13], 100));
}

async fn events_of_several_runs_are_read_together(storage: Arc<dyn Storage>) {
    let owner = host(&*storage).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        let run = claimed(&*storage, new_run("a"), &owner).await;
        append(&storage, run.run.key.no, run.fence, (0..5).map(|n| event("e", n)).collect())
            .await
            .expect("appends");
        runs.push(run);
    }
    let no = |at: usize| runs[at].run.key.no;
    let read = async |after: Vec<(i64, u64)>, limit| {
        let (found, is_all) = storage.events_of_runs(after, limit).await.expect("reads");
        let seqs = |events: Vec<Event>| events.iter().map(|event| event.seq).collect::<Vec<_>>();
        (found.into_iter().map(|(run, events)| (run, seqs(events))).collect::<Vec<_>>(), is_all)
    };
    assert_eq!(read(Vec::new(), 9).await, (vec![], true));
    let all = read(vec![(no(2), 4), (no(0), 0), (no(1), 6), (i64::MAX >> 33, 0), (no(3), 99)], 9).await;
    assert_eq!(all, (vec![(no(2), vec![5, 6]), (no(0), vec![1, 2, 3, 4, 5, 6])], true));
    let some = read(vec![(no(0), 0), (no(1), 3)], 4).await;
    assert_eq!(
        some,
        (vec![(no(0), vec![1, 2, 3, 4]), (no(1), vec![4, 5, 6])], false),
        "there is more of the first"
    );
    assert_eq!(
        events(&*storage, no(0)).await,
        storage.events_of_runs(vec![(no(0), 0)], 9).await.expect("reads").0[0].1
    );

    let large = || NewEvent { content: Content::Json(Json::of(&"x".repeat(600 << 10))), ..event("large", 0) };
    for run in &runs {
        append(&storage, run.run.key.no, run.fence, vec![large(); 2]).await.expect("appends");
    }
    let mut after: Vec<(i64, u64)> = (0..4).map(|at| (no(at), 6)).collect();
    let mut rounds = 0;
    loop {
        let (found, is_all) = storage.events_of_runs(after.clone(), 99).await.expect("reads");
        let bytes: usize =
            found.iter().flat_map(|(_, events)| events).map(|event| event.what.content.len()).sum();
        assert!(bytes < 3 << 20, "an answer is bounded in bytes");
        assert!(is_all || bytes > 0, "and says something");
        for (run, events) in found {
            let at = after.iter_mut().find(|(asked, _)| *asked == run).expect("a run that was asked for");
            at.1 = events.last().expect("none is empty").seq;
        }
        rounds += 1;
        if is_all {
            break;
        }
    }
    assert!(rounds > 1 && after.iter().all(|(_, seq)| *seq == 8));
}

async fn many_runs_append_at_once(storage: Arc<dyn Storage>) {
    let mut outboxes = Vec::new();
    for _ in 0..20 {
        let run = claimed(&*storage, new_run("a"), &host(&*storage).await).await;
        outboxes.push(TestOutbox::new(run.run.key.no, run.fence));
    }
    for round in 0..50 {
        for outbox in &outboxes {
            outbox.fill([event("e", round * 2), event("e", round * 2 + 1)]);
            storage.append(Arc::clone(outbox) as _);
        }
    }
    for outbox in &outboxes {
        // Announcements may be coalesced, so only the last event shows that all are stored.
        while storage.last_seq(outbox.run).await.expect("reads") < 101 {
            outbox.result().await.expect("appends");
        }
        let events = events(&*storage, outbox.run).await;
        let data: Vec<String> = events[1..].iter().map(|event| format!("{:?}", event.what.content)).collect();
        assert_eq!(
            data,
            (0..100).map(|n| n.to_string()).collect::<Vec<_>>(),
            "in the order in which they were sent"
        );
        assert!(events.iter().zip(1..).all(|(event, seq)| event.seq == seq));
    }
}

async fn an_ended_run_never_changes(storage: Arc<dyn Storage>) {
    let run = claimed(&*storage, new_run("a"), &host(&*storage).await).await;
    let key = &run.run.key;
    let outbox = TestOutbox::new(key.no, run.fence);
    outbox.fill([event("last words", 1)]);
    // Announced and not awaited: the terminal event comes after it in any case.
    storage.append(Arc::clone(&outbox) as _);
    let end = storage.finish(key, run.fence, Outcome::Completed(Json::of(&7))).await.expect("finishes");
    assert_eq!((end.len(), end[0].seq, end[0].is_terminal()), (1, 3, true));
    let read = get(&*storage, &key.id).await;
    assert_eq!(
        (read.status, read.final_value, read.last_seq),
        (RunStatus::Completed, Some(Json::of(&7)), Some(3))
    );
    assert!(read.finished_at.is_some() && read.error.is_none());
    assert_eq!(types(&events(&*storage, key.no).await), ["run.started", "last words", "run.completed"]);

    let late = append(&storage, key.no, run.fence, vec![event("late", 1)]).await;
    assert!(matches!(late, Err(StorageError::Fenced)));
    let again = storage.finish(key, run.fence, Outcome::Cancelled(None)).await;
    assert!(matches!(again, Err(StorageError::Fenced)));
    let save = storage.save_checkpoint(key, run.fence, "k".to_owned(), None).await;
    assert!(matches!(save, Err(StorageError::Fenced)));

    let run = claimed(&*storage, new_run("a"), &host(&*storage).await).await;
    let error = RunError {
        code: Some("c".to_owned()),
        details: Some(Json::of(&[1])),
        trace: Some("t".to_owned()),
        retryable: true,
        retry_after_ms: Some(5),
        ..RunError::new(ErrorKind::Failure, "m")
    };
    storage.finish(&run.run.key, run.fence, Outcome::Failed(error.clone())).await.expect("finishes");
    assert_eq!(get(&*storage, &run.run.key.id).await.error, Some(error));
}

async fn cancelling_ends_waiting_runs_and_is_recorded_for_running_ones(storage: &dyn Storage) {
    assert!(matches!(storage.cancel(&RunId::new()).await, Ok(CancelOutcome::NotFound)));

    let waiting = queued(storage, new_run("a")).await;
    let answer = storage.cancel(&waiting.key.id).await;
    assert!(matches!(answer, Ok(CancelOutcome::Ended(run)) if run.status == RunStatus::Cancelled));
    assert_eq!(types(&events(storage, waiting.key.no).await), ["run.queued", "run.cancelled"]);
    assert!(claim(storage, &host(storage).await, &[("a", 9)], 9).await.is_empty());

    let owner = host(storage).await;
    let running = claimed(storage, new_run("a"), &owner).await;
    let answer = storage.cancel(&running.run.key.id).await;
    assert!(matches!(answer, Ok(CancelOutcome::Requested { run, .. }) if run.status == RunStatus::Running));
    assert_eq!(
        storage.cancel_requests(&owner).await.expect("reads"),
        std::slice::from_ref(&running.run.key.id)
    );
    assert!(storage.cancel_requests(&host(storage).await).await.expect("reads").is_empty());
    assert!(matches!(storage.cancel(&running.run.key.id).await, Ok(CancelOutcome::Requested { .. })));
    storage.finish(&running.run.key, running.fence, Outcome::Cancelled(None)).await.expect("finishes");
    assert!(matches!(storage.cancel(&running.run.key.id).await, Ok(CancelOutcome::AlreadyEnded(_))));
    assert!(storage.cancel_requests(&owner).await.expect("reads").is_empty());
}

async fn an_owner_that_lost_its_run_can_not_write(storage: Arc<dyn Storage>) {
    let (gone, heir) = (host(&*storage).await, host(&*storage).await);
    let lost = claimed(&*storage, new_run("a"), &gone).await;
    let key = lost.run.key.clone();
    append(&storage, key.no, lost.fence, vec![event("before", 1)]).await.expect("appends");
    assert!(storage.claim_orphans(&heir, 10).await.expect("reads").is_empty(), "the lease holds");

    storage.renew_lease(&gone, 0).await.expect("renews");
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let taken = storage.claim_orphans(&heir, 10).await.expect("takes over");
    assert_eq!((taken.len(), taken[0].last_seq, taken[0].has_checkpoint), (1, 2, false));
    assert!(taken[0].fence > lost.fence && taken[0].run.attempt == 1);
    assert!(storage.claim_orphans(&heir, 10).await.expect("reads").is_empty(), "only once");

    let late = append(&storage, key.no, lost.fence, vec![event("late", 1)]).await;
    assert!(matches!(late, Err(StorageError::Fenced)));
    let late = storage.finish(&key, lost.fence, Outcome::Cancelled(None)).await;
    assert!(matches!(late, Err(StorageError::Fenced)));

    let why = NewEvent::retrying(2, &RunError::new(ErrorKind::Interrupted, "gone"), None);
    assert_eq!(storage.requeue(&key, taken[0].fence, why, None).await.expect("puts back")[0].seq, 3);
    assert_eq!(get(&*storage, &key.id).await.status, RunStatus::Queued);
    let again = claim(&*storage, &heir, &[("a", 1)], 1).await;
    assert_eq!((again[0].run.attempt, again[0].last_seq), (2, 4));
    assert!(again[0].fence > taken[0].fence);
    assert!(again[0].run.started_at.is_some());
    storage.finish(&key, again[0].fence, Outcome::Completed(Json::null())).await.expect("finishes");
    let expected = ["run.started", "before", "run.retrying", "run.started", "run.completed"];
    assert_eq!(types(&events(&*storage, key.no).await), expected);
}

async fn checkpoints_survive_the_attempt(storage: &dyn Storage) {
    let owner = host(storage).await;
    let run = claimed(storage, new_run("a"), &owner).await;
    let key = run.run.key.clone();
    let load = async |name: &str| storage.load_checkpoint(key.no, name.to_owned()).await.expect("reads");
    assert_eq!(load("k").await, None);
    for value in [vec![1], vec![2, 0, 3]] {
        storage.save_checkpoint(&key, run.fence, "k".to_owned(), Some(value)).await.expect("saves");
    }
    storage.save_checkpoint(&key, run.fence, "empty".to_owned(), Some(Vec::new())).await.expect("saves");
    storage.save_checkpoint(&key, run.fence, "gone".to_owned(), Some(vec![1])).await.expect("saves");
    storage.save_checkpoint(&key, run.fence, "gone".to_owned(), None).await.expect("forgets");
    assert_eq!(load("gone").await, None);
    assert_eq!((load("k").await, load("empty").await), (Some(vec![2, 0, 3]), Some(Vec::new())));

    let large = || Some(vec![0; 30 << 20]);
    for (name, fits) in [("large 1", true), ("large 2", true), ("large 2", true), ("large 3", false)] {
        let saved = storage.save_checkpoint(&key, run.fence, name.to_owned(), large()).await;
        assert_eq!(saved.is_ok(), fits, "{name}");
        assert!(fits || matches!(saved, Err(StorageError::Limit(_))));
    }

    storage.requeue(&key, run.fence, NewEvent::queued(None), None).await.expect("puts back");
    let again = claim(storage, &owner, &[("a", 1)], 1).await;
    assert!(again[0].has_checkpoint);
    assert_eq!(load("k").await, Some(vec![2, 0, 3]));
    storage.finish(&key, again[0].fence, Outcome::Completed(Json::null())).await.expect("finishes");
    assert_eq!(load("k").await, None, "an ended run has no next attempt");
}

async fn a_closed_storage_refuses(storage: Arc<dyn Storage>) {
    let run = claimed(&*storage, new_run("a"), &host(&*storage).await).await;
    let outbox = TestOutbox::new(run.run.key.no, run.fence);
    outbox.fill([event("e", 1)]);
    storage.append(Arc::clone(&outbox) as _);
    storage.close().await;
    assert!(outbox.result().await.is_ok(), "what was sent before the close is kept");
    outbox.fill([event("e", 2)]);
    storage.append(Arc::clone(&outbox) as _);
    assert!(matches!(outbox.result().await, Err(StorageError::Closed)));
    assert!(matches!(storage.submit(new_run("a"), None).await, Err(StorageError::Closed)));
    let key = RunKey { no: run.run.key.no, id: RunId::new() };
    assert!(storage.finish(&key, run.fence, Outcome::Cancelled(None)).await.is_err());
    assert!(storage.run(&RunId::new()).await.is_err());
}
