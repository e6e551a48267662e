//! The host is killed without a word, again and again, and nothing is lost: what a
//! client has seen is there, what was under way is settled, what waited runs.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::{Api, ChildHost, Connection, Event, Folders, child, eventually, guests};
use tokio::task::JoinHandle;

/// Reads a run's events until the connection breaks.
async fn watch(api: &Api, run: &Value) -> JoinHandle<Vec<Event>> {
    let mut stream = api.follow(run).await;
    tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Ok(Some(event)) = stream.try_next().await {
            seen.push(event);
        }
        seen
    })
}

/// What a client that saw `seen` and comes back has in the end; checks that it is
/// what any other client gets.
async fn come_back(api: &Api, run: &Value, seen: &[Event]) -> Vec<Event> {
    let last = seen.last().map_or("0", |event| &event.id);
    let mut all = seen.to_vec();
    let stream = api.follow_with(run, "", &[("last-event-id", last)]).await;
    // 204: it had seen the end.
    if stream.status == 200 {
        all.extend(stream.rest().await);
    }
    let seqs: Vec<u64> = all.iter().map(Event::seq).collect();
    assert_eq!(seqs, (1..=all.len() as u64).collect::<Vec<_>>(), "no gap, nothing twice");
    assert!(all.last().unwrap().is_terminal());
    assert!(all == api.follow(run).await.rest().await, "what was seen before is there, and is the same");
    all
}

fn named<'a>(events: &'a [Event], name: &'a str) -> impl Iterator<Item = Value> + 'a {
    events.iter().filter(move |event| event.name == name).map(|event| event.json()["data"].clone())
}

/// Starts a run under an idempotency key; returns it, and whether it was there.
async fn start_with_key(api: &Api, key: &str, input: &Value) -> (Value, bool) {
    let headers = [("idempotency-key", key)];
    let answer = api.request(&Method::POST, "/api/tasks/test/probe/runs", &headers, input.to_string()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    (answer.json(), answer.header("idempotent-replayed") == "true")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_settles_every_run_as_it_was_and_loses_nothing() {
    let folders = Folders::new();
    // As many at once as are under way below, so that the rest waits.
    let arguments = ["--max-running", "5", "--cancel-grace", "1h"];
    let host = folders.start(&arguments);
    let completed = host.run(json!({ "do": "echo", "n": 1 })).await;
    let failed = host.run(json!({ "do": "fail" })).await;

    let (sleeping, _) = start_with_key(&host, "sleeping", &json!({ "do": "sleep", "ms": 600_000 })).await;
    let flooding = host.probe(json!({ "do": "flood", "events": 10_000_000, "pause_ms": 1 })).await;
    let stepping = host.probe(json!({ "do": "steps", "n": 300, "ms": 2 })).await;
    let cancelled = host.probe(json!({ "do": "stubborn" })).await;
    let cancelled_steps = host.probe(json!({ "do": "steps", "n": 1_000_000, "ms": 2 })).await;
    let (waiting, _) = start_with_key(&host, "waiting", &json!({ "do": "echo", "n": 2 })).await;
    let withdrawn = host.probe(json!({ "do": "echo", "n": 3 })).await;
    let runs = [&sleeping, &flooding, &stepping, &cancelled, &cancelled_steps, &waiting, &withdrawn];
    let mut watching = Vec::new();
    for run in runs {
        watching.push(watch(&host, run).await);
    }
    host.follow(&cancelled_steps).await.until("step").await;
    assert_eq!(host.cancel(&withdrawn).await.status, 200);
    // The second one is told as well and does not listen.
    for run in [&cancelled, &cancelled_steps] {
        assert_eq!(host.cancel(run).await.status, 202);
    }
    let mut steps = host.follow(&stepping).await;
    while steps.next().await.unwrap().json()["data"]["step"] != 20 {}
    assert_eq!(host.read_run(&waiting).await["status"], "queued");
    host.kill();
    let mut seen = Vec::new();
    for watching in watching {
        seen.push(watching.await.unwrap());
    }

    let host = folders.start(&arguments);
    for (run, seen) in runs.iter().zip(&seen) {
        let events = come_back(&host, run, seen).await;
        assert_eq!(events.iter().filter(|event| event.is_terminal()).count(), 1);
    }
    for run in [&sleeping, &flooding] {
        let run = host.finished(run).await;
        assert_eq!((&run["status"], &run["error"]["kind"]), (&json!("failed"), &json!("interrupted")));
        assert_eq!(run["attempt"], 1, "never silently run again");
    }
    for run in [&cancelled, &cancelled_steps, &withdrawn] {
        let run = host.finished(run).await;
        assert_eq!(run["status"], "cancelled", "{run}");
    }
    let ran = host.finished(&waiting).await;
    assert_eq!(
        (&ran["status"], &ran["attempt"], &ran["final_value"]["n"]),
        (&json!("completed"), &json!(1), &json!(2))
    );
    check_resumed(&host, &stepping).await;
    for before in [&completed, &failed] {
        assert_eq!(host.read_run(before).await, *before, "what had ended is as it was");
    }
    for (key, run, input) in [
        ("sleeping", &sleeping, json!({ "do": "sleep", "ms": 600_000 })),
        ("waiting", &waiting, json!({ "do": "echo", "n": 2 })),
    ] {
        let (again, replayed) = start_with_key(&host, key, &input).await;
        assert!(replayed && again["id"] == run["id"], "the key still stands for its run");
    }
    assert_eq!(host.get("/api/runs").await.json()["runs"].as_array().unwrap().len(), 9);
}

/// A run of 300 steps that was cut off goes on from its checkpoint, visibly.
async fn check_resumed(host: &ChildHost, run: &Value) {
    let events = host.follow(run).await.rest().await;
    let ended = host.finished(run).await;
    assert_eq!((&ended["status"], &ended["attempt"]), (&json!("completed"), &json!(2)));
    let names: Vec<&str> =
        events.iter().map(|event| event.name.as_str()).filter(|name| *name != "step").collect();
    assert_eq!(names, ["run.started", "begin", "run.retrying", "run.started", "begin", "run.completed"]);
    let cut = events.iter().position(|event| event.name == "run.retrying").unwrap();
    let step = |step: Value| step["step"].as_u64().unwrap();
    let before: Vec<u64> = named(&events[..cut], "step").map(step).collect();
    let after: Vec<u64> = named(&events[cut..], "step").map(step).collect();
    let from = named(&events[cut..], "begin").next().unwrap()["from"].as_u64().unwrap();
    let last = *before.last().unwrap();
    assert!(last >= 20 && before == (1..=last).collect::<Vec<_>>());
    // Between a step's event and its checkpoint the host may have died.
    assert!(from == last || from + 1 == last, "from {from} after step {last}");
    assert_eq!(after, (from + 1..=300).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_clients_come_through_one_kill_after_the_other() {
    let folders = Folders::new();
    let arguments = ["--durability", "normal"];
    let mut host = folders.start(&arguments);
    let run = host.probe(json!({ "do": "steps", "n": 800, "ms": 2 })).await;
    let mut seen: Vec<Event> = Vec::new();
    let mut kills = 0;
    while !seen.last().is_some_and(Event::is_terminal) {
        let last = seen.last().map_or("0".to_owned(), |event| event.id.clone());
        let mut stream = host.follow_with(&run, "", &[("last-event-id", &last)]).await;
        // At another point of an attempt each time; the first time, when there is a checkpoint to go on from.
        let kill_at = seen.len() + if kills == 0 { 10 } else { (kills * 37) % 97 + 1 };
        while let Ok(Some(event)) = stream.try_next().await {
            seen.push(event);
            if seen.len() == kill_at && kills < 12 {
                break;
            }
        }
        if !seen.last().is_some_and(Event::is_terminal) {
            kills += 1;
            host.kill();
            host = folders.start(&arguments);
        }
    }
    assert!(kills >= 8, "only {kills} kills: the run was too short");
    assert_eq!(come_back(&host, &run, &seen).await, seen);
    let ended = host.finished(&run).await;
    assert_eq!((&ended["status"], &ended["final_value"]), (&json!("completed"), &json!("done")));
    assert!(
        ended["attempt"].as_u64().unwrap() > kills as u64 / 2,
        "each time that it had begun again counts"
    );
    let steps: Vec<u64> = named(&seen, "step").map(|step| step["step"].as_u64().unwrap()).collect();
    for pair in steps.windows(2) {
        assert!(pair[1] == pair[0] + 1 || pair[1] <= pair[0], "a step was left out: {pair:?}");
    }
    assert_eq!(steps.last(), Some(&800));
}

/// Starts a run under each key, one after the other, as long as the host answers.
async fn start_all(address: SocketAddr, keys: u64) {
    let Some(mut connection) = Connection::try_open(address).await else { return };
    for nth in 0..keys {
        let key = format!("key-{nth}");
        let headers = [("idempotency-key", key.as_str())];
        let input = json!({ "do": "echo", "nth": nth }).to_string();
        let answer = connection.try_send(&Method::POST, "/api/tasks/test/probe/runs", &headers, input).await;
        let Ok(answer) = answer else { return };
        assert_eq!(answer.status(), 202);
        if answer.into_body().collect().await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_got_no_answer_can_be_repeated_across_a_kill() {
    const KEYS: u64 = 400;
    let folders = Folders::new();
    let arguments = ["--durability", "normal"];
    let started = async |host: &ChildHost| {
        let list = host.get("/api/runs?limit=1000").await.json();
        list["runs"]
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|run| run["input"]["nth"].as_u64().unwrap())
            .collect()
    };
    for round in 0..5 {
        let host = folders.start(&arguments);
        let starting = tokio::spawn(start_all(host.address, KEYS));
        eventually("more have started than in the round before", || async {
            let runs: Vec<u64> = started(&host).await;
            runs.len() as u64 > KEYS / 6 * round
        })
        .await;
        host.kill();
        starting.await.unwrap();
    }
    let host = folders.start(&arguments);
    start_all(host.address, KEYS).await;
    let runs: Vec<u64> = started(&host).await;
    assert_eq!(
        runs,
        (0..KEYS).collect::<Vec<_>>(),
        "one run for each key, in the order of the first requests"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_while_it_starts_starts_the_next_time() {
    let folders = Folders::new();
    for after_ms in (0..60).step_by(3) {
        let mut starting = child::serve(&folders.tasks(), &folders.data(), &[]);
        let mut starting = starting.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(after_ms));
        starting.kill().unwrap();
        starting.wait().unwrap();
    }
    let host = folders.start(&[]);
    assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_operation_comes_to_the_same_result_through_two_kills() {
    let folders = Folders::new();
    guests::install(&folders.tasks(), "demo/long-operation.wasm", &guests::example("long-operation"));
    let arguments = ["--durability", "normal"];
    let mut host = folders.start(&arguments);
    let input = |item_ms: u32| json!({ "items": 40, "item_ms": item_ms, "checkpoint_every": 7 });
    let undisturbed = host.start_run("demo/long-operation", input(0)).await;
    let undisturbed = host.finished(&undisturbed).await;
    assert_eq!(undisturbed["final_value"]["attempts"], 1, "{undisturbed}");

    let run = host.start_run("demo/long-operation", input(4)).await;
    let mut seen: Vec<Event> = Vec::new();
    for phase in ["convert", "write"] {
        let last = seen.last().map_or("0", |event| &event.id).to_owned();
        let mut stream = host.follow_with(&run, "", &[("last-event-id", &last)]).await;
        let is_there = |event: &Event| {
            let data = &event.json()["data"];
            event.name == "progress" && data["id"] == phase && data["done"] == 20
        };
        while !seen.last().is_some_and(is_there) {
            seen.push(stream.next().await.unwrap());
        }
        host.kill();
        host = folders.start(&arguments);
    }
    let all = come_back(&host, &run, &seen).await;
    assert_eq!(named(&all, "run.retrying").count(), 2);
    let ended = host.finished(&run).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(
        ended["final_value"],
        json!({ "checksum": undisturbed["final_value"]["checksum"], "attempts": 3 })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_on_the_same_folder_is_refused_until_the_first_is_gone() {
    let folders = Folders::new();
    let first = folders.start(&[]);
    let refused = ChildHost::try_start(&folders.tasks(), &folders.data(), &[]);
    let (status, said) = refused.err().expect("the folder has a host");
    assert_eq!(status.code(), Some(6), "{said:?}");
    let last = said.last().unwrap();
    assert!(
        last.starts_with("streamtask: ") && last.contains("in use by another streamtask host"),
        "{said:?}"
    );
    assert_eq!(first.run(json!({ "do": "echo" })).await["status"], "completed", "the first is not disturbed");
    first.kill();
    let second = folders.start(&[]);
    assert_eq!(second.run(json!({ "do": "echo" })).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_host_says_goodbye_on_every_stream() {
    let folders = Folders::new();
    let arguments = ["--max-running", "2", "--drain-grace", "100ms", "--durability", "normal"];
    let host = folders.start(&arguments);
    let stepping = host.probe(json!({ "do": "steps", "n": 1_000_000, "ms": 1 })).await;
    let short = host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    let waiting = host.probe(json!({ "do": "echo" })).await;
    host.follow(&stepping).await.until("step").await;
    let mut streams = Vec::new();
    for run in [&stepping, &short, &waiting] {
        streams.push(tokio::spawn(host.follow(run).await.rest()));
    }
    let (status, said) = host.terminate();
    assert_eq!(status.code(), Some(0), "{said:?}");
    let mut ends = Vec::new();
    for stream in streams {
        ends.push(stream.await.unwrap().last().unwrap().clone());
    }
    let names: Vec<&str> = ends.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["run.stream-closing", "run.failed", "run.stream-closing"]);

    let host = folders.start(&arguments);
    assert_eq!(host.finished(&waiting).await["status"], "completed");
    let mut stream = host.follow_with(&stepping, "", &[("last-event-id", &ends[0].id)]).await;
    assert_eq!(stream.until("step").await[0].seq(), ends[0].seq() + 1, "where the goodbye was said");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_host_that_waits_for_its_runs() {
    let folders = Folders::new();
    let host = folders.start(&["--drain-grace", "1h"]);
    let run = host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    let mut stream = host.follow(&run).await;
    stream.until("run.started").await;
    let id = host.id().to_string();
    let signal = || assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    signal();
    eventually("it stops", || async { host.get("/readyz").await.status == 503 }).await;
    assert_eq!(host.read_run(&run).await["status"], "running", "its runs have time, and clients are served");
    host.post("/api/tasks/test/probe/runs", "{}").await.problem(503, "stopping");
    let (status, _) = host.terminate();
    assert_eq!(status.code(), Some(130));
    let host = folders.start(&[]);
    assert_eq!(host.finished(&run).await["error"]["kind"], "interrupted");
}
