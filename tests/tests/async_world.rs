//! The async world, an experiment: tasks whose `process` is an `async func`. They are run,
//! held and ended as any other, and whatever one begins stays within its bounds.

use std::fs;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use streamtask_host::config::Config;
use streamtask_host::model::Version;
use streamtask_tests::guests::{self, Bare};
use streamtask_tests::{
    Api, ChildHost, Elsewhere, Event, EventStream, Said, TestHost, child, eventually, names,
};

const TASK: &str = "test/awaits";

async fn start() -> TestHost {
    start_with(|_| {}).await
}

async fn start_with(configure: impl FnOnce(&mut Config)) -> TestHost {
    let host = TestHost::with(|config| {
        config.experimental_async = true;
        config.grants = "all".parse().unwrap();
        config.cancel_grace = Duration::from_millis(100);
        configure(config);
    })
    .await;
    host.install("test/awaits.wasm", &guests::awaits()).await;
    host
}

async fn run(host: &Api, input: Value) -> Value {
    let run = host.start_run(TASK, input).await;
    host.finished(&run).await
}

async fn events(host: &Api, run: &Value) -> Vec<Event> {
    host.follow(run).await.rest().await
}

async fn control(host: &Api, run: &Value, what: &str) {
    let path = format!("/api/runs/{}/{what}", run["id"].as_str().unwrap());
    let answer = host.post(&path, "").await;
    assert!([200, 202].contains(&answer.status.as_u16()), "{what}: {:?}", answer.body);
}

/// Puts the example into a host, as the app's task `requests`, which may ask `server`.
async fn install_example(host: &TestHost, server: Option<&Elsewhere>) {
    if let Some(server) = server {
        let manifest = format!(
            "description = 'granted'\n[[grants.http]]\nhost = '127.0.0.1'\nschemes = ['http']\n\
             ports = [{}]\nprivate = true\n",
            server.address.port()
        );
        fs::write(host.tasks().join("test/requests.toml"), manifest).unwrap();
    }
    host.install("test/requests.wasm", &guests::example("two-requests")).await;
    if server.is_some() {
        eventually("the manifest", || async {
            host.get("/api/tasks/test/requests").await.json()["description"] == "granted"
        })
        .await;
    }
}

/// The data of the next event of that type.
async fn next(stream: &mut EventStream, name: &str) -> Value {
    stream.until(name).await.last().expect("at least itself").json()["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_are_under_way_at_once_and_each_piece_is_an_event() {
    let (host, server) = (start().await, Elsewhere::start().await);
    install_example(&host, Some(&server)).await;
    let urls = [server.url("/halves/a"), server.url("/halves/b")];
    let run = host.start_run("test/requests", json!({ "urls": urls })).await;
    let mut stream = host.follow(&run).await;
    // Both have said something before either is over.
    let mut said = [next(&mut stream, "piece").await, next(&mut stream, "piece").await];
    said.sort_by_key(|piece| piece["url"].as_str().unwrap().to_owned());
    assert_eq!(said, urls.each_ref().map(|url| json!({ "url": url, "bytes": 3 })));
    // The second one can end before the first.
    server.release("b");
    assert_eq!(next(&mut stream, "piece").await, json!({ "url": urls[1], "bytes": 5 }));
    assert_eq!(host.read_run(&run).await["status"], "running");
    server.release("a");
    assert_eq!(next(&mut stream, "piece").await, json!({ "url": urls[0], "bytes": 5 }));
    let ended = host.finished(&run).await;
    assert_eq!(ended["final_value"], json!(urls.map(|url| json!({ "url": url, "status": 200, "bytes": 8 }))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_grant_is_denied_and_the_log_says_what_is_missing() {
    let (host, server) = (start().await, Elsewhere::start().await);
    install_example(&host, None).await;
    let url = server.url("/echo");
    let run = host.start_run("test/requests", json!({ "urls": [url, url] })).await;
    let ended = host.finished(&run).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    for page in ended["final_value"].as_array().unwrap() {
        assert_eq!(page["error"], "ErrorCode::HttpRequestDenied", "{ended}");
    }
    let events = events(&host, &run).await;
    let notes: Vec<Value> = events.iter().map(|event| event.json()["data"]["message"].clone()).collect();
    let port = server.address.port();
    let note = format!(
        "denied: GET http://127.0.0.1:{port}: add [[grants.http]] host = \"127.0.0.1\", \
         schemes = [\"http\"], ports = [{port}] in requests.toml"
    );
    assert!(notes.contains(&json!(note)), "{notes:?}");
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_bounded_as_for_any_task() {
    let (host, server) = (start().await, Elsewhere::start().await);
    install_example(&host, Some(&server)).await;
    let path = host.tasks().join("test/requests.toml");
    let manifest = fs::read_to_string(&path).unwrap().replace("granted", "bounded");
    fs::write(&path, format!("{manifest}max-response = '64KiB'\n")).unwrap();
    eventually("the manifest", || async {
        host.get("/api/tasks/test/requests").await.json()["description"] == "bounded"
    })
    .await;
    let urls = [server.url("/endless"), server.url("/bytes/65536")];
    let run = host.start_run("test/requests", json!({ "urls": urls })).await;
    let pages = host.finished(&run).await["final_value"].clone();
    assert!(pages[0]["error"].as_str().is_some_and(|error| error.contains("BodySize")), "{pages}");
    assert_eq!(pages[1], json!({ "url": urls[1], "status": 200, "bytes": 65536 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_as_its_process_does() {
    let host = start().await;
    let ended = run(&host, json!({ "do": "echo", "value": { "a": [1, "ü"] } })).await;
    assert_eq!((&ended["status"], &ended["final_value"]), (&json!("completed"), &json!({ "a": [1, "ü"] })));
    for (input, kind, message) in [
        (json!({ "do": "fail" }), "failure", "as it was told"),
        (json!({ "do": "trap" }), "trap", "in the middle"),
        (json!({ "do": "exit" }), "trap", "exited with"),
        (json!({ "do": "fill" }), "out-of-memory", "bytes of memory"),
    ] {
        let ended = run(&host, input).await;
        assert_eq!((&ended["status"], &ended["error"]["kind"]), (&json!("failed"), &json!(kind)), "{ended}");
        assert!(ended["error"]["message"].as_str().unwrap().contains(message), "{ended}");
    }
    let run = host.start_run(TASK, json!({ "do": "print" })).await;
    let events = events(&host, &run).await;
    assert_eq!(names(&events), ["run.started", "log", "run.completed"]);
    assert_eq!(host.get("/api/tasks/test/awaits").await.json()["description"], "of the async world");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_awaits_goes_on_side_by_side_and_so_do_runs() {
    let host = start().await;
    let input = json!({ "do": "tick", "count": 10, "ms": 5 });
    let runs = [host.start_run(TASK, input.clone()).await, host.start_run(TASK, input).await];
    for run in &runs {
        let events = events(&host, run).await;
        let ticks: Vec<Value> = events
            .iter()
            .filter(|event| event.name == "tick")
            .map(|event| event.json()["data"].clone())
            .collect();
        let first = [json!({ "who": "one", "nth": 0 }), json!({ "who": "other", "nth": 0 })];
        assert_eq!((ticks.len(), &ticks[..2]), (20, &first[..]), "neither waits for the other");
        assert_eq!(events.last().unwrap().name, "run.completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_after_the_result_is_cut_off() {
    let host = start().await;
    let run = host.start_run(TASK, json!({ "do": "leave" })).await;
    assert_eq!(names(&events(&host, &run).await), ["run.started", "run.completed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_cancelled_wherever_it_is_and_disturbs_nobody() {
    let host = start().await;
    for (what, begun) in [("wait", "waiting"), ("spin", "spinning"), ("yield", "spinning")] {
        let run = host.start_run(TASK, json!({ "do": what })).await;
        host.follow(&run).await.until(begun).await;
        let neighbours = [
            host.run(json!({ "do": "ticks", "n": 5, "ms": 5 })).await,
            self::run(&host, json!({ "do": "tick", "count": 5, "ms": 5 })).await,
        ];
        assert!(neighbours.iter().all(|run| run["status"] == "completed"), "{what}: {neighbours:?}");
        host.cancel(&run).await;
        assert_eq!(host.finished(&run).await["status"], "cancelled", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_held_wherever_it_is_and_its_deadline_stands_still() {
    let host = start_with(|config| config.limits.deadline = Some(Duration::from_secs(2))).await;
    let run = host.start_run(TASK, json!({ "do": "tick", "count": 30, "ms": 10 })).await;
    let spins = host.start_run(TASK, json!({ "do": "yield" })).await;
    let (mut stream, mut spinning) = (host.follow(&run).await, host.follow(&spins).await);
    for (run, stream, begun) in [(&run, &mut stream, "tick"), (&spins, &mut spinning, "spinning")] {
        stream.until(begun).await;
        control(&host, run, "pause").await;
        stream.until("run.paused").await;
    }
    // Longer than the deadline.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    for run in [&run, &spins] {
        assert_eq!(host.read_run(run).await["status"], "paused");
        control(&host, run, "resume").await;
    }
    let after = stream.rest().await;
    let ticks = after.iter().take_while(|event| event.name != "run.resumed").count();
    // Of each of the two, one may have been on its way when the gate closed.
    assert!(ticks <= 2, "it went on while it was held: {:?}", names(&after));
    assert_eq!(after.last().unwrap().name, "run.completed");
    assert_eq!(host.finished(&spins).await["error"]["kind"], "deadline-exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_ended_at_its_limits_wherever_it_is() {
    let host = start_with(|config| config.limits.deadline = Some(Duration::from_millis(300))).await;
    for what in ["wait", "spin", "yield"] {
        let ended = run(&host, json!({ "do": what })).await;
        assert_eq!(ended["error"]["kind"], "deadline-exceeded", "{what}: {ended}");
    }
    let host = start_with(|config| config.limits.cpu = Some(Duration::from_millis(100))).await;
    for what in ["spin", "yield"] {
        let ended = run(&host, json!({ "do": what })).await;
        assert_eq!(ended["error"]["kind"], "cpu-exceeded", "{what}: {ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_has_only_so_much_under_way() {
    let host = start().await;
    let ended = run(&host, json!({ "do": "timers", "count": 1500, "ms": 1 })).await;
    assert_eq!(ended["final_value"], 1500, "{ended}");
    let ended = run(&host, json!({ "do": "timers", "count": 2500, "ms": 3_600_000 })).await;
    assert_eq!(ended["error"]["kind"], "trap", "{ended}");
    let message = ended["error"]["message"].as_str().unwrap();
    assert!(message.contains("more than 2000 pending calls, streams and futures"), "{message}");
    // Ended ones count no more.
    for _ in 0..3 {
        let ended = run(&host, json!({ "do": "tick", "count": 1500, "ms": 0 })).await;
        assert_eq!(ended["status"], "completed", "{ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_such_a_file_is_refused_and_the_reason_is_the_flag() {
    let host = TestHost::start().await;
    guests::install(&host.tasks(), "test/awaits.wasm", &guests::awaits());
    let listed = async || {
        let tasks = host.get("/api/tasks").await.json();
        let tasks = tasks["tasks"].as_array().unwrap().clone();
        tasks.into_iter().find(|task| task["task"] == "awaits")
    };
    eventually("looking at it", || async { listed().await.is_some() }).await;
    let listed = listed().await.unwrap();
    let problem = listed["problem"]["message"].as_str().unwrap();
    assert!(problem.contains("start the host with --experimental-async"), "{problem}");
    assert!(listed["version"].is_null());
    assert_eq!(host.run(json!({ "do": "echo", "n": 1 })).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_not_async_has_no_async_functions_beside_it() {
    let host = start().await;
    let wasm = Bare { component: "(type (func async))", ..Bare::default() }.wasm();
    guests::install(&host.tasks(), "test/mixed.wasm", &wasm);
    let problem = async || {
        let tasks = host.get("/api/tasks").await.json();
        let tasks = tasks["tasks"].as_array().unwrap().clone();
        let listed = tasks.into_iter().find(|task| task["task"] == "mixed")?;
        Some(listed["problem"]["message"].as_str().unwrap().to_owned())
    };
    eventually("looking at it", || async { problem().await.is_some() }).await;
    let problem = problem().await.unwrap();
    assert!(problem.contains("its `process` is not async"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_leaves_runs_under_way_on_their_version() {
    let host = start().await;
    let old = host.start_run(TASK, json!({ "do": "tick", "count": 30, "ms": 10 })).await;
    host.follow(&old).await.until("tick").await;
    let wasm = guests::marked(&guests::awaits(), "second");
    host.install("test/awaits.wasm", &wasm).await;
    let new = run(&host, json!({ "do": "echo", "value": 1 })).await;
    let old = host.finished(&old).await;
    assert_eq!(old["version"], Version::of(&guests::awaits()).to_string());
    assert_eq!(new["version"], Version::of(&wasm).to_string());
    assert_eq!((&old["status"], &new["status"]), (&json!("completed"), &json!("completed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_takes_the_flag_and_compiles_in_a_process_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().join("tasks");
    guests::install(&tasks, "test/awaits.wasm", &guests::awaits());
    guests::install(&tasks, "test/probe.wasm", &guests::probe());
    let host = ChildHost::start(&tasks, &folder.path().join("data"), &["--experimental-async"]);
    assert_eq!(run(&host, json!({ "do": "echo", "value": 7 })).await["final_value"], 7);
    assert_eq!(host.run(json!({ "do": "echo", "n": 1 })).await["status"], "completed");
    // Both kinds are kept, each for itself.
    let cache = folder.path().join("data/cache");
    let kept = fs::read_dir(cache).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "cwasm")
    });
    assert_eq!(kept.count(), 2);
    let answer = host.request(&Method::GET, "/api/tasks/test/awaits", &[], "").await;
    assert_eq!(answer.json()["description"], "of the async world");
}

#[test]
fn check_and_run_take_such_a_file_without_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    guests::install(folder.path(), "awaits.wasm", &guests::awaits());
    let file = folder.path().join("awaits.wasm");
    let checked = Said::of(child::command().arg("check").arg(&file));
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(checked.out.contains("is a valid async task (experimental)"), "{checked:?}");
    // It describes itself too, as this one does.
    guests::install(folder.path(), "counter.wasm", &guests::example("counter"));
    let checked = Said::of(child::command().arg("check").arg(folder.path().join("counter.wasm")));
    assert!(checked.out.contains("is a valid task"), "{checked:?}");
    let mut run = child::command();
    run.arg("run").arg(&file).args(["--quiet", "--input", r#"{"do":"echo","value":[1,2]}"#]);
    run.env("XDG_CACHE_HOME", folder.path()).current_dir(folder.path());
    let ran = Said::of(&mut run);
    assert_eq!((ran.code, ran.out.trim()), (0, "[1,2]"), "{ran:?}");
}
