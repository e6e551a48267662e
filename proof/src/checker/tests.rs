//! Tests that the checker finds violations. Each test breaks one thing in a correct
//! history.

use std::sync::Arc;

use serde_json::{Value, json};
use streamtask_host::model::Timestamp;

use super::check;
use crate::history::{End, History, Sight, StoredEvent, StoredRun, Tail, Told, Work};

/// A run that was interrupted once after its first checkpoint, received a signal and a
/// parameter, and completed.
fn sound() -> (History, Vec<StoredRun>) {
    let work =
        Work { nth: 1, steps: Some(2), burst: 1, save: true, hear: true, attempts: 1, ..Work::default() };
    let events = [
        (1, "run.started", json!({ "attempt": 1 })),
        (1, "begin", json!({ "from": 0, "attempt": 1 })),
        (1, "step", json!({ "step": 1, "part": 0, "attempt": 1 })),
        (1, "run.signal", json!({ "name": "note" })),
        (1, "heard", json!({ "signal": 1, "attempt": 1 })),
        (1, "saved", json!({ "step": 1, "attempt": 1 })),
        (1, "run.retrying", json!({ "attempt": 2, "error": { "kind": "interrupted" } })),
        (2, "run.started", json!({ "attempt": 2 })),
        (2, "begin", json!({ "from": 1, "attempt": 2 })),
        (2, "run.parameter", json!({ "name": "level", "value": 3 })),
        (2, "step", json!({ "step": 2, "part": 0, "attempt": 2 })),
        (2, "level", json!({ "level": 3, "attempt": 2 })),
        (2, "saved", json!({ "step": 2, "attempt": 2 })),
        (2, "run.completed", json!({ "status": "completed" })),
    ];
    let events: Vec<StoredEvent> = (1..)
        .zip(events)
        .map(|(seq, (attempt, kind, data))| StoredEvent {
            seq,
            attempt,
            time: 1_000 + seq as i64,
            kind: kind.to_owned(),
            data,
        })
        .collect();
    let told = Told {
        work: work.clone(),
        key: Some("key".to_owned()),
        own_id: Some("own".to_owned()),
        ids: vec!["own".to_owned(), "own".to_owned()],
        signals: vec![(1, true)],
        levels: vec![(3, true)],
        sent: [("run.signal", 1), ("run.parameter", 1)].into(),
        ..Told::default()
    };
    let lines: Vec<Arc<str>> = events.iter().map(line).collect();
    let sights = vec![
        sight(0, &lines[..8], End::Broken),
        sight(8, &lines[8..], End::Over),
        sight(14, &[], End::Nothing),
    ];
    let run = StoredRun {
        id: "own".to_owned(),
        status: "completed".to_owned(),
        attempt: 2,
        input: work.input(),
        key: told.key.clone(),
        last_seq: Some(14),
        cancel_requested: false,
        events,
        signals: Vec::new(),
        parameters: [("level".to_owned(), json!(3))].into(),
        locks: Vec::new(),
    };
    (History { told: vec![told], sights, ..History::default() }, vec![run])
}

fn line(event: &StoredEvent) -> Arc<str> {
    let time = Timestamp::from_millis(event.time).to_string();
    let (kind, data) = (&event.kind, &event.data);
    json!({ "type": kind, "data": data, "timestamp": time, "seq": event.seq, "attempt": event.attempt })
        .to_string()
        .into()
}

fn sight(after: u64, lines: &[Arc<str>], end: End) -> Sight {
    Sight { client: "a client".to_owned(), run: "own".to_owned(), after, lines: lines.to_vec(), end }
}

/// Breaks one thing; the checker must report the rule.
#[track_caller]
fn finds(rule: &str, breaking: impl FnOnce(&mut History, &mut StoredRun)) {
    let (mut history, mut stored) = sound();
    breaking(&mut history, &mut stored[0]);
    let found = check(&history, &stored).violations;
    assert!(found.iter().any(|violation| violation.what.starts_with(rule)), "{rule}: {found:?}");
}

/// Removes an event and renumbers the rest, as if it had never existed.
fn forget(run: &mut StoredRun, seq: usize) {
    run.events.remove(seq - 1);
    for (event, seq) in run.events.iter_mut().zip(1..) {
        event.seq = seq;
    }
    run.last_seq = Some(run.events.len() as u64);
}

fn insert(run: &mut StoredRun, seq: u64, attempt: u64, kind: &str, data: Value) {
    let event = StoredEvent { seq, attempt, time: 1_000 + seq as i64, kind: kind.to_owned(), data };
    run.events.insert(seq as usize - 1, event);
    for (event, seq) in run.events.iter_mut().zip(1..) {
        event.seq = seq;
    }
    run.last_seq = Some(run.events.len() as u64);
}

#[test]
fn a_sound_history_is_accepted() {
    let (history, stored) = sound();
    let findings = check(&history, &stored);
    assert!(findings.violations.is_empty(), "{:?}", findings.violations);
    assert_eq!(findings.counts["no received event is lost"], 14);
}

#[test]
fn an_event_that_was_seen_and_is_gone_is_found() {
    finds("no received event is lost", |_, run| run.events.truncate(13));
    finds("no received event has changed", |_, run| forget(run, 5));
    finds("no received event is lost", |history, _| history.sights[0].run = "another".to_owned());
}

#[test]
fn an_event_that_has_changed_is_found() {
    finds("no received event has changed", |_, run| run.events[2].data["part"] = json!(1));
    finds("no received event has changed", |_, run| run.events[2].time += 1);
    finds("no received event has changed", |_, run| run.events[2].kind = "stop".to_owned());
}

#[test]
fn a_gap_and_a_repeat_are_found() {
    finds("no gap in any log", |_, run| drop(run.events.remove(4)));
    finds("no client receives gaps or duplicates", |history, _| drop(history.sights[0].lines.remove(3)));
    finds("no client receives gaps or duplicates", |history, _| {
        let line = Arc::clone(&history.sights[0].lines[3]);
        history.sights[0].lines.insert(3, line);
    });
    finds("no client receives gaps or duplicates", |history, _| history.sights[1].after = 7);
    finds("no client receives gaps or duplicates", |history, _| {
        history.sights[0].lines[0] = r#"{"status":404}"#.into();
    });
}

#[test]
fn a_stream_that_ends_too_early_is_found() {
    finds("a stream ends with its run", |history, _| history.sights[0].end = End::Over);
    finds("a stream ends with its run", |history, _| history.sights[2].after = 13);
}

#[test]
fn a_second_end_and_none_are_found() {
    finds("exactly one terminal event, at the end", |_, run| {
        insert(run, 15, 2, "run.completed", json!({}));
    });
    finds("no event after the terminal event", |_, run| {
        insert(run, 15, 3, "run.started", json!({ "attempt": 3 }));
    });
    finds("exactly one terminal event, at the end", |_, run| {
        run.events.pop();
    });
    finds("exactly one terminal event, at the end", |_, run| run.status = "failed".to_owned());
    finds("exactly one terminal event, at the end", |_, run| run.last_seq = None);
}

#[test]
fn attempts_that_nobody_asked_for_are_found() {
    finds("attempt numbers only increase", |_, run| forget(run, 7));
    finds("attempt numbers only increase", |_, run| run.events[7].data["attempt"] = json!(3));
    finds("attempt numbers only increase", |_, run| run.attempt = 3);
    finds("only retryable or checkpointed runs start again", |history, run| {
        history.told[0].work.save = false;
        run.input = history.told[0].work.input();
    });
    finds("only retryable or checkpointed runs start again", |_, run| {
        run.events[6].data["error"]["kind"] = json!("failure");
    });
    finds("no attempt sends events after its end", |_, run| {
        insert(run, 8, 1, "step", json!({ "step": 2, "part": 0, "attempt": 1 }));
    });
    finds("a delayed run starts no earlier than its time", |_, run| {
        run.events[6].data["not_before"] = json!("1970-01-01T00:00:09.000Z");
    });
}

#[test]
fn a_checkpoint_that_is_forgotten_is_found() {
    finds("an attempt continues from the checkpoint", |_, run| run.events[8].data["from"] = json!(0));
    finds("a checkpoint includes all events sent before it", |_, run| {
        run.events[8].data["from"] = json!(2);
    });
    finds("an attempt continues from the checkpoint", |_, run| {
        let failed = json!({ "error": { "kind": "interrupted" } });
        run.status = "failed".to_owned();
        (run.events[13].kind, run.events[13].data) = ("run.failed".to_owned(), failed);
    });
}

#[test]
fn what_a_task_said_and_is_not_there_is_found() {
    finds("no event of a task is missing", |_, run| forget(run, 3));
    finds("a completed run has all of its events", |history, run| {
        history.told[0].work.steps = Some(3);
        run.input = history.told[0].work.input();
    });
    finds("only the task fails a run", |_, run| {
        run.status = "failed".to_owned();
        let trap = json!({ "error": { "kind": "trap" } });
        (run.events[13].kind, run.events[13].data) = ("run.failed".to_owned(), trap);
    });
}

#[test]
fn a_key_that_made_two_runs_is_found() {
    finds("exactly one run per key", |history, _| history.told[0].ids[1] = "two".to_owned());
    finds("exactly one run per key", |history, _| history.told[0].own_id = Some("other".to_owned()));
    finds("every started run exists", |history, _| {
        history.told[0].ids = vec!["gone".to_owned()];
    });
    let (history, mut stored) = sound();
    stored.push(StoredRun { id: "two".to_owned(), ..stored[0].clone() });
    let found = check(&history, &stored).violations;
    assert!(found.iter().any(|violation| violation.what.starts_with("exactly one run per key")), "{found:?}");
    stored[1].input = json!({ "nth": 2 });
    let found = check(&history, &stored).violations;
    assert!(found.iter().any(|violation| violation.what.starts_with("no run without a start")), "{found:?}");
}

#[test]
fn a_promise_to_a_client_that_is_broken_is_found() {
    finds("an acknowledged cancel takes effect", |history, _| history.told[0].cancel = Some(true));
    finds("no run is cancelled without a request", |_, run| run.status = "cancelled".to_owned());
    finds("no client detects a fault", |history, _| {
        history.told[0].faults.push("paused, and then running".to_owned());
    });
    finds("acknowledged operations are in the log", |history, _| history.told[0].pauses = 1);
    finds("acknowledged operations are in the log", |_, run| forget(run, 4));
}

#[test]
fn a_signal_that_is_lost_or_doubled_is_found() {
    finds("signals are received at most once, in order", |_, run| {
        insert(run, 6, 1, "heard", json!({ "signal": 1, "attempt": 1 }));
    });
    finds("only sent signals are received", |history, _| history.told[0].signals.clear());
    // One may be lost with each interrupted attempt.
    finds("no signal is lost", |history, _| history.told[0].signals.extend([(2, true), (3, true)]));
    let (mut history, stored) = sound();
    history.told[0].signals.push((2, false));
    assert!(check(&history, &stored).violations.is_empty(), "the host never acknowledged it");
}

#[test]
fn a_parameter_that_is_lost_is_found() {
    finds("no parameter is lost", |_, run| run.parameters.clear());
    finds("no parameter is lost", |history, _| history.told[0].levels.push((4, true)));
    finds("no parameter is lost", |_, run| run.events[11].data["level"] = json!(2));
    finds("no parameter is lost", |_, run| {
        insert(run, 13, 2, "level", json!({ "level": 2, "attempt": 2 }));
    });
}

#[test]
fn a_message_that_is_noted_twice_is_found() {
    finds("no message is noted twice", |_, run| insert(run, 5, 1, "run.signal", json!({ "name": "note" })));
    finds("no message is noted twice", |history, run| {
        // A request was lost and came through, but not that of this value.
        history.told[0].sent.insert("run.parameter", 3);
        insert(run, 11, 2, "run.parameter", json!({ "name": "level", "value": 3 }));
    });
}

#[test]
fn an_event_of_an_attempt_that_another_host_has_ended_is_found() {
    finds("no event of an attempt after the next began", |_, run| {
        insert(run, 11, 1, "run.signal", json!({ "name": "note" }));
    });
}

#[test]
fn a_lock_that_two_runs_hold_at_once_is_found() {
    let (history, mut stored) = sound();
    stored[0].locks = vec![("device".to_owned(), 1), ("group".to_owned(), 2)];
    stored.push(StoredRun { id: "other".to_owned(), ..stored[0].clone() });
    let found = check(&history, &stored).violations;
    let found: Vec<&str> = found.iter().map(|violation| violation.what.as_str()).collect();
    let of_lock = |name: &str| {
        let rule = format!("no lock is held above its capacity: {name}");
        found.iter().any(|what| what.starts_with(&rule))
    };
    assert!(of_lock("device") && !of_lock("group"), "{found:?}");
    for event in &mut stored[1].events {
        event.time += 100;
    }
    let found = check(&history, &stored).violations;
    assert!(
        !found.iter().any(|violation| violation.what.contains("device")),
        "one after the other: {found:?}"
    );
}

#[test]
fn a_run_that_a_reader_of_all_misses_or_sees_twice_is_found() {
    let rule = "a reader of all runs sees every run once";
    let seen = |seqs: &[u64]| {
        let seen = [("own".to_owned(), seqs.to_vec())];
        vec![Tail { host: 1, seen: seen.into() }]
    };
    finds(rule, |history, _| history.tails = vec![Tail::default()]);
    finds(rule, |history, _| history.tails = seen(&[1, 8]));
    finds(rule, |history, _| history.tails = seen(&[1, 8, 8, 14]));
    let (mut history, stored) = sound();
    history.tails = seen(&[1, 8, 14]);
    assert!(check(&history, &stored).violations.is_empty(), "it saw both attempts and the end");
}

#[test]
fn a_counter_that_differs_from_its_rows_is_found() {
    finds("counters agree with the rows", |history, _| {
        history.row_faults.push("lock device: 2 in use, held by 1".to_owned());
    });
}
