//! Tests of the whole backend, on a server of their own process.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use streamtask_test_postgres::{Options, Proxy, Server, own_server, server};
use tokio::sync::Notify;

use super::*;
use crate::model::{
    Content, EventType, HostId, Json, Lock, NewEvent, OnInterrupt, Outcome, RunStatus, TaskRef, Version,
};
use crate::postgres::{Session, SessionSettings};
use crate::storage::{
    Batch, ClaimRequest, Claimed, DepthLimits, HostInfo, Hosts as _, NewRun, Offer, Storage, StorageError,
    conformance,
};

fn connector(url: &str, schema: &str) -> Connector {
    let url = url.parse().expect("a URL");
    // Under the name of the schema, a test finds its own sessions.
    Connector::new(url, schema.parse().expect("a schema"), schema, None).expect("needs no certificates")
}

async fn open(url: &str, schema: &str) -> Arc<Postgres> {
    let opened = Postgres::open(connector(url, schema), Durability::Full, 4).await;
    Arc::new(opened.expect("opens"))
}

/// A session beside those of the storage.
async fn session(server: &Server, schema: &str) -> Session {
    let settings = SessionSettings::new("aside");
    connector(&server.url(), schema).connect(&settings).await.expect("connects")
}

fn task() -> TaskRef {
    TaskRef::parse("test", "a").expect("a valid name")
}

fn new_run() -> NewRun {
    NewRun::new(RunId::new(), task(), Json::of(&1), Timestamp::now())
}

fn claimant(owner: &HostId) -> Option<Claimant> {
    let on_interrupt = OnInterrupt::default();
    Some(Claimant { owner: owner.clone(), version: Version::of(b"a"), on_interrupt })
}

async fn host(storage: &Postgres, lease_ms: u32) -> HostId {
    let info = HostInfo::new(HostId::new());
    storage.register(&info, lease_ms).await.expect("registers");
    info.id
}

async fn claimed(storage: &Postgres, owner: &HostId) -> Claimed {
    match storage.submit(new_run(), claimant(owner)).await.expect("submits") {
        SubmitOutcome::Claimed(claimed) => claimed,
        other => panic!("not claimed: {other:?}"),
    }
}

async fn claim(storage: &Postgres, owner: &HostId) -> Vec<Claimed> {
    claim_with_room(storage, owner, 99).await
}

async fn claim_with_room(storage: &Postgres, owner: &HostId, room: u32) -> Vec<Claimed> {
    let on_interrupt = OnInterrupt::default();
    let offer = Offer { task: task(), version: Version::of(b"a"), room, on_interrupt };
    let request = ClaimRequest { owner: owner.clone(), tasks: vec![offer], limits: DepthLimits::all(99) };
    storage.claim(request).await.expect("claims")
}

fn event(n: usize) -> NewEvent {
    NewEvent {
        event_type: EventType::of_guest("e".to_owned()).expect("a type"),
        channel: None,
        content: Content::Json(Json::of(&n)),
        time: Timestamp::from_millis(1),
    }
}

/// An outbox with the events of one batch.
struct Once {
    run: i64,
    batch: Mutex<Option<Batch>>,
    result: Mutex<Option<Result<Vec<Event>>>>,
    done: Notify,
}

impl Outbox for Once {
    fn run(&self) -> i64 {
        self.run
    }

    fn take(&self) -> Option<Batch> {
        self.batch.lock().take()
    }

    fn done(&self, result: Result<Vec<Event>>) {
        *self.result.lock() = Some(result);
        self.done.notify_one();
    }
}

async fn append(storage: &Postgres, run: &Claimed, events: Vec<NewEvent>) -> Result<Vec<Event>> {
    let (no, fence) = (run.run.key.no, run.fence);
    let batch = Batch { run: no, fence, attempt: run.run.attempt, events, heard: Vec::new() };
    let (batch, result) = (Mutex::new(Some(batch)), Mutex::new(None));
    let outbox = Arc::new(Once { run: no, batch, result, done: Notify::new() });
    storage.append(Arc::clone(&outbox) as _);
    outbox.done.notified().await;
    let result = outbox.result.lock().take();
    result.expect("it was notified")
}

/// Waits until so many statements of the lane wait for a lock.
async fn until_locked(server: &Server, schema: &str, lane: i64, count: usize) {
    until_waiting(server, &format!("{schema} lane {lane}"), "Lock", count).await;
}

/// Waits until so many sessions whose name ends so wait in this way.
async fn until_waiting(server: &Server, name: &str, wait: &str, count: usize) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = '{wait}' AND state = 'active' \
         AND application_name LIKE '%{name}'"
    );
    for _ in 0..500 {
        if server.psql(&sql) == count.to_string() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{name} does not wait");
}

#[tokio::test]
async fn conforms() {
    let Some(server) = server("the conformance of the PostgreSQL storage") else { return };
    conformance::run(|| async { open(&server.url(), &server.fresh_schema()).await as Arc<dyn Storage> })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_storages_on_one_database_conform_and_leave_true_counts() {
    let Some(server) = server("the conformance of two hosts") else { return };
    let schema = server.fresh_schema();
    let (one, other) = (open(&server.url(), &schema).await, open(&server.url(), &schema).await);
    conformance::two_hosts::run(Arc::clone(&one) as _, Arc::clone(&other) as _).await;
    let wrong_locks = format!(
        "SELECT name, used FROM {schema}.locks WHERE used <> (SELECT count(*) FROM {schema}.runs \
         WHERE owner IS NOT NULL AND locks.name = ANY (runs.locks))"
    );
    assert_eq!(server.psql(&wrong_locks), "", "locks are counted as they are held");
    let of_task = format!("{schema}.runs WHERE task = tasks.no AND status = 0 AND waits_for IS");
    let wrong_counts = format!(
        "SELECT no, ready, blocked FROM {schema}.tasks CROSS JOIN LATERAL (\
             SELECT coalesce(sum(ready), 0) AS ready, coalesce(sum(blocked), 0) AS blocked FROM {schema}.queued \
             WHERE task = tasks.no\
         ) counted WHERE ready <> (SELECT count(*) FROM {of_task} NULL) \
         OR blocked <> (SELECT count(*) FROM {of_task} NOT NULL)"
    );
    assert_eq!(server.psql(&wrong_counts), "", "queued runs are counted as they wait");
}

#[tokio::test]
async fn the_verdict_waits_for_a_statement_under_way_and_sees_its_rows() {
    let Some(server) = server("a verdict during a statement") else { return };
    let schema = server.fresh_schema();
    let (slow, quick) = (open(&server.url(), &schema).await, open(&server.url(), &schema).await);
    let (late, heir) = (host(&slow, 0).await, host(&quick, 60_000).await);
    let run = claimed(&slow, &late).await;
    let no = run.run.key.no;
    tokio::time::sleep(Duration::from_millis(5)).await;

    // A statement of the lane is under way.
    let aside = session(server, &schema).await;
    aside.batch("BEGIN").await.expect("begins");
    let lane = 1 + no % 3;
    let write = format!("SELECT gate_1({}, {lane}, 1)", run.fence.owner());
    assert!(aside.query_one(&write, &[]).await.expect("passes").get::<_, bool>(0));
    let insert = format!(
        "INSERT INTO events (id, attempt, time, type, data) VALUES ({}, 1, 1, 'e', '1')",
        events::event_id(no, 2)
    );
    aside.batch(&insert).await.expect("inserts");
    let taking = {
        let quick = Arc::clone(&quick);
        tokio::spawn(async move { quick.claim_orphans(&heir, 9).await })
    };
    until_locked(server, &schema, 0, 1).await;
    assert!(!taking.is_finished());
    aside.batch("COMMIT").await.expect("commits");
    let taken = taking.await.expect("no panic").expect("takes over");
    assert_eq!((taken.len(), taken[0].last_seq), (1, 2), "with the row of the statement");
}

#[tokio::test]
async fn a_statement_of_a_fenced_host_writes_nothing() {
    let Some(server) = server("a statement of a fenced host") else { return };
    let schema = server.fresh_schema();
    let (slow, quick) = (open(&server.url(), &schema).await, open(&server.url(), &schema).await);
    let (late, heir) = (host(&slow, 0).await, host(&quick, 60_000).await);
    let run = claimed(&slow, &late).await;
    let no = run.run.key.no;
    append(&slow, &run, vec![event(1)]).await.expect("appends");
    tokio::time::sleep(Duration::from_millis(5)).await;

    // Its next statement comes while the verdict is under way, and so waits for it.
    let aside = session(server, &schema).await;
    aside
        .batch(&format!("BEGIN; SELECT bury_1(ARRAY[{}]::bigint[])", run.fence.owner()))
        .await
        .expect("buries");
    let append_late = append(&slow, &run, vec![event(2)]);
    let commit = async {
        until_locked(server, &schema, 1 + no % 3, 1).await;
        aside.batch("COMMIT").await.expect("commits");
    };
    let (late, ()) = futures_util::future::join(append_late, commit).await;
    assert!(matches!(late, Err(StorageError::Fenced)), "{late:?}");
    let end = slow.finish(&run.run.key, run.fence, Outcome::Completed(Json::null())).await;
    assert!(matches!(end, Err(StorageError::Fenced)));
    assert_eq!(slow.last_seq(no).await.expect("reads"), 2);
    let taken = quick.claim_orphans(&heir, 9).await.expect("takes over");
    assert_eq!((taken.len(), taken[0].last_seq), (1, 2));
}

#[tokio::test]
async fn a_statement_of_a_dead_host_that_is_stuck_holds_up_no_start_for_long() {
    let Some(server) = server("a stuck statement") else { return };
    let schema = server.fresh_schema();
    let (slow, quick) = (open(&server.url(), &schema).await, open(&server.url(), &schema).await);
    let (late, heir) = (host(&slow, 0).await, host(&quick, 60_000).await);
    let run = claimed(&slow, &late).await;
    claimed(&quick, &heir).await;
    tokio::time::sleep(Duration::from_millis(5)).await;

    let aside = session(server, &schema).await;
    let stuck =
        format!("SELECT 1 FROM lanes WHERE host = {} FOR UPDATE; SELECT pg_sleep(8)", run.fence.owner());
    let verdict = async {
        until_locked(server, &schema, 0, 1).await;
        let begun = std::time::Instant::now();
        claimed(&quick, &heir).await;
        assert!(begun.elapsed() < Duration::from_secs(6), "after {:?}", begun.elapsed());
    };
    let taking = async {
        until_waiting(server, &format!("{schema} aside"), "Timeout", 1).await;
        quick.claim_orphans(&heir, 9).await
    };
    let (stuck, taken, ()) = tokio::join!(aside.batch(&stuck), taking, verdict);
    stuck.expect("ends by itself");
    assert!(matches!(taken, Err(StorageError::Unavailable(_))), "{taken:?}");
    assert_eq!(quick.claim_orphans(&heir, 9).await.expect("takes over").len(), 1);
}

#[tokio::test]
async fn a_statement_whose_connection_was_cut_after_the_send_is_carried_out_once() {
    let Some(server) = server("a cut connection") else { return };
    let (schema, proxy) = (server.fresh_schema(), Proxy::start(server.address()));
    let storage = open(&server.url_by(proxy.address), &schema).await;
    let owner = host(&storage, 60_000).await;
    let run = claimed(&storage, &owner).await;
    append(&storage, &run, vec![event(1)]).await.expect("appends");
    let lane = 1 + run.run.key.no % 3;

    // The statement is at the server, and waits there, when its connection is cut.
    let aside = session(server, &schema).await;
    let lock = |lane| format!("BEGIN; SELECT 1 FROM lanes WHERE lane = {lane} FOR UPDATE");
    aside.batch(&lock(lane)).await.expect("locks");
    let cut = async |lane: i64| {
        until_locked(server, &schema, lane, 1).await;
        proxy.cut();
        // Sent again, behind the first.
        until_locked(server, &schema, lane, 2).await;
        aside.batch("COMMIT").await.expect("commits");
    };
    let appending = append(&storage, &run, vec![event(2), event(3)]);
    let (appended, ()) = futures_util::future::join(appending, cut(lane)).await;
    let seqs: Vec<u64> = appended.expect("appends").iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [3, 4]);
    append(&storage, &run, vec![event(4)]).await.expect("appends");
    let log = storage.events(run.run.key.no, 0, 99).await.expect("reads");
    assert!(log.iter().map(|event| event.seq).eq(1..=5), "each once: {log:?}");

    // The answer is the one of the first time.
    aside.batch(&lock(0)).await.expect("locks");
    let submitting = storage.submit(new_run(), claimant(&owner));
    let (submitted, ()) = futures_util::future::join(submitting, cut(0)).await;
    let Ok(SubmitOutcome::Claimed(second)) = submitted else { panic!("{submitted:?}") };
    assert_eq!(second.run.key.no, run.run.key.no + 1);
    append(&storage, &second, vec![event(1)]).await.expect("it owns the run");
    let queued = storage.submit(new_run(), None).await.expect("submits");
    assert!(matches!(queued, SubmitOutcome::Queued(_)));
    aside.batch(&lock(0)).await.expect("locks");
    let (third, ()) = futures_util::future::join(claim(&storage, &owner), cut(0)).await;
    assert_eq!((third.len(), third[0].run.attempt), (1, 1));
    aside.batch(&lock(1 + run.run.key.no % 3)).await.expect("locks");
    let end = storage.finish(&run.run.key, run.fence, Outcome::Completed(Json::null()));
    let (ended, ()) = futures_util::future::join(end, cut(lane)).await;
    assert_eq!(ended.expect("finishes")[0].seq, 6);
    assert_eq!(storage.last_seq(run.run.key.no).await.expect("reads"), 6);
}

/// What is acknowledged is there once, whatever happens to the connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_again_and_again_lose_and_double_nothing() {
    const ROUNDS: usize = 60;
    let Some(server) = server("connections that are cut") else { return };
    let (schema, proxy) = (server.fresh_schema(), Proxy::start(server.address()));
    let storage = open(&server.url_by(proxy.address), &schema).await;
    let owner = host(&storage, 60_000).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(claimed(&storage, &owner).await);
    }
    let write = async |run: &Claimed| {
        for n in 0..ROUNDS {
            append(&storage, run, vec![event(2 * n), event(2 * n + 1)]).await.expect("appends");
        }
    };
    let cut = async {
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(1..40))).await;
            proxy.cut();
        }
    };
    let writing = futures_util::future::join_all(runs.iter().map(write));
    futures_util::future::join(writing, cut).await;
    for run in &runs {
        let end = loop {
            // A read may find no connection.
            if let Ok(log) = storage.events(run.run.key.no, 1, 9999).await {
                break log;
            }
        };
        let data: Vec<Content> = end.into_iter().map(|event| event.what.content).collect();
        let expected: Vec<Content> = (0..2 * ROUNDS).map(|n| event(n).content).collect();
        assert_eq!(data, expected);
        storage.finish(&run.run.key, run.fence, Outcome::Completed(Json::null())).await.expect("finishes");
    }
}

#[tokio::test]
async fn a_faulty_command_is_refused_alone() {
    let Some(server) = server("a faulty command") else { return };
    let schema = server.fresh_schema();
    let storage = open(&server.url(), &schema).await;
    let owner = host(&storage, 60_000).await;
    let runs =
        [claimed(&storage, &owner).await, claimed(&storage, &owner).await, claimed(&storage, &owner).await];
    let same_lane = claimed(&storage, &owner).await;
    assert_eq!(runs[0].run.key.no % 3, same_lane.run.key.no % 3);

    // PostgreSQL stores no NUL. The lanes are held up, so that good and bad commands are in one statement.
    let aside = session(server, &schema).await;
    aside.batch("BEGIN; SELECT 1 FROM lanes FOR UPDATE").await.expect("locks");
    let faulty = NewEvent { event_type: EventType::from_stored("a\0b"), ..event(1) };
    let first = append(&storage, &runs[0], vec![event(1)]);
    let bad = append(&storage, &runs[0], vec![faulty]);
    let good = append(&storage, &same_lane, vec![event(1)]);
    let bad_submit = NewRun { idempotency_key: Some("a\0b".to_owned()), ..new_run() };
    let submits =
        [storage.submit(new_run(), None), storage.submit(bad_submit, None), storage.submit(new_run(), None)];
    let release = async {
        until_locked(server, &schema, 0, 1).await;
        until_locked(server, &schema, 1 + same_lane.run.key.no % 3, 1).await;
        aside.batch("COMMIT").await.expect("commits");
    };
    let (first, bad, good, submits, ()) =
        tokio::join!(first, bad, good, futures_util::future::join_all(submits), release);
    assert!(first.is_ok() && matches!(bad, Err(StorageError::Unavailable(_))), "{bad:?}");
    assert_eq!(good.expect("appends")[0].seq, 2);
    assert!(
        submits[0].is_ok() && matches!(submits[1], Err(StorageError::Unavailable(_))) && submits[2].is_ok()
    );
    // The log of the run goes on without a gap.
    assert_eq!(append(&storage, &runs[0], vec![event(2)]).await.expect("appends")[0].seq, 3);
}

#[tokio::test]
async fn text_that_json_escapes_is_stored_as_it_is() {
    let Some(server) = server("escaped text") else { return };
    let storage = open(&server.url(), &server.fresh_schema()).await;
    let owner = host(&storage, 60_000).await;
    let text = r#"{"nul":"\u0000","half":"\ud800","big":1e400,"dup":1,"dup":2}"#.to_owned();
    let new = NewRun { input: Json::from_valid(text.clone()), ..new_run() };
    let Ok(SubmitOutcome::Claimed(run)) = storage.submit(new, claimant(&owner)).await else {
        panic!("claimed")
    };
    let odd = NewEvent { content: Content::Json(Json::from_valid(text.clone())), ..event(1) };
    append(&storage, &run, vec![odd.clone()]).await.expect("appends");
    storage
        .finish(&run.run.key, run.fence, Outcome::Completed(Json::from_valid(text.clone())))
        .await
        .expect("ends");
    let read = storage.run(&run.run.key.id).await.expect("reads").expect("exists");
    assert_eq!((read.input.as_str(), read.status), (text.as_str(), RunStatus::Completed));
    assert_eq!(read.final_value.as_ref().map(Json::as_str), Some(text.as_str()));
    assert_eq!(storage.events(run.run.key.no, 1, 1).await.expect("reads")[0].what, odd);
}

#[tokio::test]
async fn the_event_of_a_claim_is_returned_as_it_is_stored() {
    let Some(server) = server("the event of a claim") else { return };
    let storage = open(&server.url(), &server.fresh_schema()).await;
    let owner = host(&storage, 60_000).await;
    let locks = vec![Lock { name: "x".to_owned(), capacity: 1 }];
    storage.submit(NewRun { locks, ..new_run() }, None).await.expect("submits");
    let run = claim(&storage, &owner).await.remove(0);
    let log = storage.events(run.run.key.no, 0, 9).await.expect("reads");
    assert_eq!((&log[1..], run.last_seq), (&run.events[..], 2));
}

#[tokio::test]
async fn a_run_of_a_task_without_a_limit_is_claimed() {
    let Some(server) = server("a task without a limit") else { return };
    let storage = open(&server.url(), &server.fresh_schema()).await;
    let owner = host(&storage, 60_000).await;
    storage.submit(new_run(), None).await.expect("submits");
    assert_eq!(claim_with_room(&storage, &owner, u32::MAX).await.len(), 1);
}

#[tokio::test]
async fn a_long_queue_is_claimed_to_its_end_also_if_runs_come_back_to_its_beginning() {
    let Some(server) = server("a long queue") else { return };
    let storage = open(&server.url(), &server.fresh_schema()).await;
    let owner = host(&storage, 60_000).await;
    let submits = (0..250).map(|_| storage.submit(new_run(), None));
    futures_util::future::join_all(submits).await;
    let first = claim(&storage, &owner).await;
    assert!(first.len() == 99 && first.is_sorted_by_key(|run| run.run.key.no));
    for run in &first[..5] {
        let event = NewEvent::queued(None);
        storage.requeue(&run.run.key, run.fence, event, None).await.expect("puts back");
    }
    let rest = [claim(&storage, &owner).await.len(), claim(&storage, &owner).await.len()];
    assert_eq!(rest, [99, 250 - 2 * 99 + 5], "with those below the floor");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wait_while_the_database_is_away_and_starts_are_refused_at_once() {
    let Some(server) = own_server("a database that is away", Options::default()) else { return };
    let storage = open(&server.url(), "away").await;
    let owner = host(&storage, 60_000).await;
    let run = claimed(&storage, &owner).await;
    append(&storage, &run, vec![event(1)]).await.expect("appends");
    server.crash();
    let appending = append(&storage, &run, vec![event(2)]);
    let outage = async {
        while storage.health().is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let refused = storage.submit(new_run(), claimant(&owner)).await;
        assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
        server.start_again();
    };
    let (appended, ()) = futures_util::future::join(appending, outage).await;
    assert_eq!(appended.expect("appends")[0].seq, 3);
    storage.finish(&run.run.key, run.fence, Outcome::Completed(Json::null())).await.expect("finishes");
    assert!(storage.health().is_ok());
}

#[tokio::test]
async fn after_a_restart_of_the_server_hosts_have_the_time_of_a_lease_to_come_back() {
    let Some(server) = own_server("a restart of the server", Options::default()) else { return };
    let storage = open(&server.url(), "grace").await;
    let (late, other) = (host(&storage, 60_000).await, host(&storage, 60_000).await);
    claimed(&storage, &late).await;
    // It could not renew for longer than its lease, because the server was away.
    let id = late.as_str();
    server.psql(&format!("UPDATE grace.hosts SET lease_until = 1 WHERE id = '{id}'"));
    server.restart();
    let taken = loop {
        match storage.claim_orphans(&other, 9).await {
            Ok(taken) => break taken,
            Err(StorageError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(taken.is_empty(), "nobody is declared dead yet");
    storage.renew_lease(&late, 60_000).await.expect("it has come back in time");
    // A lease that is shorter than the server has been up is over.
    server.psql(&format!("UPDATE grace.hosts SET lease_until = 1, lease_ms = 1 WHERE id = '{id}'"));
    assert_eq!(storage.claim_orphans(&other, 9).await.expect("takes over").len(), 1);
}
