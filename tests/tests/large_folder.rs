//! A tasks folder with thousands of files: what a start and a change cost grows with their number and no faster.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use streamtask_tests::{ChildHost, Folders, eventually_within, guests};

const SETTINGS: [&str; 2] = ["--durability", "normal"];
/// Most files that a host loads, and some that it doesn't.
const MOST: usize = 10_000;
const BEYOND: usize = 20;
const FEW: usize = 1_000;
/// How much more a task may cost among ten times as many: caches of the processor are smaller than that.
const GROWTH: f64 = 2.5;
/// Linux counts a process's time in hundredths of a second.
const TICKS: f64 = 100.0;
/// Longest time of a start in a build for tests, beside others.
const START_PATIENCE: Duration = Duration::from_secs(180);

/// Processor time that a process has used, in seconds.
fn cpu(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = [11, 12].iter().map(|nth| fields[*nth].parse::<u64>().unwrap()).sum();
    ticks as f64 / TICKS
}

fn fill(tasks: &Path, from: usize, to: usize) {
    fs::create_dir_all(tasks.join("many")).unwrap();
    let wasm = guests::ticker("many");
    for nth in from..to {
        fs::write(tasks.join(format!("many/t{nth}.wasm")), &wasm).unwrap();
    }
}

async fn loaded(host: &ChildHost, count: usize) {
    eventually_within(START_PATIENCE, "all tasks are loaded", || async {
        let list = host.get("/api/tasks").await.json();
        list["complete"] == true && list["tasks"].as_array().unwrap().len() == count
    })
    .await;
}

/// Starts a host whose compiled code is there; returns it, and what it took for each of `count` tasks.
async fn start(folders: &Folders, count: usize) -> (ChildHost, f64) {
    let host = ChildHost::try_start(&folders.tasks(), &folders.data(), &SETTINGS)
        .unwrap_or_else(|said| panic!("{said:?}"));
    let began = Instant::now();
    // Asked seldom, for the answer costs, too.
    while host.get("/readyz").await.status != 200 {
        assert!(began.elapsed() < START_PATIENCE, "stuck: {count} tasks are not loaded");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let each = cpu(host.id()) / count as f64;
    (host, each)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_files_cost_ten_times_as_much_as_a_thousand() {
    let folders = Folders::new();
    fs::remove_dir_all(folders.tasks()).unwrap();
    fill(&folders.tasks(), 0, FEW);
    start(&folders, FEW).await.0.terminate();
    let (host, few) = start(&folders, FEW).await;
    host.terminate();
    fill(&folders.tasks(), FEW, MOST);
    let (host, most) = start(&folders, MOST).await;
    assert!(most < few * GROWTH, "{:.2} ms a task, and {:.2} ms among so many", few * 1e3, most * 1e3);
    loaded(&host, MOST).await;

    // One manifest for all of them.
    let before = cpu(host.id());
    fs::write(folders.tasks().join("many/app.toml"), "description = 'all'").unwrap();
    let last = format!("/api/tasks/many/t{}", MOST - 1);
    let described = async |path: &str| host.get(path).await.json()["description"] == "all";
    eventually_within(START_PATIENCE, "the manifest counts", || async {
        described(&last).await && described("/api/tasks/many/t1").await
    })
    .await;
    let settings = (cpu(host.id()) - before) / MOST as f64;
    assert!(settings < few * GROWTH, "{:.2} ms a task, and {:.2} ms to load it", settings * 1e3, few * 1e3);

    fill(&folders.tasks(), MOST, MOST + BEYOND);
    eventually_within(START_PATIENCE, "the others are counted", || async {
        host.get("/api/tasks").await.json()["omitted"] == BEYOND
    })
    .await;
    loaded(&host, MOST).await;
    let run = host.start_run("many/t0", json!(0)).await;
    assert_eq!(host.finished(&run).await["final_value"], "many", "those that are loaded serve on");
    let said = host.logged();
    let told = said.iter().filter(|line| line.contains("more than 10000 task files")).count();
    assert_eq!(told, 1, "once: {said:?}");
}
