//! What who runs a host does with runs: start one again, and find those of some time.

use hyper::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use streamtask_tests::{Answer, Api, Said, TestHost, child};

async fn retry(host: &Api, run: &Value, query: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let path = format!("/api/runs/{}/retry{query}", run["id"].as_str().unwrap());
    host.request(&Method::POST, &path, headers, body).await
}

async fn list(host: &Api, query: &str) -> Value {
    let answer = host.get(&format!("/api/runs?{query}")).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.json()
}

fn ids(list: &Value) -> Vec<&str> {
    list["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ended_is_started_again_and_stays_as_it_is() {
    let host = TestHost::start().await;
    let input = r#"{"do":"fail"}"#;
    let start = "/api/tasks/test/probe/runs?id=first&label=team:blue&label=n:1&priority=7";
    let first = host.post(start, input).await.json();
    let first = host.finished(&first).await;
    let answer = retry(&host, &first, "", &[], "").await;
    assert_eq!(answer.status, 202);
    let second = answer.json();
    assert_eq!(answer.header("location"), format!("/api/runs/{}", second["id"].as_str().unwrap()));
    assert_ne!(second["id"], "first");
    assert_eq!((&second["input"], &second["priority"]), (&first["input"], &json!(7)));
    assert_eq!(second["labels"], json!({"team":"blue","n":"1","retry-of":"first"}));
    let second = host.finished(&second).await;
    assert_eq!(host.read_run(&first).await, first, "the old one is as it was");

    // With another input, an id of its own, and more labels.
    let answer = retry(&host, &second, "?id=third&label=n:2&priority=0", &[], r#"{"do":"echo"}"#).await;
    let third = host.finished(&answer.json()).await;
    assert_eq!((&third["id"], &third["final_value"]), (&json!("third"), &json!({"do":"echo"})));
    let labels = json!({"team":"blue","n":"2","retry-of":second["id"]});
    assert_eq!((&third["labels"], &third["priority"]), (&labels, &json!(0)));
    assert_eq!(ids(&list(&host, "label=retry-of:first").await), [second["id"].as_str().unwrap()]);

    let accept = [("accept", "application/x-ndjson")];
    let streamed = retry(&host, &third, "", &accept, "").await;
    assert_eq!(streamed.header("content-type"), "application/x-ndjson; charset=utf-8");
    assert!(streamed.body.ends_with(b"\n") && streamed.body.windows(13).any(|part| part == b"run.completed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_is_repeated_is_one_run() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let key = [("idempotency-key", "again")];
    let one = retry(&host, &run, "", &key, "").await;
    let two = retry(&host, &run, "", &key, "").await;
    assert_eq!(one.json()["id"], two.json()["id"]);
    assert_eq!((one.header("idempotent-replayed"), two.header("idempotent-replayed")), ("", "true"));
    assert_eq!(retry(&host, &run, "?id=mine", &[], "").await.json()["id"], "mine");
    assert_eq!(retry(&host, &run, "?id=mine", &[], "").await.json()["id"], "mine");
    retry(&host, &run, "?id=mine", &[], "{}").await.problem(409, "conflict");
    assert_eq!(ids(&list(&host, "").await).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_retried_is_refused() {
    let host = TestHost::start().await;
    let waits = host.probe(json!({ "do": "until-cancelled" })).await;
    let problem = retry(&host, &waits, "", &[], "").await.problem(409, "not-ended");
    assert_eq!(problem["status_of_run"], "running");
    host.cancel(&waits).await;
    let ended = host.finished(&waits).await;
    retry(&host, &json!({ "id": "nobody" }), "", &[], "").await.problem(404, "unknown-run");
    retry(&host, &ended, "", &[], "{").await.problem(400, "invalid-json");
    retry(&host, &ended, "", &[], r#"{"do":1}"#).await.problem(400, "invalid-input");
    retry(&host, &ended, "?priority=x", &[], "").await.problem(400, "invalid-parameter");
    let many: String = (0..16).map(|nth| format!("&label=l{nth}:x")).collect();
    let full =
        host.post(&format!("/api/tasks/test/probe/runs?{}", &many[1..]), r#"{"do":"echo"}"#).await.json();
    host.finished(&full).await;
    let again = host.finished(&retry(&host, &full, "", &[], "").await.json()).await;
    assert_eq!(again["labels"].as_object().unwrap().len(), 17, "its own comes on top");
    assert_eq!(retry(&host, &again, "", &[], "").await.status, 202, "and again");
    retry(&host, &again, "?label=one:more", &[], "").await.problem(400, "invalid-parameter");
    std::fs::remove_file(host.tasks().join("test/probe.wasm")).unwrap();
    streamtask_tests::eventually("the task's end", || async {
        host.get("/api/tasks/test/probe").await.status == 404
    })
    .await;
    retry(&host, &ended, "", &[], "").await.problem(404, "unknown-task");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_retries_and_follows() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo", "ms": 5 })).await;
    let (id, url) = (run["id"].as_str().unwrap(), format!("http://{}", host.address));
    let say =
        |arguments: &[&str]| Said::of(child::command().arg("retry").args(arguments).args(["--host", &url]));
    let said = say(&[id, "--quiet"]);
    assert_eq!((said.code, said.out.as_str()), (0, "{\"do\":\"echo\",\"ms\":5}\n"), "{said:?}");
    let said = say(&[id, "--input", r#"{"do":"fail"}"#, "--quiet"]);
    assert_eq!(said.code, 1, "{said:?}");
    let said = say(&[id, "--detach", "--id", "mine"]);
    assert_eq!((said.code, said.out.as_str()), (0, "mine\n"));
    say(&["nobody"]).refused(3, "there is no run");
    say(&[id, "--input", ""]).refused(2, "--input is empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_time_are_found_page_by_page() {
    let host = TestHost::start().await;
    for nth in 0..6 {
        let path = format!("/api/tasks/test/probe/runs?id=r{nth}&label=odd:{}", nth % 2);
        let run = host.post(&path, r#"{"do":"echo"}"#).await.json();
        host.finished(&run).await;
    }
    let stopped = host.stop().await;
    let db = Connection::open(stopped.config.data.join("streamtask.db")).unwrap();
    // One an hour; the newest now.
    db.execute("UPDATE runs SET created_at = created_at - (6 - no) * 3600000", []).unwrap();
    drop(db);
    let host = stopped.restart().await;
    assert_eq!(ids(&list(&host, "created_after=150m").await), ["r5", "r4", "r3"]);
    assert_eq!(ids(&list(&host, "created_before=150m").await), ["r2", "r1", "r0"]);
    assert_eq!(ids(&list(&host, "created_before=90m&created_after=210m").await), ["r3", "r2"]);
    assert_eq!(ids(&list(&host, "created_after=270m&label=odd:1&task=test/probe").await), ["r5", "r3", "r1"]);
    assert_eq!(ids(&list(&host, "created_after=150m&status=completed&task=test/probe").await).len(), 3);
    let third = host.get("/api/runs/r3").await.json();
    let at = third["created_at"].as_str().unwrap();
    assert_eq!(ids(&list(&host, &format!("created_after={at}")).await), ["r5", "r4"], "after, not at");
    assert_eq!(ids(&list(&host, &format!("created_before={at}")).await), ["r2", "r1", "r0"]);
    for query in ["created_after=1d", "task=test/probe", "", "label=odd:0&created_before=1s"] {
        let all = list(&host, query).await;
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = list(&host, &format!("{query}&limit=2{cursor}")).await;
            pages.extend(page["runs"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(&pages, all["runs"].as_array().unwrap(), "{query}");
    }
    for query in [
        "created_after=yesterday",
        "created_before=none",
        "created_after=",
        "fields=few",
        "cursor=7",
        "cursor=x.y",
    ] {
        host.get(&format!("/api/runs?{query}")).await.problem(400, "invalid-parameter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brief_list_leaves_out_what_can_be_large() {
    let host = TestHost::start().await;
    host.run(json!({ "do": "fail" })).await;
    host.run(json!({ "do": "panic" })).await;
    host.run(json!({ "do": "echo" })).await;
    let whole = list(&host, "").await;
    for query in ["fields=brief", "fields=brief&task=test/probe", "fields=brief&created_after=1h"] {
        let brief = list(&host, query).await;
        for (brief, whole) in brief["runs"].as_array().unwrap().iter().zip(whole["runs"].as_array().unwrap())
        {
            let mut expected = whole.clone();
            let run = expected.as_object_mut().unwrap();
            assert!(run.remove("input").is_some() && run.remove("final_value").is_some());
            if let Some(error) = run["error"].as_object_mut() {
                let had = [error.remove("details"), error.remove("trace")];
                assert!(had.iter().any(Option::is_some), "{whole}");
            }
            assert_eq!(brief, &expected);
        }
    }
    assert_eq!(list(&host, "fields=all").await, whole);
}
