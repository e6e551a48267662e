//! Requests through the SDKs of C and Rust, beyond what the conformance kit asks of all: by the
//! case `http` of their guests, what a task gets, and what it is told when it gets nothing.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use streamtask_tests::{Elsewhere, TestHost, eventually, guests, optional, root};

/// Whose guests take all that a request can have.
const LANGUAGES: [&str; 2] = ["c", "rust"];

/// A file that `cargo xtask kit` or `cargo xtask examples` makes; a note if it could not.
fn built(test: &str, variable: &str, usual: &str, name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os(variable).map_or_else(|| root().join(usual), PathBuf::from);
    let wasm = fs::read(folder.join(name)).ok();
    if wasm.is_none() {
        optional::skip(
            test,
            &format!("{name}; `cargo xtask kit` and `cargo xtask examples` say what that needs"),
        );
    }
    wasm
}

struct Arena {
    host: TestHost,
    server: Elsewhere,
}

impl Arena {
    /// None, and a note, where there is no guest in that language.
    async fn of(test: &str, language: &str) -> Option<Self> {
        let wasm = match language {
            "rust" => guests::conformance(),
            _ => built(test, "STREAMTASK_KIT", "target/kit", &format!("conformance-{language}.wasm"))?,
        };
        let host = TestHost::with(|config| {
            config.grants = "all".parse().unwrap();
            config.cancel_grace = Duration::from_secs(60);
        })
        .await;
        host.install("test/fetch.wasm", &wasm).await;
        let arena = Self { host, server: Elsewhere::start().await };
        arena.grant("private = true").await;
        Some(arena)
    }

    /// Grants requests to the server, with `more` in the rule.
    async fn grant(&self, more: &str) {
        let port = self.server.address.port();
        let rule = format!(
            "description = {more:?}\n[[grants.http]]\nhost = '127.0.0.1'\nschemes = ['http']\nports = [{port}]\n{more}\n"
        );
        fs::write(self.host.tasks().join("test/fetch.toml"), rule).unwrap();
        eventually("the manifest", || async {
            self.host.get("/api/tasks/test/fetch").await.json()["description"] == more
        })
        .await;
    }

    async fn start(&self, mut request: Value) -> Value {
        request["case"] = "http".into();
        self.host.start_run("test/fetch", request).await
    }

    /// What the guest made of the response.
    async fn response(&self, request: Value) -> Value {
        let run = self.host.finished(&self.start(request).await).await;
        assert_eq!(run["status"], "completed", "{run}");
        run["final_value"].clone()
    }

    /// The code and the message of the refusal.
    async fn refusal(&self, request: Value) -> (String, String) {
        let run = self.host.finished(&self.start(request).await).await;
        let text = |key: &str| run["error"][key].as_str().unwrap_or_else(|| panic!("{run}")).to_owned();
        (text("code"), text("message"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_says_what_it_was_told_and_its_response_is_whole() {
    let test = "a_request_says_what_it_was_told_and_its_response_is_whole";
    for language in LANGUAGES {
        let Some(arena) = Arena::of(test, language).await else { continue };
        let url = |path: &str| arena.server.url(path);
        assert_eq!(arena.response(json!({ "url": url("/echo") })).await["body"], "GET yes ");
        // A body that goes in many pieces, and comes back so.
        let body = "é".repeat(100_000);
        let post = json!({ "url": url("/echo/more?x=1#part"), "method": "POST", "body": body });
        assert_eq!(arena.response(post).await["body"], json!(format!("POST yes {body}")));
        for method in ["POST", "DELETE", "PURGE"] {
            let said = arena.response(json!({ "url": url("/echo"), "method": method })).await;
            assert_eq!(said["body"], json!(format!("{method} yes ")));
        }
        let large = arena.response(json!({ "url": url("/bytes/900000") })).await;
        assert_eq!((&large["bytes"], &large["status"]), (&json!(900_000), &json!(200)));
        let moved = arena.response(json!({ "url": url("/to/http://elsewhere.example/") })).await;
        assert_eq!(
            (&moved["status"], &moved["location"]),
            (&json!(302), &json!("http://elsewhere.example/"))
        );
        let fragmentless = arena.server.requests().iter().any(|request| request == "POST /echo/more?x=1");
        assert!(fragmentless, "{:?}", arena.server.requests());
    }
}

/// Some SDKs say the place in the author's source behind a message.
fn without_place(message: &str) -> &str {
    let place = [", at ", ", in "].into_iter().filter_map(|begin| message.rfind(begin)).max();
    place.map_or(message, |place| &message[..place])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_granted_names_the_grant() {
    let test = "a_request_that_is_not_granted_names_the_grant";
    for language in LANGUAGES {
        let Some(arena) = Arena::of(test, language).await else { continue };
        let port = arena.server.address.port();
        let denied = |url: String, what: &str| {
            format!(
                "GET {url}: not granted: it needs [[grants.http]] with host = {what}, methods = [\"GET\"] in the task's manifest"
            )
        };
        let other = format!("http://localhost:{port}/echo");
        let what = format!("\"localhost\", schemes = [\"http\"], ports = [{port}]");
        let secure = "https://example.org/".to_owned();
        for (url, what) in [(other, what.as_str()), (secure, "\"example.org\"")] {
            let (code, message) = arena.refusal(json!({ "url": url })).await;
            assert_eq!((code.as_str(), without_place(&message)), ("denied", denied(url, what).as_str()));
        }
        arena.grant("methods = ['GET']\nprivate = true").await;
        let post = json!({ "url": arena.server.url("/echo"), "method": "POST", "body": "x" });
        let (code, message) = arena.refusal(post).await;
        assert!(code == "denied" && message.contains("methods = [\"POST\"]"), "{code}: {message}");
        arena.grant("private = false").await;
        let (code, message) = arena.refusal(json!({ "url": arena.server.url("/echo") })).await;
        let needs = "127.0.0.1 has no public address, so its [[grants.http]] needs private = true";
        assert!(code == "denied" && without_place(&message).ends_with(needs), "{code}: {message}");
        assert_eq!(arena.server.requests(), [] as [&str; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_no_request_is_an_invalid_argument() {
    let test = "what_can_be_no_request_is_an_invalid_argument";
    for language in LANGUAGES {
        let Some(arena) = Arena::of(test, language).await else { continue };
        let url = arena.server.url("/echo");
        let nothing = if language == "c" { "null is not an http" } else { "\"\" is not an http" };
        for (request, words) in [
            (json!({ "url": "nonsense" }), "\"nonsense\" is not an http or https URL"),
            (json!({}), nothing),
            (json!({ "url": "http:///path" }), "is not an http or https URL"),
            (json!({ "url": "ftp://127.0.0.1/" }), "is not an http or https URL"),
            (json!({ "url": format!("{url}/a b") }), "percent-encoded"),
            (json!({ "url": url, "method": "G T" }), "method"),
            (json!({ "url": url, "headers": { "a b": "c" } }), "a character that none may have"),
            (json!({ "url": url, "headers": { "a": "b\nc: d" } }), "a character that none may have"),
            (json!({ "url": url, "headers": { "Host": "other" } }), "the connection's own"),
        ] {
            let (code, message) = arena.refusal(request.clone()).await;
            assert!(code == "invalid-argument" && message.contains(words), "{request}: {code}: {message}");
        }
        assert_eq!(arena.server.requests(), [] as [&str; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_bounded_by_the_request_and_by_the_grant() {
    let test = "a_response_is_bounded_by_the_request_and_by_the_grant";
    for language in LANGUAGES {
        let Some(arena) = Arena::of(test, language).await else { continue };
        let of = |path: &str, more: Value| {
            let mut request = more;
            request["url"] = arena.server.url(path).into();
            request
        };
        assert_eq!(arena.response(of("/bytes/1000", json!({ "max_response": 1000 }))).await["bytes"], 1000);
        for (path, limit, says) in
            [("/bytes/1001", 1000, "more than 1000 bytes"), ("/endless", 0, "more than 8388608 bytes")]
        {
            let (code, message) = arena.refusal(of(path, json!({ "max_response": limit }))).await;
            assert!(code == "too-large" && message.contains(says), "{path}: {code}: {message}");
        }
        for path in ["/silence", "/stall"] {
            let (code, message) = arena.refusal(of(path, json!({ "timeout_ms": 50 }))).await;
            assert!(code == "timed-out" && message.contains("50 ms"), "{path}: {code}: {message}");
        }
        arena.grant("private = true\nmax-response = '10KB'\ntimeout = '200ms'").await;
        let (code, message) = arena.refusal(of("/bytes/10001", json!({}))).await;
        assert!(code == "too-large" && message.contains("max-response"), "{code}: {message}");
        assert_eq!(arena.refusal(of("/silence", json!({}))).await.0, "unavailable");
        // What nobody waits for any more is closed.
        arena.server.closed(4).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_a_response_hears_that_it_is_cancelled() {
    let test = "a_run_that_waits_for_a_response_hears_that_it_is_cancelled";
    for language in LANGUAGES {
        let Some(arena) = Arena::of(test, language).await else { continue };
        let run = arena.start(json!({ "url": arena.server.url("/silence") })).await;
        eventually("the request", || async { arena.server.requests().len() == 1 }).await;
        arena.host.cancel(&run).await;
        // Long before the grace is over, so by itself.
        assert_eq!(arena.host.finished(&run).await["status"], "cancelled");
        arena.server.closed(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_hands_over_may_be_empty() {
    let Some(arena) = Arena::of("what_the_host_hands_over_may_be_empty", "c").await else { return };
    let path = "/api/tasks/test/fetch/runs?label=a:&label=b:x&label=c:";
    let run = arena.host.post(path, r#"{"case":"info"}"#).await.json();
    let run = arena.host.finished(&run).await;
    assert_eq!(run["final_value"]["labels"], json!({ "a": "", "b": "x", "c": "" }), "{run}");
}

#[test]
fn a_task_that_makes_no_request_imports_none() {
    let test = "a_task_that_makes_no_request_imports_none";
    let imports_http = |wasm: &[u8]| wasm.windows(9).any(|bytes| bytes == b"wasi:http");
    assert!(imports_http(&guests::conformance()), "else there is nothing to see here");
    assert!(!imports_http(&guests::probe()));
    let Some(kit) = built(test, "STREAMTASK_KIT", "target/kit", "conformance-c.wasm") else { return };
    assert!(imports_http(&kit), "else there is nothing to see here");
    for example in ["hierarchical-progress", "primes-cpp"] {
        let name = format!("{example}.wasm");
        let Some(wasm) = built(test, "STREAMTASK_EXAMPLES", "target/examples", &name) else { return };
        assert!(!imports_http(&wasm), "{example}");
    }
}
