//! What the disk and the machine do to a host: the disk is full, the database is
//! torn or locked, the clock is set back, there are no files to be had. Nothing is
//! lost, and the host says what is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};
use streamtask_tests::{Api, ChildHost, Event, Folders, Said, child, eventually, soon};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const SETTINGS: [&str; 4] = ["--durability", "normal", "--drain-grace", "100ms"];

fn database(folders: &Folders) -> Connection {
    Connection::open(folders.data().join("streamtask.db")).unwrap()
}

fn serve(folders: &Folders) -> Command {
    child::serve(&folders.tasks(), &folders.data(), &SETTINGS)
}

fn start(command: Command) -> ChildHost {
    ChildHost::spawn(command).unwrap_or_else(|said| panic!("{said:?}")).ready()
}

/// Sets a limit of a living host; none: as much as it may have.
fn limit(host: &ChildHost, resource: Resource, to: Option<u64>) {
    let id = Pid::from_raw(i32::try_from(host.id()).unwrap());
    // The host has raised its own limits to the highest, which are those of this process, too.
    let maximum = getrlimit(resource).maximum;
    prlimit(id, resource, Rlimit { current: to.or(maximum), maximum }).unwrap();
}

fn fill_disk(host: &ChildHost) {
    limit(host, Resource::Fsize, Some(0));
}

/// Reads a run's events until the stream ends or breaks.
async fn watch(api: &Api, run: &Value) -> JoinHandle<Vec<Event>> {
    let mut stream = api.follow(run).await;
    tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Ok(Some(event)) = stream.try_next().await {
            seen.push(event);
        }
        seen
    })
}

async fn until_saved(host: &ChildHost, run: &Value) {
    host.follow(run).await.until("saved").await;
}

async fn readiness(host: &ChildHost) -> (u16, String) {
    let answer = host.get("/readyz").await;
    (answer.status.as_u16(), answer.json()["reasons"].to_string())
}

fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().map(Event::seq).collect()
}

fn is_whole(events: &[Event]) -> bool {
    seqs(events).into_iter().eq(1..=events.len() as u64) && events.last().is_some_and(Event::is_terminal)
}

fn count(events: &[Event], name: &str) -> usize {
    events.iter().filter(|event| event.name == name).count()
}

/// A run that saves a checkpoint after each of its steps.
fn saving(steps: u32) -> Value {
    json!({ "do": "work", "steps": steps, "ms": 2, "burst": 3, "save": true })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_runs_up_and_loses_nothing() {
    let folders = Folders::new();
    let host = start(serve(&folders));
    let saving = host.probe(saving(300)).await;
    let flooding = host.probe(json!({ "do": "flood", "events": 60_000, "pause_ms": 1 })).await;
    let seen = [watch(&host, &saving).await, watch(&host, &flooding).await];
    until_saved(&host, &saving).await;
    host.follow(&flooding).await.until("flood").await;

    fill_disk(&host);
    eventually("the host says so", || async { readiness(&host).await.0 == 503 }).await;
    let (_, reason) = readiness(&host).await;
    assert!(reason.contains("the disk is full, or a quota or a limit of file size"), "{reason}");
    let refused = host.post("/api/tasks/test/probe/runs", "{}").await.problem(503, "storage-unavailable");
    assert!(refused["detail"].as_str().unwrap().contains("the disk is full"), "{refused}");
    // Held before the disk has it, so it must be let go when the disk refuses.
    let pause = format!("/api/runs/{}/pause", saving["id"].as_str().unwrap());
    host.post(&pause, "").await.problem(503, "storage-unavailable");
    for run in [&saving, &flooding] {
        assert_eq!(host.read_run(run).await["status"], "running", "held up, not ended");
    }
    let stored = host.read_stream(&saving, "after=0&tail=1", "application/json").await;
    assert_eq!(stored.status, 200, "what is there can be read");

    limit(&host, Resource::Fsize, None);
    for (run, seen) in [&saving, &flooding].into_iter().zip(seen) {
        let seen = soon("the run goes on", seen).await.unwrap();
        assert!(is_whole(&seen), "{:?}", seen.last());
        assert_eq!(seen.last().unwrap().name, "run.completed", "{:?}", seen.last());
        assert!(seen == host.follow(run).await.rest().await);
        assert_eq!(host.read_run(run).await["attempt"], 1);
        if run == &saving {
            assert_eq!((count(&seen, "step"), count(&seen, "saved")), (900, 300));
        } else {
            assert_eq!(count(&seen, "flood"), 60_000);
        }
    }
    assert_eq!(readiness(&host).await.0, 200);
    let said = host.logged().join("\n");
    let told = |what| assert!(said.contains(what), "{said}");
    told("the database accepts no writes; retrying");
    told("the database accepts writes again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_stops_although_the_disk_is_full_and_the_next_one_goes_on() {
    let folders = Folders::new();
    let host = start(serve(&folders));
    let saving = host.probe(saving(200)).await;
    let sleeping = host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    let seen = watch(&host, &saving).await;
    until_saved(&host, &saving).await;
    fill_disk(&host);
    eventually("the host says so", || async { readiness(&host).await.0 == 503 }).await;
    let (status, said) =
        soon("stopping", async { tokio::task::spawn_blocking(|| host.terminate()).await }).await.unwrap();
    assert_eq!(status.code(), Some(0), "{said:?}");
    assert!(said.iter().any(|line| line.contains("the next start settles these runs")), "{said:?}");

    let seen = seen.await.unwrap();
    let host = folders.start(&SETTINGS);
    let events = host.follow(&saving).await.rest().await;
    assert!(is_whole(&events) && events.last().unwrap().name == "run.completed", "{:?}", events.last());
    let seen: Vec<Event> = seen.into_iter().filter(|event| event.name != "run.stream-closing").collect();
    assert!(events.starts_with(&seen), "what was seen is there");
    assert_eq!(count(&events, "run.retrying"), 1);
    assert_eq!(host.finished(&sleeping).await["error"]["kind"], "interrupted");
}

/// Everything in a database: the events of each run by their numbers.
fn events_of(database: &Path) -> BTreeMap<i64, String> {
    let db = Connection::open(database).unwrap();
    if !db.table_exists(None, "events").unwrap() {
        // Torn before the tables were made.
        return BTreeMap::new();
    }
    let mut query = db.prepare("SELECT id, attempt || time || type || data FROM events").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Where in a write-ahead log each transaction ends: after the frame that has a
/// size of the database (https://sqlite.org/fileformat.html, section 4.1).
fn commits(wal: &[u8]) -> Vec<usize> {
    const HEADER: usize = 32;
    const FRAME_HEADER: usize = 24;
    let number = |at: usize| u32::from_be_bytes(wal[at..at + 4].try_into().unwrap());
    let frame = FRAME_HEADER + number(8) as usize;
    let salt = &wal[16..24];
    (HEADER..)
        .step_by(frame)
        .take_while(|at| at + frame <= wal.len() && wal[at + 8..at + 16] == *salt)
        .filter(|at| number(at + 4) != 0)
        .map(|at| at + frame)
        .collect()
}

/// A copy of the data folder whose write-ahead log is another.
fn with_wal(folders: &Folders, wal: &[u8]) -> Folders {
    let copy = Folders::new();
    fs::create_dir(copy.data()).unwrap();
    fs::copy(folders.data().join("streamtask.db"), copy.data().join("streamtask.db")).unwrap();
    fs::write(copy.data().join("streamtask.db-wal"), wal).unwrap();
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_write_ahead_log_loses_only_what_is_behind_the_tear() {
    let folders = Folders::new();
    let host = folders.start(&SETTINGS);
    for n in 0..20 {
        host.run(json!({ "do": "echo", "n": n })).await;
    }
    host.run(json!({ "do": "fail" })).await;
    let saving = host.probe(saving(100_000)).await;
    host.probe(json!({ "do": "flood", "events": 1_000_000, "pause_ms": 5 })).await;
    let mut steps = host.follow(&saving).await;
    while steps.next().await.unwrap().json()["data"]["step"] != 25 {}
    host.kill();
    let wal = fs::read(folders.data().join("streamtask.db-wal")).unwrap();
    let ends = commits(&wal);
    assert!(ends.len() > 50, "only {} transactions to tear", ends.len());

    let mut rng = fastrand::Rng::new();
    for nth in 0..12 {
        // From the header on, or within what came last.
        let from = if nth % 2 == 0 { 32 } else { ends[ends.len() - 10] };
        let at = rng.usize(from..*ends.last().unwrap());
        let mut torn = wal.clone();
        match nth % 3 {
            0 => torn.truncate(at),
            1 => torn[at..].iter_mut().for_each(|byte| *byte = rng.u8(..)),
            _ => torn[at] ^= 0x10,
        }
        let whole = ends.iter().copied().take_while(|end| *end <= at).last().unwrap_or(32);
        let before = events_of(&with_wal(&folders, &wal[..whole]).data().join("streamtask.db"));

        let copy = with_wal(&folders, &torn);
        let host = copy.start(&SETTINGS);
        let runs = host.get("/api/runs?limit=1000").await.json();
        for run in runs["runs"].as_array().unwrap() {
            if run["input"]["do"] == "work" && run["finished_at"].is_null() {
                assert_eq!(host.cancel(run).await.status, 202, "it goes on from its checkpoint");
            }
            let events = soon("every run ends", host.follow(run).await.rest()).await;
            assert!(is_whole(&events), "torn at {at}: {events:?}");
            assert_eq!(events.iter().filter(|event| event.is_terminal()).count(), 1);
        }
        assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed");
        host.terminate();
        let after = events_of(&copy.data().join("streamtask.db"));
        for (id, event) in &before {
            assert_eq!(after.get(id), Some(event), "torn at {at}, event {}", id & 0xffff_ffff);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_back_leaves_no_run_behind() {
    const HOUR_MS: i64 = 3_600_000;
    let folders = Folders::new();
    let policy = "[retry]\nattempts = 2\nbackoff = \"1s\"\n";
    fs::write(folders.tasks().join("test/probe.toml"), policy).unwrap();
    let host = start({
        let mut serve = serve(&folders);
        serve.args(["--max-running", "2"]);
        serve
    });
    let delayed = host.probe(json!({ "do": "fail" })).await;
    host.follow(&delayed).await.until("run.retrying").await;
    let held = host.probe(json!({ "do": "fail" })).await;
    host.follow(&held).await.until("run.retrying").await;
    host.post(&format!("/api/runs/{}/pause", held["id"].as_str().unwrap()), "").await;
    let saving = host.probe(saving(100)).await;
    let sleeping = host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    until_saved(&host, &saving).await;
    host.follow(&sleeping).await.until("run.started").await;
    let waiting = host.probe(json!({ "do": "echo" })).await;
    host.kill();

    // As if the clock had been an hour ahead until now.
    let db = database(&folders);
    db.execute("UPDATE hosts SET lease_until = lease_until + ?1", [HOUR_MS]).unwrap();
    db.execute("UPDATE events SET time = time + ?1", [HOUR_MS]).unwrap();
    let columns =
        ["created_at", "started_at", "not_before"].map(|column| format!("{column} = {column} + ?1"));
    db.execute(&format!("UPDATE runs SET {}", columns.join(", ")), [HOUR_MS]).unwrap();
    let status: Vec<String> = db
        .prepare("SELECT status FROM runs WHERE not_before IS NOT NULL ORDER BY no")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(status, ["delayed", "paused"]);
    drop(db);

    let host = folders.start(&SETTINGS);
    soon("every run ends", async {
        assert_eq!(host.finished(&sleeping).await["error"]["kind"], "interrupted");
        assert_eq!(host.finished(&saving).await["status"], "completed");
        assert_eq!(host.finished(&waiting).await["status"], "completed");
        assert_eq!(host.finished(&delayed).await["attempt"], 2);
        host.post(&format!("/api/runs/{}/resume", held["id"].as_str().unwrap()), "").await;
        assert_eq!(host.finished(&held).await["attempt"], 2);
    })
    .await;
    for run in [&sleeping, &saving, &waiting, &delayed, &held] {
        assert!(is_whole(&host.follow(run).await.rest().await), "the order is that of the numbers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_another_program_locks_is_waited_for() {
    let folders = Folders::new();
    let host = folders.start(&SETTINGS);
    let run = host.probe(saving(300)).await;
    let seen = watch(&host, &run).await;
    until_saved(&host, &run).await;
    let other = database(&folders);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    eventually("the host says so", || async { readiness(&host).await.0 == 503 }).await;
    let (_, reason) = readiness(&host).await;
    assert!(reason.contains("database is locked"), "{reason}");
    assert_eq!(host.read_run(&run).await["status"], "running", "held up, not ended; and it can be read");
    other.execute_batch("ROLLBACK").unwrap();
    let seen = soon("the run goes on", seen).await.unwrap();
    assert!(is_whole(&seen) && seen.last().unwrap().name == "run.completed", "{:?}", seen.last());
    assert_eq!((count(&seen, "step"), host.read_run(&run).await["attempt"].as_u64()), (900, Some(1)));
    host.terminate();

    let other = database(&folders);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    Said::of(&mut serve(&folders)).refused(6, "database is locked");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(folders.start(&SETTINGS).run(json!({ "do": "echo" })).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_files_to_open_goes_on_and_recovers() {
    let folders = Folders::new();
    let host = folders.start(&SETTINGS);
    let run = host.probe(json!({ "do": "work", "steps": 400, "ms": 5, "burst": 1, "save": true })).await;
    let mut stream = host.follow(&run).await;
    let mut seen = stream.until("saved").await;
    let open = fs::read_dir(format!("/proc/{}/fd", host.id())).unwrap().count() as u64;
    limit(&host, Resource::Nofile, Some(open + 4));
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(TcpStream::connect(host.address).await.unwrap());
    }
    let mut said = Vec::new();
    eventually("the host says so", || {
        said.extend(host.logged());
        let told = said.iter().any(|line| line.contains("could not accept a connection"));
        async move { told }
    })
    .await;
    for _ in 0..100 {
        seen.extend(stream.until("saved").await);
    }
    said.extend(host.logged());
    let told = said.iter().filter(|line| line.contains("could not accept a connection")).count();
    assert_eq!(told, 1, "once, and not at each try: {said:?}");

    drop(clients);
    let run = soon("serving again", host.read_run(&run)).await;
    assert_eq!(run["status"], "running");
    limit(&host, Resource::Nofile, None);
    seen.extend(stream.rest().await);
    assert!(is_whole(&seen) && seen.last().unwrap().name == "run.completed", "{:?}", seen.last());
    eventually("the host says that it is over", || {
        said.extend(host.logged());
        let told = said.iter().any(|line| line.contains("connections are accepted again"));
        async move { told }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_the_write_ahead_log_long_is_named_and_it_shrinks_afterwards() {
    const LONG: u64 = 32 << 20;
    let folders = Folders::new();
    let host = folders.start(&SETTINGS);
    host.run(json!({ "do": "echo" })).await;
    let log = || fs::metadata(folders.data().join("streamtask.db-wal")).unwrap().len();
    let metric = async || {
        let text = String::from_utf8(host.get("/metrics").await.body.to_vec()).unwrap();
        let line = text.lines().find(|line| line.starts_with("streamtask_write_ahead_log_bytes ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let flood = json!({ "do": "flood", "events": 100_000, "bytes": 200 });
    host.run(flood.clone()).await;
    assert!(log() <= LONG, "without a reader in the way it is bounded: {}", log());

    let reader = database(&folders);
    reader.execute_batch("BEGIN; SELECT count(*) FROM runs").unwrap();
    host.run(flood.clone()).await;
    host.run(flood.clone()).await;
    let mut said = Vec::new();
    let own = format!("process {} (", std::process::id());
    eventually("the host names this process", || {
        said.extend(host.logged());
        let told = said.iter().any(|line| line.contains("the write-ahead log grows") && line.contains(&own));
        async move { told }
    })
    .await;
    let ready = host.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert!(ready.json()["warnings"][0].as_str().unwrap().contains(&own));
    assert!(log() > LONG && metric().await > LONG, "{}", log());

    reader.execute_batch("COMMIT").unwrap();
    host.run(json!({ "do": "echo" })).await;
    eventually("it shrinks", || async {
        host.run(json!({ "do": "echo" })).await;
        log() <= LONG
    })
    .await;
    assert!(metric().await <= LONG);
    assert!(host.get("/readyz").await.json()["warnings"].is_null());
    host.run(flood).await;
    said.extend(host.logged());
    let count = |what| said.iter().filter(|line| line.contains(what)).count();
    assert_eq!(
        (count("the write-ahead log grows"), count("the write-ahead log restarts")),
        (1, 1),
        "{said:?}"
    );
}
