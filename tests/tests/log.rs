//! A host whose log can't be written: whoever reads it has stopped or gone away, or the disk is full.
//! It serves on, and stops as it should.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, PipeReader};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::json;
use streamtask_tests::{ChildHost, Folders, PATIENCE, child, eventually, guests, soon};

/// All requests are logged.
const SETTINGS: [&str; 6] = ["--durability", "normal", "--drain-grace", "5s", "--log", "debug"];
/// Longer than a request's path has to be for a line of the log to be as long.
const LONG: usize = 8_000;
/// Lines that no pipe has room for, and together with their text not the host's own queue either.
const MANY: usize = 400;

/// How the log begins to say that lines are missing.
const TOLD: &str = "lines of this log were dropped";

/// Requests whose lines fill whatever takes them. All are answered.
async fn flood(host: &ChildHost) {
    let path = format!("/{}", "x".repeat(LONG));
    for _ in 0..MANY {
        assert_eq!(soon("an answer", host.get(&path)).await.status, 404);
    }
}

async fn metric(host: &ChildHost, name: &str) -> u64 {
    let metrics = String::from_utf8(host.get("/metrics").await.body.to_vec()).unwrap();
    let line = metrics.lines().find(|line| line.starts_with(&format!("streamtask_{name} ")));
    line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_else(|| panic!("{metrics}"))
}

/// All that a client asks for, and a change of the folder, which is logged too.
async fn serves(host: &ChildHost, folders: &Folders) {
    guests::install(&folders.tasks(), "late.wasm", &guests::ticker("late"));
    eventually("the new task serves", || async {
        soon("an answer", host.get("/api/tasks/default/late")).await.status == 200
    })
    .await;
    for path in ["/healthz", "/readyz", "/api/tasks", "/api/runs"] {
        assert_eq!(soon("an answer", host.get(path)).await.status, 200, "{path}");
    }
    let ended = soon("a run", host.run(json!({ "do": "echo" }))).await;
    assert_eq!(ended["status"], "completed");
}

/// Stops the host while a run is under way, which may end within the grace.
async fn stops_in_order(host: ChildHost) {
    let run = host.probe(json!({ "do": "sleep", "ms": 500 })).await;
    let mut stream = host.follow(&run).await;
    stream.until("run.started").await;
    host.signal("TERM");
    let events = soon("the stream ends", stream.rest()).await;
    assert_eq!(events.last().unwrap().name, "run.completed", "{events:?}");
    let (status, _) = tokio::task::spawn_blocking(|| host.ended()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

fn unread() -> (Folders, ChildHost, PipeReader) {
    let folders = Folders::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let host =
        ChildHost::spawn_logging_to(child::serve(&folders.tasks(), &folders.data(), &SETTINGS), writer);
    (folders, host.ready(), reader)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_nothing_up() {
    let (folders, host, reader) = unread();
    flood(&host).await;
    serves(&host, &folders).await;
    assert!(metric(&host, "log_lines_dropped_total").await > 0);
    stops_in_order(host).await;
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_on_hears_how_many_lines_it_has_missed() {
    let (_folders, host, reader) = unread();
    flood(&host).await;
    let text = Arc::new(Mutex::new(String::new()));
    let reading = {
        let text = Arc::clone(&text);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 0 {
                text.lock().push_str(&line);
                line.clear();
            }
        })
    };
    eventually("it is told", || async { text.lock().contains(TOLD) }).await;
    // From now on there is room for all.
    let dropped = metric(&host, "log_lines_dropped_total").await;
    let (status, _) = tokio::task::spawn_blocking(|| host.terminate()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    reading.join().unwrap();
    let text = text.lock().clone();
    let told: u64 = text
        .lines()
        .filter(|line| line.contains(TOLD))
        .map(|line| line.split("lines=").nth(1).unwrap().trim().parse::<u64>().unwrap())
        .sum();
    assert!(dropped > 0 && told == dropped, "{told} of {dropped}");
    assert!(text.trim_end().ends_with("stopped"), "all that follows is there");
    let whole = text.lines().all(|line| line.starts_with("20"));
    assert!(whole, "every line begins with its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_host_at_once_whose_log_nobody_reads() {
    let (_folders, host, _reader) = unread();
    flood(&host).await;
    let run = host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    let mut stream = host.follow(&run).await;
    stream.until("run.started").await;
    host.signal("TERM");
    eventually("it stops", || async { host.get("/readyz").await.status == 503 }).await;
    host.signal("TERM");
    let (status, _) = tokio::task::spawn_blocking(|| host.ended()).await.unwrap();
    assert_eq!(status.code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_reader_has_gone_holds_nothing_up() {
    let (folders, host, reader) = unread();
    drop(reader);
    serves(&host, &folders).await;
    assert!(metric(&host, "log_lines_dropped_total").await > 0);
    stops_in_order(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_on_a_full_disk_holds_nothing_up() {
    let folders = Folders::new();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let serve = child::serve(&folders.tasks(), &folders.data(), &SETTINGS);
    let host = ChildHost::spawn_logging_to(serve, full).ready();
    serves(&host, &folders).await;
    assert!(metric(&host, "log_lines_dropped_total").await > 0);
    stops_in_order(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_lines_are_not_waited_for_if_nobody_reads_them() {
    let (_folders, host, _reader) = unread();
    flood(&host).await;
    let began = Instant::now();
    let (status, _) = tokio::task::spawn_blocking(|| host.terminate()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < PATIENCE, "it took {:?}", began.elapsed());
}
