//! Measures the cost of each language: size of a file, first load, start of a run, and memory per
//! run, with the guests of the conformance kit.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::client::{Client, open_stream, read_until};
use crate::host::{BenchHost, guest};
use crate::report::{Report, print, quantile};

/// The languages of `cargo xtask kit`, except Rust.
const LANGUAGES: [&str; 6] = ["rust", "c", "go", "javascript", "typescript", "python"];
/// Concurrent sleeping runs for the memory measurement.
const ASLEEP: u32 = 50;
/// Target: latency from the request to the first event of the guest, in milliseconds.
const WANTED: f64 = 5.0;

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    for language in LANGUAGES {
        let Some(wasm) = kit(language) else {
            print(&format!(
                "\n{language}: skipped; `cargo xtask kit` builds its guest, or reports what that needs\n"
            ));
            continue;
        };
        print(&format!("\n{language}\n"));
        let host = BenchHost::start(&["--durability", "normal", "--guest-threads", "2"]);
        report.note(&format!("{language}: file"), format!("{:.1} MB", wasm.len() as f64 / 1e6));
        let loaded = load(&host, &wasm).await;
        report.note(&format!("{language}: compiled and ready"), format!("{:.2} s", loaded.as_secs_f64()));
        let mut times = starts(&host, 100 / scale).await;
        let what = format!("{language}: POST → the guest's first event, p50");
        report.at_most(&what, quantile(&mut times, 0.5), "ms", WANTED);
        report.note(
            &format!("{language}: POST → the guest's first event, p99"),
            format!("{:.2} ms", quantile(&mut times, 0.99)),
        );
        let memory = memory(&host).await;
        report.note(&format!("{language}: memory of a sleeping run"), format!("{:.0} KiB", memory / 1024.0));
    }
}

/// A guest of the conformance kit, if it was built.
pub(crate) fn kit(language: &str) -> Option<Vec<u8>> {
    if language == "rust" {
        return Some(guest("tests/guests", "conformance"));
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/kit");
    fs::read(folder.join(format!("conformance-{language}.wasm"))).ok()
}

/// Measures the time from the copy of the file to the first accepted start.
async fn load(host: &BenchHost, wasm: &[u8]) -> Duration {
    let tasks = host.tasks();
    fs::write(tasks.join(".kit"), wasm).expect("a writable folder");
    let began = Instant::now();
    fs::rename(tasks.join(".kit"), tasks.join("kit.wasm")).expect("a writable folder");
    let mut client = Client::open(host.address).await;
    while client.json("GET", "/api/tasks/bench/kit", "").await["version"].is_null() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

async fn starts(host: &BenchHost, count: u32) -> Vec<f64> {
    let mut times = Vec::new();
    let body = r#"{"case":"events","events":[{"type":"first","data":1}]}"#;
    for nth in 0..count + 10 {
        let began = Instant::now();
        let mut stream = open_stream(host.address, "POST", "/api/tasks/bench/kit/runs", body).await;
        read_until(&mut stream, b"event: first\n").await;
        if nth >= 10 {
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    times
}

async fn memory(host: &BenchHost) -> f64 {
    let before = host.anonymous_memory();
    let body = r#"{"case":"cancel"}"#;
    let mut streams = Vec::new();
    for _ in 0..ASLEEP {
        let mut stream = open_stream(host.address, "POST", "/api/tasks/bench/kit/runs", body).await;
        read_until(&mut stream, b"event: waiting\n").await;
        streams.push(stream);
    }
    (host.anonymous_memory() - before) / f64::from(ASLEEP)
}
