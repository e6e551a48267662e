//! Promise 2: in order, at least once, no gap. A client that comes back with its
//! last id gets exactly what followed.

use rusqlite::Connection;
use serde_json::{Value, json};
use streamtask_tests::{Event, TestHost};

/// The numbers of all events up to the end, read by a client that comes back with
/// `id`.
async fn resumed(host: &TestHost, run: &Value, id: &str) -> Vec<Event> {
    let stream = host.follow_with(run, "", &[("last-event-id", id)]).await;
    assert_eq!(stream.status, 200);
    stream.rest().await
}

fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().map(Event::seq).collect()
}

async fn finished_run(host: &TestHost, events: u64) -> Value {
    host.run(json!({ "do": "flood", "events": events })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_exactly_what_followed_however_much_is_stored() {
    let host = TestHost::start().await;
    for stored in [0, 1, 10_001, 1_000_000] {
        let run = finished_run(&host, stored).await;
        // `run.started` comes before, the terminal event after.
        let last = stored + 2;
        let mut positions = vec![0, 1, last / 2, last.saturating_sub(600), last - 1];
        positions.dedup();
        for position in positions {
            let events = resumed(&host, &run, &position.to_string()).await;
            assert!(
                seqs(&events).iter().copied().eq(position + 1..=last),
                "{stored} stored, after {position}"
            );
            assert!(events.last().unwrap().is_terminal());
        }
        let stream = host.follow_with(&run, "", &[("last-event-id", &last.to_string())]).await;
        assert_eq!(stream.status, 204, "who has the end is told not to come back");
        assert_eq!(host.follow_with(&run, &format!("after={last}"), &[]).await.status, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crossing_from_history_to_live_loses_and_repeats_nothing() {
    let host = TestHost::start().await;
    // Long enough that clients join at all stages: far behind, in the window, at its edge, at the head.
    let run = host.probe(json!({ "do": "flood", "events": 60_000, "pause_ms": 1, "bytes": 50 })).await;
    let last = 60_002;
    let mut clients = Vec::new();
    let mut seen = host.follow(&run).await;
    for nth in 0..120u64 {
        seen.take(300).await;
        let head: u64 = 300 * (nth + 1);
        let after = match nth % 4 {
            0 => 0,
            1 => head,
            2 => head.saturating_sub(nth * 7),
            _ => head / 2,
        };
        let stream = host.follow_with(&run, "", &[("last-event-id", &after.to_string())]).await;
        clients.push((after, tokio::spawn(stream.rest())));
    }
    seen.rest().await;
    for (after, client) in clients {
        let seqs = seqs(&client.await.unwrap());
        assert!(
            seqs.iter().copied().eq(after + 1..=last),
            "after {after}: {} events, from {:?}",
            seqs.len(),
            seqs.first()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_loses_its_connection_again_and_again_misses_nothing() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "flood", "events": 20_000, "pause_ms": 1 })).await;
    let mut seen: Vec<Event> = Vec::new();
    while seen.last().is_none_or(|event| !event.is_terminal()) {
        let id = seen.last().map_or("0".to_owned(), |event| event.id.clone());
        let mut stream = host.follow_with(&run, "", &[("last-event-id", &id)]).await;
        let mut count = 0;
        // Gone after a few events, wherever that is.
        while count < 7 + seen.len() % 500
            && let Some(event) = stream.next().await
        {
            seen.push(event);
            count += 1;
        }
    }
    assert!(seqs(&seen).into_iter().eq(1..=20_002));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_the_log_never_had_are_told_and_everything_is_sent() {
    let host = TestHost::start().await;
    let run = finished_run(&host, 3).await;
    for id in ["99", "-1", "abc", "1.5", "99999999999999999999999", "ü"] {
        let events = resumed(&host, &run, id).await;
        assert_eq!(events[0].name, "gap", "{id}");
        let data = &events[0].json()["data"];
        assert_eq!((&data["reason"], &data["requested"]), (&json!("unknown-position"), &json!(id)));
        assert_eq!(seqs(&events[1..]), [1, 2, 3, 4, 5], "{id}");
    }
    for query in ["after=-1", "after=abc", "after=1.5", "tail=-1", "tail=x", "from=then"] {
        let path = format!("{}?{query}", run["stream"].as_str().unwrap());
        host.get(&path).await.problem(400, "invalid-parameter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_in_the_query_is_taken_at_its_word_and_the_header_wins() {
    let host = TestHost::start().await;
    let run = finished_run(&host, 10).await;
    let read = async |query: &str, headers: &[(&str, &str)]| {
        seqs(&host.follow_with(&run, query, headers).await.rest().await)
    };
    assert_eq!(read("after=9", &[]).await, [10, 11, 12]);
    assert_eq!(read("tail=2", &[]).await, [11, 12]);
    assert_eq!(read("tail=1000", &[]).await.len(), 12);
    assert_eq!(read("from=latest", &[]).await, [12]);
    assert_eq!(read("from=start", &[]).await.len(), 12);
    assert_eq!(host.follow_with(&run, "from=now", &[]).await.status, 204, "nothing will come");
    assert_eq!(read("from=now", &[("last-event-id", "10")]).await, [11, 12]);
    assert_eq!(read("after=3", &[("last-event-id", "10")]).await, [11, 12]);
    // Larger than what a database can count to.
    for beyond in [13, 1 << 63, u64::MAX] {
        assert_eq!(host.follow_with(&run, &format!("after={beyond}"), &[]).await.status, 204, "{beyond}");
    }
    let path = format!("{}?after={}", run["stream"].as_str().unwrap(), u128::from(u64::MAX) + 1);
    host.get(&path).await.problem(400, "invalid-parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_now_or_at_the_latest_event_skips_what_was_before() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "ticks", "n": 30, "ms": 20 })).await;
    host.follow(&run).await.take(5).await;
    let from_now = host.follow_with(&run, "from=now", &[]).await.rest().await;
    let latest = host.follow_with(&run, "from=latest", &[]).await.rest().await;
    assert!(from_now[0].seq() > 5);
    assert!(seqs(&from_now).into_iter().eq(from_now[0].seq()..=32));
    assert_eq!(seqs(&latest), [32], "the run has ended: its last event is the latest");
}

#[tokio::test(flavor = "multi_thread")]
async fn pruned_events_are_told_as_a_gap() {
    let host = TestHost::start().await;
    let run = finished_run(&host, 1000).await;
    let stopped = host.stop().await;
    {
        let db = Connection::open(stopped.config.data.join("streamtask.db")).unwrap();
        let pruned = db.execute("DELETE FROM events WHERE id & 4294967295 BETWEEN 1 AND 700", []).unwrap();
        assert_eq!(pruned, 700);
    }
    let host = stopped.restart().await;
    for after in [0, 1, 300, 699] {
        let events = resumed(&host, &run, &after.to_string()).await;
        assert_eq!(events[0].name, "gap");
        assert_eq!(events[0].json()["data"], json!({ "from": after + 1, "to": 700, "reason": "pruned" }));
        assert_eq!(events[0].id, "700", "who loses the connection here does not get the gap again");
        assert!(seqs(&events[1..]).into_iter().eq(701..=1002));
    }
    assert!(
        seqs(&resumed(&host, &run, "700").await).into_iter().eq(701..=1002),
        "no gap for who has missed nothing"
    );
}
