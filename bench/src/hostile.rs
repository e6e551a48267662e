//! Measures the effect of malicious guests on others: the delay of a neighbour's timer, the time to
//! pause or end a guest, and the latency of a start.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::client::Client;
use crate::host::BenchHost;
use crate::report::{Report, print, quantile};
use crate::start::latencies;

/// Concurrent malicious guests.
const HOSTILE: u32 = 20;
/// The grace period of a cancel.
const GRACE: Duration = Duration::from_millis(100);

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    for (what, input) in [
        ("compute", json!({ "do": "spin" })),
        ("call the host in a loop", json!({ "do": "call-clock" })),
        ("poll a list of 90,000", json!({ "do": "poll-list", "bytes": 90_000 })),
        ("fill 50 MiB at once", json!({ "do": "fill-memory", "bytes": 50 << 20 })),
        ("flood with events", json!({ "do": "flood", "bytes": 100 })),
    ] {
        print(&format!("\n{HOSTILE} guests that {what}\n"));
        let arguments = ["--durability", "normal", "--guest-threads", "2", "--cancel-grace", "100ms"];
        let host = BenchHost::start(&arguments);
        let mut client = Client::open(host.address).await;
        let mut hostile = Vec::new();
        for _ in 0..HOSTILE {
            hostile.push(client.start("hostile", &input).await);
        }
        // Waits until all are active.
        tokio::time::sleep(Duration::from_secs(1)).await;
        lateness(report, &host, &mut client, 500 / scale).await;
        starts(report, &host, 100 / scale).await;
        pauses(report, &host, &mut client, 20 / scale).await;
        ends(report, &mut client, hostile).await;
    }
}

async fn lateness(report: &mut Report, host: &BenchHost, client: &mut Client, ticks: u32) {
    let run = client.start("probe", &json!({ "do": "ticks", "n": ticks, "ms": 10 })).await;
    client.finished(&run).await;
    let mut late = host.lateness(&run);
    assert_eq!(late.len(), ticks as usize, "every tick came");
    report.note("lateness of a neighbour's 10 ms timer, p50", format!("{:.2} ms", quantile(&mut late, 0.5)));
    report.at_most("lateness of a neighbour's 10 ms timer, p99", quantile(&mut late, 0.99), "ms", 30.0);
    report.note("lateness of a neighbour's 10 ms timer, max", format!("{:.2} ms", quantile(&mut late, 1.0)));
}

async fn starts(report: &mut Report, host: &BenchHost, count: u32) {
    let mut times = latencies(host.address, count).await;
    report.note("POST → first event meanwhile, p50", format!("{:.2} ms", quantile(&mut times, 0.5)));
    report.note("POST → first event meanwhile, p99", format!("{:.2} ms", quantile(&mut times, 0.99)));
}

async fn pauses(report: &mut Report, host: &BenchHost, client: &mut Client, count: u32) {
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(until_held(client, host).await);
    }
    report.at_most("`pause` to a computing guest's last act, max", quantile(&mut times, 1.0), "ms", 50.0);
}

/// Milliseconds from the request to pause a computing guest to its last reported time.
async fn until_held(client: &mut Client, host: &BenchHost) -> f64 {
    let run = client.start("hostile", &json!({ "do": "beat" })).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set");
    client.json("POST", &format!("/api/runs/{run}/pause"), "").await;
    // Much longer than the target.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let last =
        "SELECT data / 1000.0 FROM run_events WHERE run = ?1 AND type = 'beat' ORDER BY seq DESC LIMIT 1";
    let last = host.numbers(last, &run);
    client.json("POST", &format!("/api/runs/{run}/cancel"), "").await;
    let last = last.first().copied().expect("it has begun");
    (last - now.as_secs_f64() * 1e3).max(0.0)
}

async fn ends(report: &mut Report, client: &mut Client, runs: Vec<String>) {
    let mut times = Vec::new();
    for run in runs {
        client.json("POST", &format!("/api/runs/{run}/cancel"), "").await;
        // The grace period begins when the run is notified, just before the response.
        let began = Instant::now();
        client.finished(&run).await;
        times.push(began.elapsed().saturating_sub(GRACE).as_secs_f64() * 1e3);
    }
    report.at_most("end of the grace to the end by force, max", quantile(&mut times, 1.0), "ms", 50.0);
}
