//! Ordinary programs as tasks: what they print and read, and how they end.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use streamtask_host::config::Config;
use streamtask_tests::{Event, TestHost, guests};

/// A host with the program as `test/probe`.
async fn host(configure: impl FnOnce(&mut Config)) -> TestHost {
    let host = TestHost::with(configure).await;
    host.install("test/probe.wasm", &guests::program()).await;
    host
}

/// The events of a run with these steps, and what became of it.
async fn all(host: &TestHost, steps: Value) -> (Vec<Event>, Value) {
    let run = host.start_run("test/probe", json!({ "steps": steps })).await;
    let events = host.follow(&run).await.rest().await;
    let run = host.finished(&run).await;
    (events, run)
}

fn data(events: &[Event], name: &str) -> Vec<Value> {
    events.iter().filter(|event| event.name == name).map(|event| event.json()["data"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_is_an_event_and_the_last_may_be_the_result() {
    let host = host(|_| {}).await;
    let steps = json!([
        { "print": "hello ✓" },
        { "print": r#"{"event":"word","data":{"price":7.50}}"# },
        { "print": r#"{"event":"word","data":null,"channel":"c"}"# },
        { "print": r#"{"event":"picture","base64":"AAEC","content_type":"image/png"}"# },
        { "print": "" },
        { "bytes": [0xff, 0x61, 0x0d, 0x0a] },
        { "error": "to the log" },
        { "print": "[1,2]" },
        { "bytes": [0x34, 0x32] },
    ]);
    let (events, run) = all(&host, steps).await;
    assert_eq!(
        data(&events, "output"),
        [json!("hello ✓"), json!(""), json!("\u{fffd}a"), json!("[1,2]"), json!("42")]
    );
    assert!(events.iter().any(|event| event.data.contains("7.50")), "numbers stay as they were");
    assert_eq!(data(&events, "word")[1], Value::Null);
    let on_channel = events.iter().find(|event| event.json()["channel"] == "c");
    assert_eq!(on_channel.unwrap().name, "word");
    assert_eq!(data(&events, "picture"), [json!("AAEC")]);
    assert_eq!(data(&events, "log"), [json!({ "stream": "stderr", "message": "to the log" })]);
    assert_eq!((&run["status"], &run["final_value"]), (&json!("completed"), &json!(42)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_is_what_the_program_says_or_all_that_it_printed() {
    let host = host(|_| {}).await;
    for (steps, result) in [
        (json!([{ "print": r#"{"result":{"a":1.50}}"# }, { "print": "7" }]), json!({ "a": 1.5 })),
        (json!([{ "print": "{" }, { "print": "\"a\": 1" }, { "print": "}" }]), json!({ "a": 1 })),
        (json!([{ "print": "done" }]), Value::Null),
        (json!([]), Value::Null),
        (json!([{ "print": "5" }, { "exit": 0 }]), json!(5)),
    ] {
        let (_, run) = all(&host, steps.clone()).await;
        assert_eq!((&run["status"], &run["final_value"]), (&json!("completed"), &result), "{steps}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_fails_by_its_code_by_its_words_or_by_a_trap() {
    let host = host(|_| {}).await;
    let failure = r#"{"failure":{"message":"no paper","code":"printer","details":{"tray":2},"retryable":true,"retry_after_ms":5}}"#;
    for (steps, error) in [
        (
            json!([{ "error": "first" }, { "error": "no such file" }, { "exit": 1 }]),
            json!({ "kind": "failure", "code": "exit", "message": "no such file" }),
        ),
        (
            json!([{ "exit": 1 }]),
            json!({ "kind": "failure", "code": "exit", "message": "the program exited with a non-zero code" }),
        ),
        (
            json!([{ "print": failure }, { "exit": 1 }]),
            json!({ "kind": "failure", "code": "printer", "message": "no paper" }),
        ),
        (
            json!([{ "print": failure }, { "print": r#"{"result":1}"# }]),
            json!({ "kind": "failure", "code": "printer" }),
        ),
        (json!([{ "panic": "boom" }]), json!({ "kind": "trap" })),
    ] {
        let (_, run) = all(&host, steps.clone()).await;
        assert_eq!(run["status"], "failed", "{steps}");
        for (key, value) in error.as_object().unwrap() {
            assert_eq!(&run["error"][key], value, "{steps}: {}", run["error"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_given_its_input_arguments_and_what_it_is() {
    let host = host(|_| {}).await;
    host.manifest("[command]\nargs = ['--fast', 'ä b']\n[grants.env]\nLEVEL = 'high'\n").await;
    let (events, run) = all(&host, json!([{ "look": 0 }, { "read": 0 }])).await;
    let look = &data(&events, "look")[0];
    assert_eq!(look["arguments"], json!(["probe", "--fast", "ä b"]));
    let has = |name: &str, value: &str| {
        let variables = look["variables"].as_array().unwrap();
        assert!(variables.contains(&json!([name, value])), "{name}={value}: {look}");
    };
    has("STREAMTASK_INPUT", &run["input"].to_string());
    has("STREAMTASK_RUN", run["id"].as_str().unwrap());
    has("STREAMTASK_APP", "test");
    has("STREAMTASK_TASK", "probe");
    has("STREAMTASK_VERSION", run["version"].as_str().unwrap());
    has("STREAMTASK_ATTEMPT", "1");
    has("LEVEL", "high");
    assert_eq!(data(&events, "rest"), [json!("")], "the input is followed by the end");
    let (_, run) = all(&host, json!([{ "print": "x".repeat(3000) }, { "look": 0 }])).await;
    assert_eq!(run["status"], "completed", "a long input is no variable");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_manifest_says_which_inputs_it_takes() {
    let host = host(|_| {}).await;
    host.manifest(
        "[input-schema]\nrequired = ['steps']\nproperties.steps = { type = 'array', maxItems = 1 }\n",
    )
    .await;
    let task = host.get("/api/tasks/test/probe").await.json();
    assert_eq!(task["input_schema"]["properties"]["steps"], json!({ "type": "array", "maxItems": 1 }));
    let refused = host.post("/api/tasks/test/probe/runs", r#"{"steps":[1,2]}"#).await;
    assert_eq!(refused.status, 400, "{:?}", refused.body);
    assert!(refused.json().to_string().contains("/steps"), "{}", refused.json());
    let (_, run) = all(&host, json!([{ "print": "1" }])).await;
    assert_eq!(run["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_in_its_turn() {
    let host = host(|_| {}).await;
    let calls = [
        (json!({ "call": "info" }), json!({ "app": "test", "task": "probe", "attempt": 1, "labels": {} })),
        (json!({ "call": "send-event", "type": "word", "data": 1 }), Value::Null),
        (
            json!({ "call": "send-bytes", "type": "word", "content_type": "a/b", "base64": "AA==" }),
            Value::Null,
        ),
        (json!({ "call": "flush" }), Value::Null),
        (json!({ "call": "cancelled" }), json!(false)),
        (json!({ "call": "sleep-ms", "ms": 1 }), json!(true)),
        (json!({ "call": "receive-signal", "timeout_ms": 0 }), Value::Null),
        (json!({ "call": "parameter", "name": "speed" }), Value::Null),
        (json!({ "call": "load-checkpoint", "key": "a" }), Value::Null),
        (json!({ "call": "save-checkpoint", "key": "a", "base64": "AAEC" }), Value::Null),
        (json!({ "call": "load-checkpoint", "key": "a" }), json!({ "base64": "AAEC" })),
        (json!({ "call": "remove-checkpoint", "key": "a" }), Value::Null),
        (json!({ "call": "load-checkpoint", "key": "a" }), Value::Null),
    ];
    let asks: Vec<Value> = calls.iter().map(|(call, _)| json!({ "ask": call })).collect();
    let (events, run) = all(&host, json!(asks)).await;
    assert_eq!(run["status"], "completed", "{run}");
    let answers = data(&events, "answer");
    assert_eq!(answers.len(), calls.len());
    for ((call, expected), answer) in calls.iter().zip(&answers) {
        let ok = &answer["ok"];
        assert!(answer.get("ok").is_some(), "{call}: {answer}");
        match expected.as_object() {
            Some(keys) => assert!(keys.iter().all(|(key, value)| &ok[key] == value), "{call}: {answer}"),
            None => assert_eq!(ok, expected, "{call}"),
        }
    }
    let places: Vec<_> =
        events.iter().map(|event| event.name.as_str()).filter(|name| *name != "log").collect();
    assert_eq!(places[..4], ["run.started", "answer", "word", "answer"], "{places:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_not_right_has_an_error_for_an_answer() {
    let host = host(|_| {}).await;
    let calls = [
        (json!({ "call": "send-event", "type": "run.mine", "data": 1 }), "invalid-argument"),
        (json!({ "call": "send-event", "data": 1 }), "invalid-argument"),
        (
            json!({ "call": "send-bytes", "type": "a", "content_type": "a/b", "base64": "?" }),
            "invalid-argument",
        ),
        (json!({ "call": "save-checkpoint", "key": "", "base64": "" }), "invalid-argument"),
        (json!({ "call": "sleep-ms", "ms": -1 }), "invalid-argument"),
        (json!({ "call": "start-child", "task": "nowhere", "input": 1 }), "not-found"),
        (json!({ "call": "wait-children", "runs": ["x"] }), "not-found"),
        (json!({ "call": "http-request", "method": "GET", "url": "http://example.com/" }), "denied"),
        (json!({ "call": "http-request", "method": "GET", "url": "nonsense" }), "invalid-argument"),
        (json!({ "call": "nonsense" }), "not-found"),
    ];
    let asks: Vec<Value> = calls.iter().map(|(call, _)| json!({ "ask": call })).collect();
    let (events, run) = all(&host, json!(asks)).await;
    assert_eq!(run["status"], "completed", "{run}");
    for ((call, code), answer) in calls.iter().zip(data(&events, "answer")) {
        assert_eq!(answer["error"]["code"], *code, "{call}: {answer}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_from_outside_reach_a_program() {
    let host = host(|_| {}).await;
    let steps = json!([
        { "print": r#"{"event":"waiting","data":0}"# },
        { "ask": { "call": "receive-signal", "name": "go" } },
        { "ask": { "call": "parameter", "name": "speed" } },
        { "print": r#"{"event":"tired","data":0}"# },
        { "ask": { "call": "sleep-ms", "ms": 3_600_000 } },
        { "print": r#"{"result":"partial"}"# },
    ]);
    let run = host.start_run("test/probe", json!({ "steps": steps })).await;
    let mut stream = host.follow(&run).await;
    stream.until("waiting").await;
    let at = format!("/api/runs/{}", run["id"].as_str().unwrap());
    let set = host.request(&Method::PUT, &format!("{at}/parameters/speed"), &[], "7.50").await;
    assert!(set.status.is_success(), "{:?}", set.body);
    host.post(&format!("{at}/signals/go"), r#"{"from":"Ada"}"#).await;
    let answers = data(&stream.until("tired").await, "answer");
    assert_eq!(answers[0]["ok"], json!({ "name": "go", "payload": { "from": "Ada" } }));
    assert_eq!(answers[1]["ok"], json!({ "value": 7.5 }));
    host.cancel(&run).await;
    stream.rest().await;
    let run = host.finished(&run).await;
    assert_eq!((&run["status"], &run["final_value"]), (&json!("cancelled"), &json!("partial")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_a_rule_is_not_sent_and_the_log_says_why() {
    let host = host(|config| {
        config.limits.events = Some(4);
        config.limits.event_bytes = 2000;
    })
    .await;
    let steps = json!([
        { "print": r#"{"event":"run.mine","data":1}"# },
        { "print": r#"{"event":"picture","base64":"?"}"# },
        { "print": format!(r#"{{"event":"large","data":"{}"}}"#, "x".repeat(2000)) },
        { "repeat": 10 },
    ]);
    let (events, run) = all(&host, steps).await;
    assert_eq!(run["status"], "completed");
    let log = data(&events, "log");
    for words in ["run.", "Base64", "2002 bytes", "4 events"] {
        let told = log.iter().any(|line| line["message"].as_str().unwrap().contains(words));
        assert!(told, "{words}: {log:?}");
    }
    assert_eq!(data(&events, "n").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_line_arrives_in_pieces_as_large_as_events_may_be() {
    let host = host(|config| {
        config.limits.event_bytes = 2000;
        config.grants = "secrets".parse().unwrap();
    })
    .await;
    std::fs::write(host.tasks().join("test/key"), "swordfish").unwrap();
    host.manifest("[grants.secrets]\nKEY = { file = 'key' }\n").await;
    // A secret where it would be cut in halves.
    let line = format!("{}swordfish{}", "ä".repeat(1000), "\"".repeat(2000));
    let steps = json!([{ "print": line }, { "long": 4_000_000 }, { "print": "[7]" }]);
    let (events, run) = all(&host, steps).await;
    assert_eq!((&run["status"], &run["final_value"]), (&json!("completed"), &json!([7])), "{run}");
    let output = data(&events, "output");
    assert!(output.iter().all(|piece| piece.to_string().len() <= 2000));
    let all: String = output.iter().map(|piece| piece.as_str().unwrap()).collect();
    assert!(all == line.replace("swordfish", "***") + &"x".repeat(4_000_000) + "[7]");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_line_that_was_too_long_say_nothing() {
    let host = host(|_| {}).await;
    // Where a line of 1.5 MiB is cut, the rest begins.
    let steps = json!([{ "fill": 3 << 19 }, { "print": r#"{"result":"forged"}"# }]);
    let (events, run) = all(&host, steps).await;
    assert_eq!((&run["status"], &run["final_value"]), (&json!("completed"), &Value::Null), "{run}");
    assert_eq!(data(&events, "output").last(), Some(&json!(r#"{"result":"forged"}"#)));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_arrive_whole_and_in_order() {
    let host = host(|_| {}).await;
    let (events, run) = all(&host, json!([{ "repeat": 100_000 }])).await;
    assert_eq!(run["status"], "completed");
    let numbers: Vec<u64> = data(&events, "n").iter().map(|data| data["i"].as_u64().unwrap()).collect();
    assert!(numbers.iter().copied().eq(0..100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_means_harm_is_bounded_like_any_guest() {
    let host = host(|config| {
        config.limits.cpu = Some(Duration::from_millis(500));
        config.cancel_grace = Duration::from_millis(50);
    })
    .await;
    let (_, run) = all(&host, json!([{ "spin": 0 }])).await;
    assert_eq!(run["error"]["kind"], "cpu-exceeded");
    let (_, run) = all(&host, json!([{ "flood": 0 }])).await;
    assert_eq!(run["error"]["kind"], "cpu-exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_module_for_preview_1_is_wrapped() {
    let host = TestHost::start().await;
    // Copies its input to its output.
    let wasm = guests::wat(include_str!("../guests/cat.wat"));
    host.install("test/cat.wasm", &wasm).await;
    let run = host.start_run("test/cat", json!({ "a": [1, 2] })).await;
    let run = host.finished(&run).await;
    assert_eq!((&run["status"], &run["final_value"]), (&json!("completed"), &json!({ "a": [1, 2] })));
}

/// A host with the program and this manifest.
async fn called(manifest: &str) -> TestHost {
    let host = host(|_| {}).await;
    host.manifest(manifest).await;
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_reads_and_answers_in_the_forms_that_its_manifest_says() {
    let steps = json!({ "steps": [{ "print": "{\"event\":\"no\",\"data\":1}" }, { "bytes": [0x61, 0xff] }] })
        .to_string();
    for (manifest, input, result) in [
        ("stdin = 'raw'\nresult = 'text'", json!(steps), json!("{\"event\":\"no\",\"data\":1}\na\u{fffd}")),
        (
            "stdin = '/program'\nresult = 'bytes'\ncontent-type = 'image/png'",
            json!({ "program": "{\"steps\":[{\"bytes\":[0,255]}]}" }),
            json!({ "content_type": "image/png", "base64": "AP8=" }),
        ),
        ("result = 'json'", json!({ "steps": [{ "print": "{\n\"a\":[1]\n}" }] }), json!({ "a": [1] })),
        ("result = 'json'", json!({ "steps": [] }), Value::Null),
    ] {
        let host = called(&format!("[command]\n{manifest}\n")).await;
        let run = host.start_run("test/probe", input).await;
        let events = host.follow(&run).await.rest().await;
        let run = host.finished(&run).await;
        assert_eq!(
            (&run["status"], &run["final_value"]),
            (&json!("completed"), &result),
            "{manifest}: {run}"
        );
        assert!(
            !events.iter().any(|event| event.name == "no" || event.name == "output"),
            "{manifest}: {events:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_come_from_the_input_and_variables_of_the_run_can_be_left_out() {
    let host = called(
        "[command]\nstdin = '/program'\nargs = ['{/name}', '--n={/n}', '{/none}']\ninherit-run = false\n",
    )
    .await;
    let input = json!({ "program": "{\"steps\":[{\"look\":null}]}", "name": "-a b", "n": 7 });
    let run = host.start_run("test/probe", input).await;
    let events = host.follow(&run).await.rest().await;
    let look = &data(&events, "look")[0];
    assert_eq!(look["arguments"], json!(["probe", "-a b", "--n=7"]));
    assert_eq!(look["variables"], json!([]));
    for (input, why) in
        [(json!({ "n": 7 }), "nothing at /program"), (json!({ "program": "" }), "nothing at /n")]
    {
        let run = host.start_run("test/probe", input).await;
        let error = host.finished(&run).await["error"].clone();
        assert_eq!((&error["kind"], &error["code"]), (&json!("failure"), &json!("invalid-input")), "{error}");
        assert!(error["message"].as_str().unwrap().contains(why), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_and_is_no_result_fails_the_run_as_that() {
    let host = called("[command]\nresult = 'json'\n[limits]\noutput = '1KiB'\n").await;
    for (step, why) in
        [(json!({ "print": "1 2" }), "not JSON"), (json!({ "fill": 2000 }), "more than 1024 bytes")]
    {
        let run = host.start_run("test/probe", json!({ "steps": [step] })).await;
        let error = host.finished(&run).await["error"].clone();
        assert_eq!(error["kind"], "invalid-output", "{error}");
        assert!(error["message"].as_str().unwrap().contains(why), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_program_printed_is_told_within_a_bound_and_without_secrets() {
    let host = host(|config| config.grants = "secrets".parse().unwrap()).await;
    std::fs::write(host.tasks().join("test/key"), "swordfish").unwrap();
    host.manifest("[command]\nresult = 'text'\n[grants.secrets]\nKEY = { file = 'key' }\n").await;
    // The secret lies across the bound.
    let printed = format!("{}swordfish and more", "x".repeat((4 << 10) - 5));
    let steps = json!([{ "print": printed }, { "exit": 3 }]);
    let run = host.start_run("test/probe", json!({ "steps": steps })).await;
    let details = host.finished(&run).await["error"]["details"].clone();
    assert_eq!(details["exit_code"], 1, "a component tells no more: {details}");
    let told = details["stdout"].as_str().unwrap();
    assert_eq!(told, format!("{}*** a", "x".repeat((4 << 10) - 5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_completes_the_run_if_the_manifest_says_so_and_is_told_as_it_is() {
    let host = host(|_| {}).await;
    let module = |code: i32| {
        let text = format!(
            "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
               (memory (export \"memory\") 1) (func (export \"_start\") (call $exit (i32.const {code}))))"
        );
        wat::parse_str(text).unwrap()
    };
    for (code, told) in [(3, 3), (126, 126), (255, 255), (-1, 255)] {
        host.install("test/probe.wasm", &module(code)).await;
        let run = host.start_run("test/probe", json!({})).await;
        let error = host.finished(&run).await["error"].clone();
        assert_eq!(error["details"], json!({ "exit_code": told }), "{error}");
    }
    host.manifest("[command]\nsuccess-codes = [0, 255]\n").await;
    let run = host.start_run("test/probe", json!({})).await;
    assert_eq!(host.finished(&run).await["status"], "completed");
}
