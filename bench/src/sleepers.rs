//! Measures many sleeping runs, on two threads.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::host::{BenchHost, database};
use crate::report::{Report, print, quantile};

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    let count = 10_000 / scale;
    print(&format!("\n{count} runs asleep at once\n"));
    let arguments = ["--durability", "normal", "--max-running", "10000", "--guest-threads", "2"];
    let host = BenchHost::start(&arguments);
    warm_up(&host).await;
    let before = host.anonymous_memory();
    let sleep_ms = 15_000;
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for nth in 0..32 {
        let address = host.address;
        clients.spawn(async move {
            let mut client = Client::open(address).await;
            let body = format!("{{\"do\":\"ticks\",\"n\":1,\"ms\":{sleep_ms}}}");
            for _ in (nth..count).step_by(32) {
                client.json("POST", "/api/tasks/bench/probe/runs", &body).await;
            }
        });
    }
    clients.join_all().await;
    let started = began.elapsed();
    let asleep = running(&host);
    let memory = (host.anonymous_memory() - before) / f64::from(count);
    report.note("started in", format!("{:.1} s", started.as_secs_f64()));
    report.note("asleep at once", format!("{asleep} of {count}"));
    report.at_most("memory for each sleeping run", memory / 1024.0, "KiB", 100.0);
    while running(&host) > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut late = lateness(&host);
    assert_eq!(late.len(), count as usize, "every run woke");
    report.note("lateness of wake-ups, p50", format!("{:.2} ms", quantile(&mut late, 0.5)));
    report.at_most("lateness of wake-ups, max", quantile(&mut late, 1.0), "ms", 100.0);
}

/// One-time allocations do not count.
async fn warm_up(host: &BenchHost) {
    let mut client = Client::open(host.address).await;
    for _ in 0..100 {
        client.json("POST", "/api/tasks/bench/probe/runs", r#"{"do":"echo"}"#).await;
    }
    while running(host) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn open(host: &BenchHost) -> Connection {
    Connection::open_with_flags(database(&host.data()), OpenFlags::SQLITE_OPEN_READ_ONLY)
        .expect("the host's database")
}

fn running(host: &BenchHost) -> u32 {
    let count = "SELECT count(*) FROM runs WHERE status = 'running'";
    open(host).query_row(count, [], |row| row.get(0)).expect("the host's schema")
}

/// The delay of the timer of each guest, in milliseconds.
fn lateness(host: &BenchHost) -> Vec<f64> {
    let db = open(host);
    let mut statement = db
        .prepare("SELECT json_extract(data, '$.late_us') / 1000.0 FROM events WHERE type = 'tick'")
        .expect("the host's schema");
    let rows = statement.query_map([], |row| row.get(0)).expect("the host's schema");
    rows.collect::<rusqlite::Result<_>>().expect("numbers")
}
