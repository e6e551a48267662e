//! Runs that runs start.

use serde_json::{Value, json};
use streamtask_tests::{TestHost, eventually, guests, names};

fn children(runs: Value) -> Value {
    json!({ "do": "children", "runs": runs })
}

fn child(input: Value) -> Value {
    json!({ "task": "probe", "input": input })
}

async fn status(host: &TestHost, id: &Value) -> Value {
    host.get(&format!("/api/runs/{}", id.as_str().unwrap())).await.json()["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_starts_others_and_reads_how_they_ended() {
    let host = TestHost::start().await;
    let run = host
        .run(children(json!([
            child(json!({ "do": "echo", "n": 1 })),
            child(json!({ "do": "fail" })),
            child(json!({ "do": "panic" })),
            { "task": "test/probe", "input": { "do": "sleep", "ms": 20 } },
        ])))
        .await;
    let outcomes: Vec<&Value> =
        run["final_value"].as_array().unwrap().iter().map(|run| &run["outcome"]).collect();
    assert_eq!(serde_json::from_str::<Value>(outcomes[0]["completed"].as_str().unwrap()).unwrap()["n"], 1);
    assert_eq!(outcomes[1]["failed"], json!(["failure", "as asked", "asked"]));
    assert_eq!(outcomes[2]["failed"][0], "trap");
    assert_eq!(outcomes[3], &json!({ "completed": "true" }));
    let events = host.follow(&run).await.rest().await;
    let told: Vec<Value> =
        events.iter().filter(|event| event.name == "run.child").map(|event| event.json()).collect();
    assert_eq!(told.len(), 4, "{:?}", names(&events));
    assert_eq!(told[0]["data"], json!({ "run": run["final_value"][0]["run"], "task": "test/probe" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_is_there_to_be_read() {
    let host = TestHost::start().await;
    let inner = children(json!([child(json!({ "do": "echo" }))]));
    let run = host.run(children(json!([child(inner), child(json!({ "do": "fail" }))]))).await;
    let id = run["id"].as_str().unwrap();
    let tree = host.get(&format!("/api/runs/{id}/children")).await.json();
    assert_eq!(tree["truncated"], false);
    let nodes = tree["children"].as_array().unwrap();
    assert_eq!(
        (nodes.len(), &nodes[0]["status"], &nodes[1]["status"]),
        (2, &json!("completed"), &json!("failed"))
    );
    assert_eq!(nodes[0]["parent"], id);
    assert_eq!(nodes[0]["children"][0]["children"], json!([]));
    let list = host.get(&format!("/api/runs?parent={id}")).await.json();
    assert_eq!(list["runs"].as_array().unwrap().len(), 2);
    assert_eq!(host.get("/api/runs/nobody/children").await.problem(404, "unknown-run")["status"], 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_leaves_its_slot_to_those_it_waits_for() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    // As deep as it goes, each waiting for the next, with one slot for all.
    let mut input = json!({ "do": "echo" });
    for _ in 0..8 {
        input = children(json!([child(input)]));
    }
    let run = host.run(input).await;
    assert_eq!(run["status"], "completed", "{run}");
    assert!(run.to_string().contains("echo"));
    let deeper = host.run(children(json!([child(run["input"].clone())]))).await;
    assert!(deeper.to_string().contains("limit-exceeded"), "{deeper}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_ends_takes_along_all_it_did_not_let_go() {
    let host = TestHost::start().await;
    let endless = json!({ "do": "until-cancelled" });
    for then in ["return", "fail", "wait"] {
        let detached = json!({ "task": "probe", "input": endless, "detached": true });
        let run = host
            .probe(json!({ "do": "children", "runs": [child(endless.clone()), detached], "then": then }))
            .await;
        let started = host.follow(&run).await.until("started").await.last().unwrap().json()["data"].clone();
        if then == "wait" {
            host.cancel(&run).await;
        }
        assert!(host.finished(&run).await["finished_at"].is_string());
        eventually("the child ends", || async { status(&host, &started[0]["run"]).await == "cancelled" })
            .await;
        assert_eq!(status(&host, &started[1]["run"]).await, "running", "it was let go");
        host.cancel(&json!({ "id": started[1]["run"] })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_a_later_attempt_finds_the_same_child() {
    let host = TestHost::start().await;
    let keyed = json!({ "task": "probe", "input": { "do": "echo" }, "key": "once" });
    let other = json!({ "task": "probe", "input": { "do": "sleep" }, "key": "once" });
    let run = host.run(children(json!([keyed, keyed, other]))).await;
    let answers = &run["final_value"];
    assert_eq!(answers[0]["run"], answers[1]["run"]);
    assert_eq!(answers[2]["code"], "conflict", "{answers}");
    host.manifest("[retry]\nattempts = 2\nbackoff = '1ms'\non = ['trap']\n").await;
    let run = host.run(json!({ "do": "children", "runs": [keyed], "then": "return" })).await;
    let again = host.run(json!({ "do": "children", "runs": [keyed], "then": "return" })).await;
    assert_ne!(run["final_value"], again["final_value"], "a key is the run's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_or_waited_for_is_an_error_to_the_guest() {
    let host = TestHost::start().await;
    host.install("other/probe.wasm", &guests::probe()).await;
    let stranger = host.run(json!({ "do": "echo" })).await;
    let run = host
        .run(children(json!([
            { "task": "nothing", "input": {} },
            { "task": "other/probe", "input": {} },
            { "task": "no name", "input": {} },
            { "task": "probe", "input": { "ms": -1 } },
            { "task": "probe", "input": {}, "key": "" },
        ])))
        .await;
    let codes: Vec<&Value> =
        run["final_value"].as_array().unwrap().iter().map(|answer| &answer["code"]).collect();
    assert_eq!(codes, ["not-found", "denied", "invalid-argument", "invalid-argument", "invalid-argument"]);
    assert!(run["final_value"][1]["message"].as_str().unwrap().contains("[grants]"), "{run}");
    assert!(stranger["parent"].is_null());
    host.manifest("[grants]\nstart = ['other/*']\n").await;
    let run = host.run(children(json!([{ "task": "other/probe", "input": { "do": "echo" } }]))).await;
    assert!(run["final_value"][0]["outcome"]["completed"].is_string(), "{run}");
}
