//! Whether anything becomes slower with what is stored.

use std::time::Instant;

use rusqlite::{Connection, params};

use crate::client::{open_stream, read_until};
use crate::host::{BenchHost, database, folder};
use crate::replay::finished_run;
use crate::report::{Report, print, quantile};
use crate::start::{latencies, sustained};

/// Finished runs that are stored.
const RUNS: i64 = 1_000_000;
/// Events of each.
const EVENTS_PER_RUN: i64 = 10;

/// What is measured on each database.
struct Figures {
    start_ms: f64,
    starts: f64,
    resume_ms: f64,
}

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    let runs = RUNS / i64::from(scale);
    print(&format!(
        "\nthe same on an empty database and with {runs} finished runs of {EVENTS_PER_RUN} events\n"
    ));
    let (empty, folder_of_empty) = figures(BenchHost::start(&["--durability", "normal"]), scale).await;
    drop(folder_of_empty);
    // The host makes the schema; then it is filled as fast as SQLite goes.
    let folder = BenchHost::start_in(folder(), &[]).stop();
    let began = Instant::now();
    fill(&database(&folder.path().join("data")), runs);
    print(&format!("filled in {:.0} s\n", began.elapsed().as_secs_f64()));
    let (full, _) = figures(BenchHost::start_in(folder, &["--durability", "normal"]), scale).await;
    report.at_most("start latency, full ÷ empty", full.start_ms / empty.start_ms, "×", 1.2);
    report.at_most("starts a second, empty ÷ full", empty.starts / full.starts, "×", 1.2);
    report.at_most("resume latency, full ÷ empty", full.resume_ms / empty.resume_ms, "×", 1.2);
}

/// What disturbs a measurement makes it worse, never better: the good quarter of the
/// latencies and the best of the rates are compared.
const GOOD: f64 = 0.25;

async fn figures(host: BenchHost, scale: u32) -> (Figures, tempfile::TempDir) {
    let mut times = latencies(host.address, 500 / scale).await;
    let start_ms = quantile(&mut times, GOOD);
    let mut rates = Vec::new();
    for _ in 0..4 {
        rates.push(sustained(host.address, 12_000 / scale).await);
    }
    let starts = rates.into_iter().fold(0.0, f64::max);
    let path = finished_run(&host, 100_000 / scale).await;
    let middle = 50_000 / scale;
    let mut times = Vec::new();
    for _ in 0..300 / scale {
        let began = Instant::now();
        let mut stream = open_stream(host.address, "GET", &format!("{path}?after={middle}"), "").await;
        read_until(&mut stream, format!("id: {}\n", middle + 1).as_bytes()).await;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let resume_ms = quantile(&mut times, GOOD);
    print(&format!("start {start_ms:.2} ms, {starts:.0} starts a second, resume {resume_ms:.2} ms\n"));
    (Figures { start_ms, starts, resume_ms }, host.stop())
}

fn fill(path: &std::path::Path, runs: i64) {
    let mut db = Connection::open(path).expect("the host's database");
    db.pragma_update(None, "synchronous", "OFF").expect("SQLite");
    db.execute("INSERT OR IGNORE INTO tasks (app, task) VALUES ('bench', 'counter')", [])
        .expect("the host's schema");
    let task: i64 = db
        .query_row("SELECT no FROM tasks WHERE app = 'bench' AND task = 'counter'", [], |row| row.get(0))
        .expect("the host's schema");
    let transaction = db.transaction().expect("SQLite");
    {
        let mut run = transaction
            .prepare(
                "INSERT INTO runs (no, id, task, status, attempt, fence, created_at, started_at, finished_at, \
                 last_seq, input, final_value) \
                 VALUES (?1, ?2, ?3, 'completed', 1, 1, ?4, ?4, ?4, ?5, '{\"steps\":7,\"delay_ms\":0}', '{\"steps\":7}')",
            )
            .expect("the host's schema");
        let mut event = transaction
            .prepare("INSERT INTO events (id, attempt, time, type, data) VALUES (?1, 1, ?2, ?3, ?4)")
            .expect("the host's schema");
        for no in 1..=runs {
            // The form and order of the ids that the host makes.
            let id = format!("01900000-{:04x}-7000-8000-{:012x}", no >> 16 & 0xffff, no);
            run.execute(params![no, id, task, 1_700_000_000_000 + no, EVENTS_PER_RUN]).expect("SQLite");
            for seq in 1..=EVENTS_PER_RUN {
                let kind = if seq == EVENTS_PER_RUN { "run.completed" } else { "progress" };
                let data = format!("{{\"step\":{seq},\"total\":7,\"message\":\"step {seq} of 7\"}}");
                event.execute(params![no << 32 | seq, 1_700_000_000_000 + no, kind, data]).expect("SQLite");
            }
        }
    }
    transaction.commit().expect("SQLite");
}
