//! Measures the replay of a million stored events to one client.

use std::time::Instant;

use crate::client::{Client, open_stream, read_to_end};
use crate::host::BenchHost;
use crate::report::{Report, print, quantile};

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    print("\nreplay of a finished run\n");
    let events = 1_000_000 / scale;
    let host = BenchHost::start(&["--durability", "normal"]);
    let path = finished_run(&host, events).await;
    let mut rates = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let mut stream = open_stream(host.address, "GET", &path, "").await;
        read_to_end(&mut stream, |_| true).await;
        rates.push(f64::from(events) / began.elapsed().as_secs_f64());
    }
    report.at_least("replay of 1,000,000 stored events", quantile(&mut rates, 0.5), 500_000.0);
}

/// The stream of an ended run with this many events.
pub(crate) async fn finished_run(host: &BenchHost, events: u32) -> String {
    let mut api = Client::open(host.address).await;
    let body = format!("{{\"steps\":{events},\"delay_ms\":0}}");
    let run = api.json("POST", "/api/tasks/bench/counter/runs", &body).await;
    let path = run["stream"].as_str().expect("a run").to_owned();
    let mut stream = open_stream(host.address, "GET", &path, "").await;
    read_to_end(&mut stream, |_| true).await;
    path
}
