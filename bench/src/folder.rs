//! A tasks folder with many files: the start of a host whose compiled code is there, and one manifest that is
//! changed for all of them. What a task costs must not grow with their number.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Client;
use crate::host::{BenchHost, folder, guest};
use crate::report::{Report, print};

/// How many tasks, first and then; the larger is the most that a host loads.
const COUNTS: [u32; 2] = [1_000, 10_000];
/// How much more a task may cost among ten times as many.
const GROWTH: f64 = 1.5;
/// How often it is asked for.
const LOOK: Duration = Duration::from_millis(20);
/// Linux counts a process's time in hundredths of a second.
const TICKS: f64 = 100.0;
/// Besides the tasks of every benchmark's host.
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

/// Puts as many tasks into the folder as there are to be.
fn fill(folder: &Path, count: u32) {
    let tasks = folder.join("tasks/many");
    let _ = fs::remove_dir_all(&tasks);
    fs::create_dir_all(&tasks).expect("a writable folder");
    let path = |nth: u32| tasks.join(format!("t{nth}.wasm"));
    fs::write(path(0), guest("example-tasks", "counter")).expect("a writable folder");
    for nth in 1..count {
        // Names of one file, which take no room on the disk.
        fs::hard_link(path(0), path(nth)).expect("a writable folder");
    }
}

/// Processor time of a start and of a changed manifest for each task, in seconds.
async fn measure_one(report: &mut Report, folder: TempDir, count: u32) -> (TempDir, [f64; 2]) {
    fill(folder.path(), count);
    // Once before, so that its code is there.
    let folder = started(folder).await.0.stop();
    let began = Instant::now();
    let (host, mut client) = started(folder).await;
    let wall = began.elapsed().as_secs_f64();
    let start = cpu(host.id());
    let tasks = count + OTHERS;
    report.note(&format!("start with {tasks} tasks"), format!("{wall:.2} s, {start:.2} s of computing"));

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
    report.note(&format!("a manifest for {count} tasks"), format!("{wall:.2} s, {change:.2} s of computing"));
    drop(client);
    (host.stop(), [start / f64::from(tasks), change / f64::from(count)])
}

/// A host that has loaded all.
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
