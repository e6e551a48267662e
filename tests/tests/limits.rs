//! Hosts on systems that give little: threads, addresses, memory. A host either serves, or ends at its start with exit
//! code 6 and the reason in one line.

use std::process::{Command, Stdio};

use serde_json::json;
use streamtask_tests::limits::{Group, after};
use streamtask_tests::optional::skip_here;
use streamtask_tests::{ChildHost, Folders, Said, child, eventually, soon};

const SETTINGS: [&str; 4] = ["--durability", "normal", "--drain-grace", "1s"];
const NO_GROUPS: &str = "control groups that may be made: root, and /sys/fs/cgroup to write to";

fn serve(folders: &Folders, more: &[&str]) -> Command {
    let mut serve = child::serve(&folders.tasks(), &folders.data(), &SETTINGS);
    serve.args(more);
    serve
}

/// Starts a host, serves by it and stops it. If it does not start: what it said instead.
async fn serve_or_refuse(command: Command) -> Result<(), Said> {
    let spawned = tokio::task::spawn_blocking(|| ChildHost::spawn(command)).await.unwrap();
    let host = match spawned {
        Ok(host) => host,
        Err((status, log)) => {
            let code = status.code().unwrap_or_else(|| panic!("{status}: {log:?}"));
            return Err(Said { code, out: String::new(), err: log.join("\n") });
        }
    };
    let host = tokio::task::spawn_blocking(|| host.ready()).await.unwrap();
    for nth in 0..20 {
        let run = soon("a run", host.run(json!({ "do": "echo", "nth": nth }))).await;
        assert_eq!(run["status"], "completed", "{run}");
    }
    assert_eq!(host.get("/healthz").await.status, 200);
    let (status, log) = tokio::task::spawn_blocking(|| host.terminate()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log:?}");
    Ok(())
}

/// What stands at the end of all that it said, for a warning may come before.
fn refused(said: &Said, why: &str) {
    let last = said.err.lines().last().unwrap_or_default();
    assert!(said.code == 6 && last.starts_with("streamtask: ") && last.contains(why), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_gets_too_few_threads_says_so_and_ends() {
    let folders = Folders::new();
    // Compiled beforehand: the compiler is a process of its own, which these groups have no room for.
    folders.start(&SETTINGS).terminate();
    let Some(group) = Group::of_threads(4) else {
        return skip_here("a_host_that_gets_too_few_threads_says_so_and_ends", NO_GROUPS);
    };
    let cores = std::thread::available_parallelism().unwrap().get() as u32;
    let mut served = 0;
    for limit in (4..=16).chain([24, 100 + 8 * cores]) {
        group.set(&limit.to_string()).unwrap();
        match serve_or_refuse(group.with(&serve(&folders, &[]))).await {
            Ok(()) => served += 1,
            Err(said) => {
                refused(&said, "thread");
                assert_eq!(said.err.lines().count(), 1, "{said:?}");
                assert_eq!(served, 0, "{limit}: fewer were enough");
            }
        }
        assert!(limit > 8 || served == 0, "{limit} can't be enough");
    }
    assert!(served > 0, "it never served");
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_for_guests_that_cannot_be_had_are_refused() {
    let folders = Folders::new();
    Said::of(&mut serve(&folders, &["--guest-threads", "1025"]))
        .refused(2, "guest-threads can be at most 1024");
    let what = "threads_for_guests_that_cannot_be_had_are_refused";
    let Some(group) = Group::of_threads(200) else { return skip_here(what, NO_GROUPS) };
    let mut serve = group.with(&serve(&folders, &["--guest-threads", "1000"]));
    Said::of(&mut serve)
        .refused(6, "can't start the threads that execute guests: the system does not give 100");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_few_addresses_serves_or_says_so_and_ends() {
    let folders = Folders::new();
    folders.start(&SETTINGS).terminate();
    let within = |mib: u64, command: &Command| after(&format!("ulimit -v {}", mib << 10), command);
    // The program itself takes more than the first ones where it was not optimised: the system can't even load it.
    let loads = |mib: &u64| {
        let mut program = Command::new(child::binary());
        within(*mib, program.arg("--version")).output().unwrap().status.success()
    };
    let least = (96..800).step_by(16).find(loads).expect("a limit in which the program can be loaded");
    let mut enough = None;
    for mib in (least..800).step_by(16).chain([1024, 4096]) {
        match serve_or_refuse(within(mib, &serve(&folders, &[]))).await {
            Ok(()) => enough = enough.or(Some(mib)),
            Err(said) => {
                assert_eq!(enough, None, "{mib} MiB are too few: {said:?}");
                assert!(said.code == 127 || said.code == 6, "{mib} MiB: {said:?}");
                if said.code == 6 {
                    refused(&said, "");
                }
            }
        }
    }
    assert!(enough.is_some_and(|mib| mib <= 512), "{enough:?} MiB were enough; it was some 360");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_in_a_small_memory_group_serves() {
    let folders = Folders::new();
    folders.start(&SETTINGS).terminate();
    for mib in [96, 128, 192, 256] {
        let Some(group) = Group::of_memory(mib) else {
            return skip_here("a_host_in_a_small_memory_group_serves", NO_GROUPS);
        };
        serve_or_refuse(group.with(&serve(&folders, &[])))
            .await
            .unwrap_or_else(|said| panic!("{mib}: {said:?}"));
        let host = tokio::task::spawn_blocking({
            let command = group.with(&serve(&folders, &[]));
            || ChildHost::spawn(command).unwrap_or_else(|said| panic!("{said:?}")).ready()
        });
        let host = host.await.unwrap();
        let floods: Vec<_> = futures_util::future::join_all(
            (0..4).map(|_| host.probe(json!({ "do": "flood", "events": 20_000 }))),
        )
        .await;
        for run in &floods {
            assert_eq!(soon("a run", host.finished(run)).await["status"], "completed", "{mib}");
            assert_eq!(host.follow(run).await.rest().await.len(), 20_002, "{mib}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_threads_run_out_answers_and_recovers() {
    let folders = Folders::new();
    let Some(group) = Group::of_threads(1_000) else {
        return skip_here("a_host_whose_threads_run_out_answers_and_recovers", NO_GROUPS);
    };
    let command = group.with(&serve(&folders, &[]));
    let host = tokio::task::spawn_blocking(|| {
        ChildHost::spawn(command).unwrap_or_else(|said| panic!("{said:?}")).ready()
    });
    let host = host.await.unwrap();
    let sleeping = host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    host.follow(&sleeping).await.until("run.started").await;
    // Threads that only read and wait for the next read end after some seconds.
    let (mut fewest, mut same) = (u32::MAX, 0);
    eventually("threads that have nothing to do end", || {
        let now = group.threads();
        same = if now >= fewest { same + 1 } else { 0 };
        fewest = fewest.min(now);
        let settled = same > 2_500;
        async move { settled }
    })
    .await;
    group.set(&fewest.to_string()).unwrap();

    let host = &host;
    let asking = (0..64).map(|nth| async move {
        let run = host.post("/api/tasks/test/probe/runs", json!({ "do": "echo", "nth": nth }).to_string());
        let answer = soon("an answer", run).await;
        assert!([202, 503].contains(&answer.status.as_u16()), "{answer:?}");
        if answer.status == 202 {
            assert_eq!(soon("its end", host.finished(&answer.json())).await["status"], "completed");
        }
        for path in ["/readyz", "/api/tasks", "/api/runs", "/metrics"] {
            let answer = soon("an answer", host.get(path)).await;
            assert!([200, 503].contains(&answer.status.as_u16()), "{path}: {answer:?}");
        }
        assert_eq!(soon("an answer", host.get("/healthz")).await.status, 200);
    });
    futures_util::future::join_all(asking).await;

    group.set("1000").unwrap();
    assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed");
    assert_eq!(host.read_run(&sleeping).await["status"], "running");
}

#[test]
fn a_task_is_checked_or_the_lack_of_threads_is_told() {
    let folders = Folders::new();
    let what = "a_task_is_checked_or_the_lack_of_threads_is_told";
    let Some(group) = Group::of_threads(4) else { return skip_here(what, NO_GROUPS) };
    for limit in [4, 6, 8, 10, 12, 200] {
        group.set(&limit.to_string()).unwrap();
        for arguments in [["check"].as_slice(), &["run", "--input", r#"{"do":"echo"}"#]] {
            let mut command = child::command();
            command.arg(arguments[0]).arg(folders.tasks().join("test/probe.wasm")).args(&arguments[1..]);
            let mut command = group.with(&command);
            command.stdin(Stdio::null());
            let said = Said::of(&mut command);
            let told = said.err.lines().last().is_some_and(|line| line.starts_with("streamtask: "));
            assert!(if limit == 200 { said.code == 0 } else { said.code == 0 || told }, "{limit}: {said:?}");
        }
    }
}
