//! Measures the time until a changed file is in use, and the effect on runs of the old version and
//! on others. The file is a JavaScript task of 12 MB, most of it an interpreter.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Client, open_stream, read_until};
use crate::host::BenchHost;
use crate::languages::kit;
use crate::report::{Report, print, quantile};

/// Target: time in addition to that of the compiler, in milliseconds.
const WANTED: f64 = 100.0;
/// Number of changes of the file.
const CHANGES: u32 = 5;
/// Interval of polling.
const LOOK: Duration = Duration::from_millis(2);

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    let Some(wasm) = kit("javascript") else {
        print("\nreload: left out; `cargo xtask kit` makes its guest\n");
        return;
    };
    print("\na changed file of 12 MB\n");
    let host = BenchHost::start(&["--durability", "normal", "--guest-threads", "2"]);
    let mut client = Client::open(host.address).await;
    let mut version = install(&host, &mut client, &wasm, "").await;
    let old = client.start("kit", &json!({ "case": "cancel" })).await;
    let mut stream = open_stream(host.address, "GET", &format!("/stream/bench/kit/{old}"), "").await;
    read_until(&mut stream, b"event: waiting\n").await;

    let mut beyond = Vec::new();
    for nth in 0..CHANGES.div_ceil(scale) {
        let changed = with_section(&wasm, &nth.to_le_bytes());
        let began = Instant::now();
        let compiler = tokio::task::spawn_blocking({
            let host = host.id();
            move || compiling(host)
        });
        version = install(&host, &mut client, &changed, &version).await;
        let all = began.elapsed();
        let alone = compiler.await.expect("it saw the compiler");
        beyond.push((all - alone).as_secs_f64() * 1e3);
        report.note("time of the compiler alone", format!("{:.2} s", alone.as_secs_f64()));
    }
    report.at_most(
        "from the change to the new version, without compiling, p50",
        quantile(&mut beyond, 0.5),
        "ms",
        WANTED,
    );

    // A neighbour run during compilation.
    let run = client.start("probe", &json!({ "do": "ticks", "n": 100, "ms": 10 })).await;
    install(&host, &mut client, &with_section(&wasm, b"last"), &version).await;
    client.finished(&run).await;
    let mut late = host.lateness(&run);
    report.at_most(
        "lateness of a neighbour's 10 ms timer meanwhile, max",
        quantile(&mut late, 1.0),
        "ms",
        30.0,
    );

    // The run of the first version is not affected.
    client.json("POST", &format!("/api/runs/{old}/cancel"), "").await;
    read_until(&mut stream, b"event: run.cancelled\n").await;
}

/// Replaces the file; returns the new version once it is in use.
async fn install(host: &BenchHost, client: &mut Client, wasm: &[u8], before: &str) -> String {
    let tasks = host.tasks();
    fs::write(tasks.join(".kit"), wasm).expect("a writable folder");
    fs::rename(tasks.join(".kit"), tasks.join("kit.wasm")).expect("a writable folder");
    loop {
        let task = client.json("GET", "/api/tasks/bench/kit", "").await;
        match task["version"].as_str() {
            Some(version) if version != before => return version.to_owned(),
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

/// A copy of the file with the same behaviour but other bytes.
fn with_section(wasm: &[u8], content: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"bench";
    let mut wasm = wasm.to_vec();
    let length = u8::try_from(1 + NAME.len() + content.len()).expect("a short section");
    wasm.extend_from_slice(&[0, length, NAME.len() as u8]);
    wasm.extend_from_slice(NAME);
    wasm.extend_from_slice(content);
    wasm
}

/// The lifetime of the next compiler process of the host.
fn compiling(host: u32) -> Duration {
    let compiler = loop {
        if let Some(compiler) = children(host).into_iter().next() {
            break compiler;
        }
        std::thread::sleep(LOOK);
    };
    let began = Instant::now();
    while children(host).contains(&compiler) {
        std::thread::sleep(LOOK);
    }
    began.elapsed()
}

/// The child processes of all threads of a process.
fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("a living process");
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}
