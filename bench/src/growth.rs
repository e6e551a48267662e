//! Measures whether anything gets slower with the amount of stored data.

use std::time::Instant;

use rusqlite::{Connection, params};

use crate::client::{open_stream, read_until};
use crate::host::{BenchHost, database, folder};
use crate::replay::finished_run;
use crate::report::{Report, print, quantile};
use crate::start::{latencies, sustained};

/// Number of stored, finished runs.
const RUNS: i64 = 1_000_000;
/// Events per run.
const EVENTS_PER_RUN: i64 = 10;

/// Rounds in which both databases are measured alternately, for seconds each, because the speed of
/// a shared machine changes from minute to minute.
const TURNS: u32 = 5;
/// Disturbances only make results worse, so the best quarter of the latencies and the best rates
/// are compared.
const GOOD: f64 = 0.25;

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    let runs = RUNS / i64::from(scale);
    print(&format!(
        "\nthe same on an empty database and with {runs} finished runs of {EVENTS_PER_RUN} events\n"
    ));
    // The host creates the schema; then SQLite fills it directly.
    let folder = BenchHost::start_in(folder(), &[]).stop();
    let began = Instant::now();
    fill(&database(&folder.path().join("data")), runs);
    print(&format!("filled in {:.0} s\n", began.elapsed().as_secs_f64()));
    let options = ["--durability", "normal"];
    let mut empty = Measured::new(BenchHost::start(&options), scale).await;
    let mut full = Measured::new(BenchHost::start_in(folder, &options), scale).await;
    for _ in 0..TURNS {
        for host in [&mut empty, &mut full] {
            host.measure(scale).await;
        }
    }
    let (empty, full) = (empty.figures(), full.figures());
    report.at_most("start latency, full ÷ empty", full.start_ms / empty.start_ms, "×", 1.2);
    report.at_most("starts a second, empty ÷ full", empty.starts / full.starts, "×", 1.2);
    report.at_most("resume latency, full ÷ empty", full.resume_ms / empty.resume_ms, "×", 1.2);
}

/// One of the two databases, with its results so far.
struct Measured {
    host: BenchHost,
    /// A stored run to resume.
    path: String,
    start_ms: Vec<f64>,
    starts: Vec<f64>,
    resume_ms: Vec<f64>,
}

struct Figures {
    start_ms: f64,
    starts: f64,
    resume_ms: f64,
}

impl Measured {
    async fn new(host: BenchHost, scale: u32) -> Self {
        let path = finished_run(&host, 100_000 / scale).await;
        Self { host, path, start_ms: Vec::new(), starts: Vec::new(), resume_ms: Vec::new() }
    }

    async fn measure(&mut self, scale: u32) {
        self.start_ms.extend(latencies(self.host.address, 200 / scale).await);
        self.starts.push(sustained(self.host.address, 12_000 / scale).await);
        let middle = 50_000 / scale;
        for _ in 0..200 / scale {
            let began = Instant::now();
            let path = format!("{}?after={middle}", self.path);
            let mut stream = open_stream(self.host.address, "GET", &path, "").await;
            read_until(&mut stream, format!("id: {}\n", middle + 1).as_bytes()).await;
            self.resume_ms.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }

    fn figures(mut self) -> Figures {
        let start_ms = quantile(&mut self.start_ms, GOOD);
        let starts = self.starts.into_iter().fold(0.0, f64::max);
        let resume_ms = quantile(&mut self.resume_ms, GOOD);
        print(&format!("start {start_ms:.2} ms, {starts:.0} starts a second, resume {resume_ms:.2} ms\n"));
        Figures { start_ms, starts, resume_ms }
    }
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
            // IDs with the format and order of those of the host.
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
