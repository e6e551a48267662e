//! Several hosts on one PostgreSQL are one system: whichever host a client asks, it sees and steers every run.

use std::collections::HashMap;

use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::{Api, Cluster, Event, EventStream, Lines, WebSocket, eventually, soon, stream_path};

/// A log whose events come over some time.
fn long() -> Value {
    json!({ "do": "ticks", "n": 40, "ms": 25 })
}

/// Path of a run.
fn path(run: &Value, what: &str) -> String {
    format!("/api/runs/{}{what}", run["id"].as_str().expect("an id"))
}

/// Sends a message to a run; it has to be accepted.
async fn tell(host: &Api, run: &Value, what: &str, body: &str) -> Value {
    let answer = host.post(&path(run, what), body).await;
    assert!([200, 202].contains(&answer.status.as_u16()), "{what}: {answer:?}");
    answer.json()
}

/// The log of a run that has ended, as a host shows it.
async fn log(host: &Api, run: &Value) -> Vec<Value> {
    let answer = host.read_stream(run, "", "application/x-ndjson").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// How often an event of that type is in the log.
fn count(log: &[Value], name: &str) -> usize {
    log.iter().filter(|event| event["type"] == name).count()
}

/// Panics unless these are all events after `after`, each once, up to the run's end.
#[track_caller]
fn are_all_after(after: u64, events: &[Event], log: &[Value]) {
    let seqs: Vec<u64> = events.iter().map(Event::seq).collect();
    assert_eq!(seqs, (after + 1..=log.len() as u64).collect::<Vec<_>>());
    for (event, logged) in events.iter().zip(&log[after as usize..]) {
        assert_eq!(event.json()["data"], logged["data"], "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_followed_at_a_host_that_does_not_execute_it_in_each_format() {
    let Some(cluster) = Cluster::new("following a run at another host") else { return };
    let [a, b] = cluster.two(&[]);
    let run = a.probe(long()).await;
    let sse = b.follow(&run).await;
    let lines = Lines::request(b.address, &Method::GET, stream_path(&run), &[], "").await;
    let mut socket = WebSocket::open(b.address, stream_path(&run), &[]).await.expect("it upgrades");
    let (events, lines, (said, code)) = tokio::join!(sse.rest(), lines.rest(), socket.rest());
    let log = log(&a, &run).await;
    assert_eq!(count(&log, "tick"), 40);
    are_all_after(0, &events, &log);
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, log);
    assert_eq!((&said[0]["type"], code), (&json!("run.state"), 1000));
    assert_eq!(said[1..], log);
    assert_eq!(b.read_run(&run).await, a.read_run(&run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_at_another_host_begins_where_it_wants() {
    let Some(cluster) = Cluster::new("start positions at another host") else { return };
    let [a, b] = cluster.two(&[]);
    let run = a
        .probe(json!({ "do": "send", "events": [
        { "type": "early", "times": 20 }, { "wait": "go" }, { "type": "late", "times": 5 }
    ] }))
        .await;
    b.follow(&run).await.until("early").await;
    let middle = b.follow_with(&run, "", &[("last-event-id", "10")]).await;
    let mut socket = WebSocket::open(b.address, &format!("{}?after=10", stream_path(&run)), &[])
        .await
        .expect("it upgrades");
    let lines =
        Lines::request(b.address, &Method::GET, stream_path(&run), &[("last-event-id", "10")], "").await;
    // What was sent before is there, or it could be what is new.
    eventually("all of the first part", || async {
        let tail = b.follow_with(&run, "tail=1&live=false", &[]).await.rest().await;
        tail.last().is_some_and(|event| event.seq() == 21)
    })
    .await;
    let now = b.follow_with(&run, "from=now", &[]).await;
    tell(&b, &run, "/signals/go", "1").await;
    let (middle, now, lines, (said, _)) =
        tokio::join!(middle.rest(), now.rest(), lines.rest(), socket.rest());
    let log = log(&a, &run).await;
    are_all_after(10, &middle, &log);
    are_all_after(21, &now, &log);
    assert_eq!(said[1..], log[10..]);
    assert_eq!(lines.len(), log.len() - 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_moves_between_hosts_misses_and_repeats_nothing() {
    let Some(cluster) = Cluster::new("moving between hosts") else { return };
    let hosts = cluster.two(&[]);
    let run = hosts[0].probe(json!({ "do": "flood", "events": 3000, "bytes": 20, "pause_ms": 20 })).await;
    let mut events: Vec<Event> = Vec::new();
    for host in hosts.iter().cycle().take(200) {
        let last = events.last().map_or("0", |event| event.id.as_str()).to_owned();
        let mut stream = host.follow_with(&run, "", &[("last-event-id", &last)]).await;
        for _ in 0..97 {
            match stream.next().await {
                Some(event) => events.push(event),
                None => break,
            }
        }
        if events.last().is_some_and(Event::is_terminal) {
            break;
        }
    }
    let log = log(&hosts[1], &run).await;
    assert_eq!(count(&log, "flood"), 3000);
    are_all_after(0, &events, &log);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_by_way_of_another_host_takes_effect_and_is_logged_once() {
    let Some(cluster) = Cluster::new("messages by way of another host") else { return };
    let [a, b] = cluster.two(&[]);
    let run = a.probe(json!({ "do": "work", "until_stop": true, "ms": 5, "hear": true })).await;
    let mut stream = a.follow(&run).await;
    stream.until("begin").await;
    assert_eq!(tell(&b, &run, "/pause", "").await["status"], "paused");
    stream.until("run.paused").await;
    assert_eq!(b.read_run(&run).await["status"], "paused");
    assert_eq!(tell(&b, &run, "/resume", "").await["status"], "running");
    stream.until("run.resumed").await;
    for signal in 0..5 {
        tell(&b, &run, "/signals/go", &signal.to_string()).await;
    }
    let set = b.request(&Method::PUT, &path(&run, "/parameters/level"), &[], "7").await;
    assert!(set.status.is_success(), "{set:?}");
    stream.until("level").await;
    let set = b.request(&Method::PUT, &path(&run, "/parameters/stop"), &[], "true").await;
    assert!(set.status.is_success(), "{set:?}");
    assert_eq!(b.finished(&run).await["status"], "completed");
    let log = log(&b, &run).await;
    let heard: Vec<_> =
        log.iter().filter(|event| event["type"] == "heard").map(|event| &event["data"]["signal"]).collect();
    assert_eq!(json!(heard), json!([0, 1, 2, 3, 4]), "in their order");
    let counts = ["run.paused", "run.resumed", "run.signal", "run.parameter"].map(|name| count(&log, name));
    assert_eq!(counts, [1, 1, 5, 2], "{log:?}");
    assert_eq!(cluster.query("SELECT count(*) FROM messages"), "0", "none is kept longer than it takes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_by_way_of_another_host() {
    let Some(cluster) = Cluster::new("a cancel by way of another host") else { return };
    let [a, b] = cluster.two(&[]);
    let run = a.probe(json!({ "do": "until-cancelled" })).await;
    let mut stream = b.follow(&run).await;
    stream.until("waiting").await;
    b.cancel(&run).await;
    // Twice is no other cancel.
    b.cancel(&run).await;
    let last = stream.rest().await;
    assert_eq!(last.last().expect("an end").name, "run.cancelled");
    assert_eq!(a.read_run(&run).await["final_value"], "partial");
    let log = log(&b, &run).await;
    assert_eq!(log.iter().filter(|event| event["type"] == "run.cancelled").count(), 1);
    assert!(count(&log, "run.cancel-requested") <= 1, "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_lists_all_hosts_and_says_who_answers() {
    let Some(cluster) = Cluster::new("the list of hosts") else { return };
    let [a, b] = cluster.two(&[]);
    let run = a.probe(json!({ "do": "until-cancelled" })).await;
    a.follow(&run).await.until("waiting").await;
    for (host, own) in [(&a, "a"), (&b, "b")] {
        let hosts = host.get("/api/hosts").await.json();
        let of = |name: &str| -> Value {
            let hosts = hosts["hosts"].as_array().expect("a list");
            hosts.iter().find(|host| host["name"] == name).unwrap_or_else(|| panic!("{hosts:?}")).clone()
        };
        assert_eq!((&of("a")["runs"], &of("b")["runs"]), (&json!(1), &json!(0)));
        assert_eq!((&of("a")["answers"], &of("b")["answers"]), (&json!(own == "a"), &json!(own == "b")));
        assert!(of("a")["lease_until"].is_string(), "{hosts}");
    }
    let said = streamtask_tests::Said::of(&mut b.client(&["hosts"]));
    assert_eq!((said.code, said.out.lines().count()), (0, 2), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_several_runs_are_read_once_at_each_host() {
    let Some(cluster) = Cluster::new("several runs at several hosts") else { return };
    let hosts = cluster.two(&[]);
    let ids: Vec<String> = (0..20).map(|nth| format!("several-{nth}")).collect();
    let mut streams = Vec::new();
    for host in &hosts {
        streams.push(EventStream::open(host.address, "/api/events?task=test/probe", &[]).await);
    }
    for (nth, id) in ids.iter().enumerate() {
        let start = format!("/api/tasks/test/probe/runs?id={id}");
        let started =
            hosts[nth % 2].post(&start, json!({ "do": "ticks", "n": 5, "ms": 5 }).to_string()).await;
        assert_eq!(started.status, 202, "{started:?}");
    }
    for mut stream in streams {
        let mut seqs: HashMap<String, Vec<u64>> = HashMap::new();
        let mut ended = 0;
        while ended < ids.len() {
            let event = stream.next().await.expect("it goes on");
            let body = event.json();
            let Some(run) = body["_task_id"].as_str() else { continue };
            seqs.entry(run.to_owned()).or_default().push(body["seq"].as_u64().expect("a number"));
            ended += usize::from(event.is_terminal());
        }
        assert_eq!(seqs.len(), ids.len());
        for (run, seqs) in seqs {
            let all: Vec<u64> = (1..=seqs.len() as u64).collect();
            assert_eq!((seqs.len(), seqs), (7, all), "{run}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_deleted_at_one_host_is_gone_at_the_other() {
    let Some(cluster) = Cluster::new("a run that another host deletes") else { return };
    let [a, b] = cluster.two(&[]);
    let run = a.run(json!({ "do": "flood", "events": 2000, "bytes": 20 })).await;
    // From now on its pages are in the cache of the other host, too.
    assert_eq!(log(&b, &run).await.len(), 2002);
    let deleted = a.request(&Method::DELETE, &path(&run, ""), &[], "").await;
    assert!(deleted.status.is_success(), "{deleted:?}");
    is_gone(&b, &run).await;
    assert_eq!(b.get("/api/runs").await.json()["runs"], json!([]));
}

/// Waits until a host has neither the run nor a page of its log.
async fn is_gone(host: &Api, run: &Value) {
    let [run, stream] = [path(run, ""), stream_path(run).to_owned()];
    eventually("the run is gone", || async {
        let (run, stream) = tokio::join!(host.get(&run), host.get(&stream));
        [run.status, stream.status].iter().all(|status| [404, 410].contains(&status.as_u16()))
    })
    .await;
    let page = host.get(&format!("{stream}?after=512")).await;
    assert!([404, 410].contains(&page.status.as_u16()), "{page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_at_one_host_removes_runs_that_another_has_executed() {
    let Some(cluster) = Cluster::new("retention of the runs of another host") else { return };
    let [a, b] = cluster.two(&[]);
    let old = a.run(json!({ "do": "flood", "events": 2000, "bytes": 20 })).await;
    assert_eq!(log(&a, &old).await.len(), 2002);
    let new = b.run(json!({ "do": "echo" })).await;
    let pruned = b.post("/api/prune?keep=1", "").await;
    assert_eq!((pruned.status.as_u16(), &pruned.json()["runs"]), (200, &json!(1)), "{pruned:?}");
    is_gone(&a, &old).await;
    assert_eq!(a.read_run(&new).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_lives_for_its_readers_goes_on_while_one_reads_at_another_host() {
    let Some(cluster) = Cluster::new("readers at several hosts") else { return };
    let [a, b] = cluster.two(&[]);
    let start = "/api/tasks/test/probe/runs?on_disconnect=cancel";
    let run = a.post(start, json!({ "do": "until-cancelled" }).to_string()).await.json();
    let mut here = a.follow(&run).await;
    let mut there = b.follow(&run).await;
    here.until("waiting").await;
    there.until("waiting").await;
    drop(here);
    // Ten seconds after its last reader it would be cancelled: only then is it sure that this one counts.
    let patience = std::time::Duration::from_secs(14);
    let ended = tokio::time::timeout(patience, there.next()).await;
    assert!(ended.is_err(), "it was cancelled while it was read: {ended:?}");
    drop(there);
    eventually("it is cancelled after its last reader", || async {
        a.read_run(&run).await["status"] == "cancelled"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_may_execute_on_another_host_than_its_parent() {
    let Some(cluster) = Cluster::new("children on several hosts") else { return };
    // Fewer places than children: some wait in the queue, and the other host takes them.
    let [a, b] = cluster.two(&["--max-running", "2"]);
    let children: Vec<Value> =
        (0..8).map(|nth| json!({ "task": "probe", "input": { "do": "work", "steps": 20, "ms": 50 }, "key": nth.to_string() })).collect();
    let run = a.probe(json!({ "do": "children", "runs": children })).await;
    eventually("the other host executes a child", || async {
        let hosts = a.get("/api/hosts").await.json();
        hosts["hosts"]
            .as_array()
            .expect("hosts")
            .iter()
            .any(|host| host["answers"] == false && host["runs"] != 0)
    })
    .await;
    let ended = soon("the children", b.finished(&run)).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    let answers = ended["final_value"].as_array().expect("answers").clone();
    assert_eq!(answers.len(), 8);
    for answer in &answers {
        assert!(answer["outcome"]["completed"].is_string(), "{answer}");
    }
    let listed = b.get(&format!("{}?fields=brief", path(&run, "/children"))).await.json();
    assert_eq!(listed.to_string().matches("\"completed\"").count(), 8, "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn children_end_with_a_parent_that_is_cancelled_at_another_host() {
    let Some(cluster) = Cluster::new("abandoned children") else { return };
    let [a, b] = cluster.two(&[]);
    let child = json!({ "task": "probe", "input": { "do": "until-cancelled" } });
    let run = a.probe(json!({ "do": "children", "runs": [child], "then": "wait" })).await;
    let events = b.follow(&run).await.until("started").await;
    let child = json!({ "id": events.last().expect("one").json()["data"][0]["run"] });
    b.cancel(&run).await;
    assert_eq!(b.finished(&run).await["status"], "cancelled");
    eventually("the child ends", || async { b.read_run(&child).await["status"] == "cancelled" }).await;
}
