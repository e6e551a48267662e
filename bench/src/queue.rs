//! Measures how fast the runs of a long queue are claimed and executed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::host::{BenchHost, database};
use crate::report::{Report, print};

/// Runs that occupy all slots while the queue grows.
const HOLDERS: u32 = 4;
/// Concurrent clients that start runs.
const CLIENTS: u32 = 32;
/// Interval of polling the database for ended runs.
const LOOK: Duration = Duration::from_millis(50);
/// Target: runs claimed and executed per second, as many as the host can start for its clients.
const WANTED: f64 = 3000.0;

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    let count = 100_000 / scale;
    print(&format!("\n{count} runs that wait\n"));
    let room = HOLDERS.to_string();
    let host =
        BenchHost::start(&["--durability", "normal", "--max-running", &room, "--max-queued", "200000"]);
    let mut client = Client::open(host.address).await;
    let mut holders = Vec::new();
    for _ in 0..HOLDERS {
        holders.push(client.start("probe", &serde_json::json!({ "do": "sleep", "ms": 3_600_000 })).await);
    }
    let began = Instant::now();
    queue(host.address, count).await;
    report.note("queued in", format!("{:.1} s", began.elapsed().as_secs_f64()));
    assert_eq!(ended(&host), 0, "none before there is room");
    let began = Instant::now();
    for holder in &holders {
        client.json("POST", &format!("/api/runs/{holder}/cancel"), "").await;
    }
    while ended(&host) < count + HOLDERS {
        tokio::time::sleep(LOOK).await;
    }
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    report.at_least("waiting runs claimed, each to its end (normal)", rate, WANTED);
}

async fn queue(address: SocketAddr, count: u32) {
    let mut clients = JoinSet::new();
    for nth in 0..CLIENTS {
        clients.spawn(async move {
            let mut client = Client::open(address).await;
            for _ in (nth..count).step_by(CLIENTS as usize) {
                client.start("counter", &serde_json::json!({ "steps": 1, "delay_ms": 0 })).await;
            }
        });
    }
    clients.join_all().await;
}

fn ended(host: &BenchHost) -> u32 {
    let db = Connection::open_with_flags(database(&host.data()), OpenFlags::SQLITE_OPEN_READ_ONLY);
    let count = "SELECT count(*) FROM runs WHERE finished_at IS NOT NULL";
    db.expect("the host's database").query_row(count, [], |row| row.get(0)).expect("the host's schema")
}
