//! Measures a tasks folder with many files: the start of a host with compiled code in its cache,
//! and a change of the manifest of all tasks. The cost per task must not grow with their number.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Client;
use crate::host::{BenchHost, folder, guest};
use crate::report::{Report, print};

/// The two numbers of tasks; the larger one is the limit of a host.
const COUNTS: [u32; 2] = [1_000, 10_000];
/// Target: the growth of the cost per task with ten times as many tasks.
const GROWTH: f64 = 1.5;
/// Interval of polling.
const LOOK: Duration = Duration::from_millis(20);
/// Linux counts the processor time of a process in hundredths of a second.
const TICKS: f64 = 100.0;
/// The tasks of the host in all benchmarks, in addition to these.
const OTHERS: u32 = 3;

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    print("\na folder with many tasks, of one small module\n");
    let [few, most] = COUNTS.map(|count| count / scale - OTHERS);
    let (folder, before) = measure_one(report, folder(), few).await;
    let (_, after) = measure_one(report, folder, most).await;
    for (what, nth) in [("the start", 0), ("the manifest", 1)] {
        let growth = after[nth] / before[nth];
        report.at_most(&format!("{what}, a task among so many more"), growth, "times", GROWTH);
    }
}

/// Creates the tasks in the folder.
fn fill(folder: &Path, count: u32) {
    let tasks = folder.join("tasks/many");
    let _ = fs::remove_dir_all(&tasks);
    fs::create_dir_all(&tasks).expect("a writable folder");
    let path = |nth: u32| tasks.join(format!("t{nth}.wasm"));
    fs::write(path(0), guest("example-tasks", "counter")).expect("a writable folder");
    for nth in 1..count {
        // Hard links, which take no disk space.
        fs::hard_link(path(0), path(nth)).expect("a writable folder");
    }
}

/// Processor time per task of a start and of a changed manifest, in seconds.
async fn measure_one(report: &mut Report, folder: TempDir, count: u32) -> (TempDir, [f64; 2]) {
    fill(folder.path(), count);
    // One start before, to fill the code cache.
    let folder = started(folder).await.0.stop();
    let began = Instant::now();
    let (host, mut client) = started(folder).await;
    let wall = began.elapsed().as_secs_f64();
    let start = cpu(host.id());
    let tasks = count + OTHERS;
    report.note(&format!("start with {tasks} tasks"), format!("{wall:.2} s, {start:.2} s of CPU time"));

    let began = Instant::now();
    let manifest = host.tasks().with_file_name("many").join("app.toml");
    fs::write(&manifest, "description = 'all'").expect("a writable folder");
    for path in [format!("/api/tasks/many/t{}", count - 1), "/api/tasks/many/t1".to_owned()] {
        while client.json("GET", &path, "").await["description"] != "all" {
            tokio::time::sleep(LOOK).await;
        }
    }
    let wall = began.elapsed().as_secs_f64();
    let change = cpu(host.id()) - start;
    report.note(&format!("a manifest for {count} tasks"), format!("{wall:.2} s, {change:.2} s of CPU time"));
    drop(client);
    (host.stop(), [start / f64::from(tasks), change / f64::from(count)])
}

/// A host that has loaded all tasks.
async fn started(folder: TempDir) -> (BenchHost, Client) {
    let host = BenchHost::start_in(folder, &["--durability", "normal"]);
    let mut client = Client::open(host.address).await;
    while client.json("GET", "/readyz", "").await["status"] != "ready" {
        tokio::time::sleep(LOOK).await;
    }
    (host, client)
}

/// Processor time that a process has used, in seconds.
fn cpu(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("a living process");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks = [11, 12].map(|nth| fields[nth].parse::<f64>().expect("a number"));
    (ticks[0] + ticks[1]) / TICKS
}
