//! What an operator grants to a task, and that everything else is denied: requests,
//! variables, secrets.

use std::fs;

use serde_json::{Value, json};
use streamtask_tests::{Api, ChildHost, Elsewhere, TestHost, child, eventually, guests, root, stream_path};

/// A host that lets manifests grant everything, with the task `test/reach`.
async fn start() -> TestHost {
    start_with(|_| {}).await
}

async fn start_with(configure: impl FnOnce(&mut streamtask_host::config::Config)) -> TestHost {
    let host = TestHost::with(|config| {
        config.grants = "all".parse().unwrap();
        configure(config);
    })
    .await;
    host.install("test/reach.wasm", &guests::reach()).await;
    host
}

/// Writes a manifest and waits until the host goes by it.
async fn grant(host: &TestHost, body: &str) {
    let text = format!("description = {body:?}\n{body}");
    fs::write(host.tasks().join("test/reach.toml"), text).unwrap();
    eventually("the manifest", || async {
        host.get("/api/tasks/test/reach").await.json()["description"] == body
    })
    .await;
}

/// The rule for a server of the test.
fn rule(server: &Elsewhere, more: &str) -> String {
    let port = server.address.port();
    format!(
        "[[grants.http]]\nhost = '127.0.0.1'\nschemes = ['http']\nports = [{port}]\nprivate = true\n{more}\n"
    )
}

async fn run(host: &Api, input: Value) -> Value {
    let run = host.start_run("test/reach", input).await;
    host.finished(&run).await
}

/// What a run of the guest returned.
async fn reach(host: &Api, input: Value) -> Value {
    let run = run(host, input).await;
    assert_eq!(run["status"], "completed", "{run}");
    run["final_value"].clone()
}

/// The error that a request ended with, and what the host noted in the run's log.
async fn denied(host: &TestHost, input: Value) -> (String, Vec<String>) {
    let run = run(host, input).await;
    let error = run["final_value"]["error"].as_str().unwrap_or_default().to_owned();
    let events = host.follow(&run).await.rest().await;
    let notes = events.iter().map(|event| event.json()["data"].clone());
    let notes = notes.filter(|data| data["stream"] == "host");
    (error, notes.map(|data| data["message"].as_str().unwrap().to_owned()).collect())
}

fn fetch(url: impl Into<String>) -> Value {
    json!({ "do": "fetch", "url": url.into() })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_granted_without_a_manifest() {
    let (host, server) = (start().await, Elsewhere::start().await);
    let (error, notes) = denied(&host, fetch(server.url("/echo"))).await;
    assert!(error.contains("HttpRequestDenied"), "{error}");
    let port = server.address.port();
    let note = format!(
        "denied: GET http://127.0.0.1:{port}: add [[grants.http]] host = \"127.0.0.1\", \
         schemes = [\"http\"], ports = [{port}] in reach.toml"
    );
    assert_eq!(notes, [note]);
    assert_eq!(reach(&host, json!({ "do": "env" })).await, json!({}));
    let steps = json!([{ "op": "read", "path": "/etc/passwd" }, { "op": "list", "path": "/" }]);
    let files = reach(&host, json!({ "do": "files", "steps": steps })).await;
    assert!(files[0]["error"].is_string() && files[1]["error"].is_string(), "{files}");
    assert_eq!(server.requests(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_names_the_manifest_that_has_the_rule() {
    let (host, server) = (start().await, Elsewhere::start().await);
    let rule = "[[grants.http]]\nhost = '127.0.0.1'\nschemes = ['http']\nports = [1]\n";
    fs::write(host.tasks().join("test/app.toml"), format!("description = 'of the app'\n{rule}")).unwrap();
    eventually("the app's manifest", || async {
        host.get("/api/tasks/test/reach").await.json()["description"] == "of the app"
    })
    .await;
    let (_, notes) = denied(&host, fetch(server.url("/echo"))).await;
    let port = server.address.port();
    let note = format!(
        "denied: GET http://127.0.0.1:{port}: add {port} to the ports of [[grants.http]] host = \"127.0.0.1\" in app.toml"
    );
    assert_eq!(notes, [note]);
}

#[tokio::test(flavor = "multi_thread")]
async fn granted_requests_arrive_over_connections_that_are_kept() {
    let (host, server) = (start().await, Elsewhere::start().await);
    grant(&host, &rule(&server, "")).await;
    let long = "é".repeat(50_000);
    let post = json!({ "do": "fetch", "url": server.url("/echo"), "method": "POST", "body": long });
    let answer = reach(&host, post).await;
    assert_eq!((&answer["status"], &answer["body"]), (&json!(200), &json!(format!("POST  {long}"))));
    for _ in 0..3 {
        assert_eq!(reach(&host, fetch(server.url("/echo"))).await["body"], "GET  ");
    }
    assert_eq!((server.requests().len(), server.connections()), (4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_does_not_say_is_denied_by_name() {
    let (host, server) = (start().await, Elsewhere::start().await);
    grant(&host, &rule(&server, "methods = ['GET']")).await;
    let port = server.address.port();
    let cases = [
        (json!({ "method": "POST", "url": server.url("/echo") }), "add \"POST\" to the methods".to_owned()),
        (json!({ "url": format!("https://127.0.0.1:{port}/") }), "add \"https\" to the schemes".to_owned()),
        (json!({ "url": "http://127.0.0.1/" }), "add 80 to the ports".to_owned()),
        (json!({ "url": format!("http://localhost:{port}/") }), "host = \"localhost\"".to_owned()),
    ];
    for (mut input, missing) in cases {
        input["do"] = json!("fetch");
        let (error, notes) = denied(&host, input).await;
        assert!(error.contains("HttpRequestDenied"), "{error}");
        assert!(notes.len() == 1 && notes[0].contains(&missing), "{notes:?} lacks {missing}");
    }
    let connect = json!({ "do": "fetch", "method": "CONNECT", "url": server.url("/") });
    assert!(denied(&host, connect).await.0.contains("HttpRequestMethodInvalid"));
    assert_eq!(server.requests(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_shown_and_not_followed() {
    let (host, server) = (start().await, Elsewhere::start().await);
    grant(&host, &rule(&server, "")).await;
    let forbidden = format!("http://localhost:{}/echo", server.address.port());
    let answer = reach(&host, fetch(server.url(&format!("/to/{forbidden}")))).await;
    assert_eq!((&answer["status"], &answer["location"]), (&json!(302), &json!(forbidden)));
    assert!(denied(&host, fetch(forbidden)).await.0.contains("HttpRequestDenied"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_and_no_spelling_leads_to_this_machine_unless_granted() {
    let (host, server) = (start().await, Elsewhere::start().await);
    let port = server.address.port();
    // First a connection that another task may have, which must not serve this one.
    grant(&host, &rule(&server, "")).await;
    assert_eq!(reach(&host, fetch(server.url("/echo"))).await["status"], 200);
    grant(&host, &format!("[[grants.http]]\nhost = '*'\nschemes = ['http']\nports = [{port}]\n")).await;
    for name in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "[::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
    ] {
        let (error, notes) = denied(&host, fetch(format!("http://{name}:{port}/echo"))).await;
        assert!(error.contains("DestinationIpProhibited"), "{name}: {error}");
        assert!(notes.len() == 1 && notes[0].contains("add private = true"), "{name}: {notes:?}");
    }
    for spelling in ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "a@127.0.0.1", "127.0.0.1."]
    {
        let (error, _) = denied(&host, fetch(format!("http://{spelling}:{port}/echo"))).await;
        assert!(error.contains("HttpRequestUriInvalid"), "{spelling}: {error}");
    }
    assert_eq!(server.requests(), ["GET /echo"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_bounded_in_bytes_and_time() {
    let (host, server) = (start().await, Elsewhere::start().await);
    grant(&host, &rule(&server, "max-response = '10KB'\ntimeout = '200ms'")).await;
    assert_eq!(reach(&host, fetch(server.url("/bytes/10000"))).await["status"], 200);
    for path in ["/bytes/10001", "/endless"] {
        let (error, notes) = denied(&host, fetch(server.url(path))).await;
        // In the body the library has words in place of a code.
        let codes = ["HttpResponseBodySize(Some(10000))", "exceeds limit: 10000"];
        assert!(codes.iter().any(|code| error.contains(code)), "{path}: {error}");
        assert!(notes[0].contains("max-response"), "{notes:?}");
    }
    for path in ["/silence", "/stall"] {
        let (error, _) = denied(&host, fetch(server.url(path))).await;
        assert!(error.to_lowercase().contains("timeout"), "{path}: {error}");
    }
    // The guest's own limit can be shorter.
    grant(&host, &rule(&server, "timeout = '1h'")).await;
    let patient = json!({ "do": "fetch", "url": server.url("/silence"), "first_byte_ms": 50 });
    assert!(denied(&host, patient).await.0.contains("HttpResponseTimeout"));
    // What nobody waits for any more is closed.
    server.closed(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_run_at_once_are_bounded_and_the_rest_wait() {
    let (host, server) = (start().await, Elsewhere::start().await);
    grant(&host, &rule(&server, "")).await;
    let many = json!({ "do": "fetch-many", "url": server.url("/gather/16"), "count": 32 });
    let answers = reach(&host, many).await;
    assert_eq!(answers.as_array().unwrap().len(), 32);
    assert!(answers.as_array().unwrap().iter().all(|answer| answer["body"] == "gathered"), "{answers}");
    // A seventeenth would be needed, and comes only when the first has given up.
    let server = Elsewhere::start().await;
    grant(&host, &rule(&server, "timeout = '300ms'")).await;
    let many = json!({ "do": "fetch-many", "url": server.url("/gather/17"), "count": 17 });
    let answers = reach(&host, many).await;
    assert!(answers[0]["error"].as_str().is_some_and(|error| error.contains("Timeout")), "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_a_server_can_be_ended_at_any_time() {
    let server = Elsewhere::start().await;
    let host = start_with(|config| config.cancel_grace = std::time::Duration::from_millis(50)).await;
    grant(&host, &format!("[limits]\ndeadline = '100ms'\n{}", rule(&server, ""))).await;
    let late = run(&host, fetch(server.url("/silence"))).await;
    assert_eq!(late["error"]["kind"], "deadline-exceeded", "{late}");
    server.closed(1).await;
    grant(&host, &rule(&server, "")).await;
    let waiting = host.start_run("test/reach", fetch(server.url("/silence"))).await;
    eventually("the request", || async { server.requests().len() == 2 }).await;
    let path = format!("/api/runs/{}", waiting["id"].as_str().unwrap());
    assert_eq!(host.post(&format!("{path}/pause"), "").await.json()["status"], "paused");
    host.cancel(&waiting).await;
    assert_eq!(host.finished(&waiting).await["status"], "cancelled");
    server.closed(2).await;
}

/// Two halves that occur nowhere else, and signs that JSON and URLs escape.
const SECRET: &str = "swordfish \"\\/é quicksilver";

fn has_secret(text: &str) -> bool {
    ["swordfish", "quicksilver"].iter().any(|half| text.contains(half))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_the_guests_and_appears_nowhere() {
    let (host, server) = (start().await, Elsewhere::start().await);
    fs::write(host.tasks().join("test/key"), format!("{SECRET}\n")).unwrap();
    let secrets = "[grants.secrets]\nKEY = { file = 'key' }\n[grants.env]\nLEVEL = 'high'\n";
    grant(&host, &format!("{secrets}{}", rule(&server, ""))).await;
    let env = run(&host, json!({ "do": "env" })).await;
    assert_eq!(env["final_value"], json!({ "KEY": "***", "LEVEL": "high" }));
    for (how, status) in [("", "completed"), ("fail", "failed"), ("panic", "failed"), ("not-json", "failed")]
    {
        let run = run(&host, json!({ "do": "tell", "name": "KEY", "how": how })).await;
        assert_eq!(run["status"], status, "{run}");
        let sse = host.read_stream(&run, "", "text/event-stream").await.body;
        let ndjson = host.read_stream(&run, "envelope=data", "application/x-ndjson").await.body;
        let (sse, ndjson) = (String::from_utf8_lossy(&sse), String::from_utf8_lossy(&ndjson));
        let log = "\"message\":\"log *** end\"";
        assert!(sse.contains(log) && sse.contains("\"message\":\"error ***\""), "{sse}");
        assert!(sse.matches("***").count() >= 8, "{sse}");
        for text in [&*sse, &*ndjson, &run.to_string()] {
            assert!(!has_secret(text), "{how}: {text}");
        }
        if ["fail", "panic"].contains(&how) {
            assert!(run["error"].to_string().contains("***"), "{run}");
        }
    }
    for path in ["/api/tasks", "/api/tasks/test/reach", "/api/runs"] {
        let text = host.get(path).await.json().to_string();
        assert!(!has_secret(&text), "{text}");
    }
    // Nor on the disk.
    let data = host.data();
    // Kept until the end: its folders go with it.
    let _host = host.stop().await.restart().await;
    for file in fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        assert!(!has_secret(&String::from_utf8_lossy(&fs::read(&file).unwrap())), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_hosts_environment_is_not_logged() {
    let server = Elsewhere::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    guests::install(&tasks, "test/reach.wasm", &guests::reach());
    let manifest = format!("[grants.secrets]\nKEY = {{ env = 'REACH_KEY' }}\n{}", rule(&server, ""));
    fs::write(tasks.join("test/reach.toml"), &manifest).unwrap();
    let arguments = ["--grants", "http,private,secrets", "--log", "trace"];
    let mut command = child::serve(&tasks, &data, &arguments);
    command.env("REACH_KEY", SECRET);
    let host = ChildHost::spawn(command).unwrap().ready();
    let run = run(&host, json!({ "do": "tell", "name": "KEY", "how": "panic" })).await;
    assert!(!has_secret(&run.to_string()), "{run}");
    // It does arrive where the guest sends it.
    let echo = json!({ "do": "fetch", "url": server.url("/echo"), "authorization_env": "KEY" });
    assert_eq!(reach(&host, echo).await["body"], "GET *** ");
    let mut log = host.logged();
    log.extend(host.terminate().1);
    assert!(log.len() > 10 && !log.iter().any(|line| has_secret(line)), "{log:?}");

    // Without it the task does not load, and the reason has its name.
    let arguments = ["--grants", "http,private,secrets"];
    let host = ChildHost::start(&tasks, &data, &arguments);
    let problem = host.get("/api/tasks/test/reach").await.json()["problem"]["message"].to_string();
    assert!(problem.contains("test/reach.toml line 2, column 7: "), "{problem}");
    assert!(problem.contains("variable REACH_KEY is not set"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_grants_only_what_the_host_was_started_for() {
    let host = TestHost::start().await;
    host.install("test/reach.wasm", &guests::reach()).await;
    grant(&host, "[grants.env]\nLEVEL = 'high'\n").await;
    let rule = "[[grants.http]]\nhost = 'example.org'\n";
    fs::write(host.tasks().join("test/reach.toml"), rule).unwrap();
    eventually("the refusal", || async {
        let task = host.get("/api/tasks/test/reach").await.json();
        let message = task["problem"]["message"].as_str().unwrap_or_default().to_owned();
        message.starts_with("test/reach.toml line 1, column 1: ")
            && message.contains("--grants env,files,http")
    })
    .await;
    // The last good one serves on.
    assert_eq!(reach(&host, json!({ "do": "env" })).await, json!({ "LEVEL": "high" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_can_be_read_without_values_and_paths() {
    let host = start().await;
    fs::create_dir(host.tasks().join("test/in")).unwrap();
    fs::write(host.tasks().join("test/key"), SECRET).unwrap();
    let manifest = "[grants]\noutput-files = true\noutput-files-size = '1MiB'\n[grants.env]\nLEVEL = 'high'\n\
                    [grants.secrets]\nKEY = { file = 'key' }\n\
                    [[grants.folders]]\npath = 'in'\nmount = '/in'\n\
                    [[grants.http]]\nhost = '*.example.org'\nmethods = ['GET']\ntimeout = '5s'\n";
    grant(&host, manifest).await;
    let expected = json!({
        "http": [{
            "host": "*.example.org", "schemes": ["https"], "ports": [], "methods": ["GET"], "private": false,
            "max_response": 16 << 20, "timeout_ms": 5000,
        }],
        "env": ["LEVEL"],
        "secrets": ["KEY"],
        "folders": [{ "mount": "/in", "write": false }],
        "start": [],
        "output_files": { "size": 1 << 20, "count": 1000 },
    });
    assert_eq!(host.get("/api/tasks/test/reach").await.json()["grants"], expected);
    let probe = host.get("/api/tasks/test/probe").await.json();
    assert_eq!(probe["grants"]["http"], json!([]));
    assert!(stream_path(&host.probe(json!({})).await).starts_with("/stream/test/probe/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_grants_are_ones_that_the_host_takes() {
    let page = fs::read_to_string(root().join("docs/reference/manifest.md")).unwrap();
    let section = page.split("\n## Grants\n").nth(1).unwrap();
    let manifest = section.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let host = start().await;
    let folder = host.tasks().join("test");
    fs::create_dir(folder.join("reference")).unwrap();
    fs::write(folder.join("key"), SECRET).unwrap();
    let manifest = manifest.replace("EXAMPLE_API_KEY", "CARGO_MANIFEST_DIR");
    grant(&host, &manifest.replace("/run/secrets/signing-key", "key")).await;
    let granted = host.get("/api/tasks/test/reach").await.json()["grants"].clone();
    assert_eq!(granted["secrets"], json!(["API_KEY", "SIGNING_KEY"]));
    // It says the defaults where it says that it does.
    assert_eq!(granted["output_files"], json!({ "size": 100 << 20, "count": 1000 }));
    assert_eq!(
        (&granted["http"][0]["max_response"], &granted["http"][0]["timeout_ms"]),
        (&json!(16 << 20), &json!(60000))
    );
}
