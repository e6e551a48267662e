//! Delays, pauses, and messages to runs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::hosts::until_the_lease_is_over;
use super::{
    TestOutbox, claim, claimant, claimed, event, events, get, host, host_with_lease, new_run, queued, types,
};
use crate::model::{
    ErrorKind, Event, Json, NewEvent, Outcome, RunError, RunId, RunStatus, Signal, SignalName, Timestamp,
};
use crate::storage::{
    CancelOutcome, MAX_WAITING_SIGNALS, Message, MessageKind, MessageOutcome, NewRun, Storage, StorageError,
    SubmitOutcome,
};

pub(super) async fn run<F: Future<Output = Arc<dyn Storage>>>(open: &impl Fn() -> F) {
    a_delayed_run_waits_until_it_is_due(&*open().await).await;
    a_cancelled_run_is_not_requeued(&*open().await).await;
    a_run_that_ends_while_it_is_cancelled_is_cancelled(&*open().await).await;
    a_paused_run_keeps_its_position_and_its_delay(&*open().await).await;
    signals_are_taken_once_in_order_and_by_name(&*open().await).await;
    an_ended_run_receives_no_messages(&*open().await).await;
    a_message_is_logged_if_the_run_has_no_owner(&*open().await).await;
    a_message_to_another_host_is_kept_until_it_is_noted(open().await).await;
    a_message_that_its_owner_has_not_noted_is_noted_when_the_run_leaves_it(&*open().await).await;
    a_message_is_noted_by_whoever_settles_the_run_of_a_dead_host(open().await).await;
    a_message_to_an_orphan_is_kept(&*open().await).await;
}

fn name(text: &str) -> SignalName {
    SignalName::parse(text).expect("a valid name")
}

fn signal(text: &str, payload: i32) -> Signal {
    Signal { name: name(text), payload: Json::of(&payload) }
}

async fn a_delayed_run_waits_until_it_is_due(storage: &dyn Storage) {
    let owner = host(storage).await;
    let run = claimed(storage, new_run("a"), &owner).await;
    let key = run.run.key.clone();
    // Long enough for the calls until then, on a slow machine.
    let due = Timestamp::now().plus_millis(1_000);
    storage.requeue(&key, run.fence, NewEvent::queued(None), Some(due)).await.expect("puts back");
    let delayed = get(storage, &key.id).await;
    assert_eq!((delayed.status, delayed.not_before), (RunStatus::Delayed, Some(due)));
    let waiting = storage.queue_state().await.expect("reads");
    assert_eq!((waiting.queued, waiting.next_due), (false, Some(due)));
    assert!(claim(storage, &owner, &[("a", 1)], 1).await.is_empty());
    // A later run does not wait for it.
    let other = claimed(storage, new_run("a"), &owner).await;
    storage.finish(&other.run.key, other.fence, Outcome::Cancelled(None)).await.expect("ends");

    while Timestamp::now() < due {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let again = claim(storage, &owner, &[("a", 1)], 1).await;
    assert_eq!((again.len(), again[0].run.attempt, again[0].run.not_before), (1, 2, None));
    let later = Timestamp::now().plus_millis(3_600_000);
    storage.requeue(&key, again[0].fence, NewEvent::queued(None), Some(later)).await.expect("puts back");
    assert!(matches!(storage.cancel(&key.id).await, Ok(CancelOutcome::Ended(_))), "it has no owner to ask");
}

async fn a_cancelled_run_is_not_requeued(storage: &dyn Storage) {
    let run = claimed(storage, new_run("a"), &host(storage).await).await;
    let key = run.run.key.clone();
    assert!(matches!(storage.cancel(&key.id).await, Ok(CancelOutcome::Requested { .. })));
    let later = Timestamp::now().plus_millis(3_600_000);
    let written = storage.requeue(&key, run.fence, NewEvent::queued(None), Some(later)).await.expect("ends");
    assert!(written.last().is_some_and(Event::is_terminal));
    assert_eq!(get(storage, &key.id).await.status, RunStatus::Cancelled);
    assert_eq!(types(&events(storage, key.no).await), ["run.started", "run.cancelled"]);
}

async fn a_run_that_ends_while_it_is_cancelled_is_cancelled(storage: &dyn Storage) {
    let failed = Outcome::Failed(RunError::new(ErrorKind::Failure, "as asked"));
    for (outcome, value) in [(Outcome::Completed(Json::of(&7)), Some(Json::of(&7))), (failed, None)] {
        let run = claimed(storage, new_run("a"), &host(storage).await).await;
        let key = run.run.key.clone();
        assert!(matches!(storage.cancel(&key.id).await, Ok(CancelOutcome::Requested { .. })));
        storage.finish(&key, run.fence, outcome).await.expect("ends");
        let ended = get(storage, &key.id).await;
        assert_eq!((ended.status, ended.final_value, ended.error), (RunStatus::Cancelled, value, None));
        assert_eq!(types(&events(storage, key.no).await), ["run.started", "run.cancelled"]);
    }
}

async fn a_paused_run_keeps_its_position_and_its_delay(storage: &dyn Storage) {
    let owner = host(storage).await;
    let (first, second) = (queued(storage, new_run("a")).await, queued(storage, new_run("a")).await);
    assert!(matches!(storage.set_paused(&first.key.id, true).await, Ok(MessageOutcome::Kept(_))));
    assert!(matches!(storage.set_paused(&first.key.id, true).await, Ok(MessageOutcome::Unchanged(_))));
    let run = claim(storage, &owner, &[("a", 9)], 9).await;
    assert_eq!(run.iter().map(|run| &run.run.key.id).collect::<Vec<_>>(), [&second.key.id]);
    assert!(!storage.queue_state().await.expect("reads").queued);
    assert!(matches!(storage.set_paused(&first.key.id, false).await, Ok(MessageOutcome::Kept(_))));
    let expected = ["run.queued", "run.paused", "run.resumed"];
    assert_eq!(types(&events(storage, first.key.no).await), expected);

    // For a running run, the owner logs the pause. After a requeue, it stays paused.
    assert!(matches!(storage.set_paused(&second.key.id, true).await, Ok(MessageOutcome::Owner { .. })));
    let later = Timestamp::now().plus_millis(3_600_000);
    storage.requeue(&second.key, run[0].fence, NewEvent::queued(None), Some(later)).await.expect("puts back");
    assert_eq!(get(storage, &second.key.id).await.status, RunStatus::Paused);
    storage.set_paused(&second.key.id, false).await.expect("goes on");
    assert_eq!(get(storage, &second.key.id).await.status, RunStatus::Delayed, "its time has not come");
    let claimed = claim(storage, &owner, &[("a", 9)], 9).await;
    assert_eq!(claimed.len(), 1, "the first waits again");
}

async fn signals_are_taken_once_in_order_and_by_name(storage: &dyn Storage) {
    let owner = host(storage).await;
    let waits = queued(storage, new_run("a")).await;
    assert!(matches!(storage.signal(&waits.key.id, signal("a", 1)).await, Ok(MessageOutcome::Kept(_))));
    let run = claim(storage, &owner, &[("a", 1)], 1).await.remove(0);
    for (text, payload) in [("b", 2), ("a", 3)] {
        let reached = storage.signal(&waits.key.id, signal(text, payload)).await;
        assert!(matches!(reached, Ok(MessageOutcome::Owner { .. })));
    }
    let take = async |name| storage.take_signal(&run.run.key, run.fence, name).await.expect("takes");
    assert_eq!(take(Some(name("b"))).await, Some(signal("b", 2)));
    assert_eq!(take(None).await, Some(signal("a", 1)));
    assert_eq!(take(Some(name("b"))).await, None);
    assert_eq!(take(None).await, Some(signal("a", 3)));
    assert_eq!(take(None).await, None);

    storage.set_parameter(&waits.key.id, name("p"), Json::of(&1)).await.expect("sets");
    storage.set_parameter(&waits.key.id, name("p"), Json::of(&2)).await.expect("sets");
    assert_eq!(storage.parameters(waits.key.no).await.expect("reads"), [(name("p"), Json::of(&2))]);
    let new = NewRun { parameters: vec![(name("p"), Json::of(&3))], ..new_run("b") };
    let submitted = storage.submit(new, claimant(&owner)).await.expect("submits");
    let SubmitOutcome::Queued(run) = submitted else { panic!("it would begin without them: {submitted:?}") };
    assert_eq!(storage.parameters(run.key.no).await.expect("reads"), [(name("p"), Json::of(&3))]);
    let claimed = claim(storage, &owner, &[("b", 1)], 1).await.remove(0);
    assert_eq!(claimed.last_seq, 3, "queued, parameter, started");
    for nth in 0..MAX_WAITING_SIGNALS {
        storage.signal(&waits.key.id, signal("a", nth as i32)).await.expect("keeps");
    }
    let refused = storage.signal(&waits.key.id, signal("a", 0)).await;
    assert!(matches!(refused, Err(StorageError::Limit(_))));
}

async fn an_ended_run_receives_no_messages(storage: &dyn Storage) {
    let run = queued(storage, new_run("a")).await;
    storage.cancel(&run.key.id).await.expect("ends");
    assert!(matches!(storage.set_paused(&run.key.id, true).await, Ok(MessageOutcome::AlreadyEnded(_))));
    assert!(matches!(storage.signal(&run.key.id, signal("a", 1)).await, Ok(MessageOutcome::AlreadyEnded(_))));
    let set = storage.set_parameter(&run.key.id, name("p"), Json::null()).await;
    assert!(matches!(set, Ok(MessageOutcome::AlreadyEnded(_))));
    assert!(matches!(storage.set_paused(&RunId::new(), true).await, Ok(MessageOutcome::NotFound)));
}

async fn a_message_is_logged_if_the_run_has_no_owner(storage: &dyn Storage) {
    let run = claimed(storage, new_run("a"), &host(storage).await).await;
    let key = run.run.key.clone();
    let note = async || storage.log_message(&key.id, NewEvent::signalled(&name("x"))).await.expect("notes");
    assert!(matches!(note().await, MessageOutcome::Owner { .. }));
    storage.requeue(&key, run.fence, NewEvent::queued(None), None).await.expect("puts back");
    assert!(matches!(note().await, MessageOutcome::Kept(_)));
    storage.cancel(&key.id).await.expect("ends");
    assert!(matches!(note().await, MessageOutcome::AlreadyEnded(_)));
    let expected = ["run.started", "run.queued", "run.signal", "run.cancelled"];
    assert_eq!(types(&events(storage, key.no).await), expected);
}

/// Sends one message of each kind but a cancel to a run with an owner. Returns their numbers.
async fn send_all(storage: &dyn Storage, run: &RunId) -> Vec<i64> {
    let sent = [
        storage.set_paused(run, true).await,
        storage.signal(run, signal("go", 1)).await,
        storage.set_parameter(run, name("p"), Json::of(&2)).await,
        storage.set_paused(run, false).await,
    ];
    let number = |outcome| match outcome {
        Ok(MessageOutcome::Owner { message, .. }) => message,
        other => panic!("the run has an owner: {other:?}"),
    };
    sent.into_iter().map(number).collect()
}

fn kinds(messages: &[Message]) -> Vec<MessageKind> {
    messages.iter().map(|message| message.kind.clone()).collect()
}

const NOTES: [&str; 4] = ["run.paused", "run.signal", "run.parameter", "run.resumed"];

async fn a_message_to_another_host_is_kept_until_it_is_noted(storage: Arc<dyn Storage>) {
    let (owner, sender) = (host(&*storage).await, host(&*storage).await);
    let run = claimed(&*storage, new_run("a"), &owner).await;
    let other = claimed(&*storage, new_run("a"), &owner).await;
    let key = &run.run.key;
    let kept = async |host, limit| storage.messages(host, limit).await.expect("reads");
    let is_noted = async |message| storage.is_noted(message).await.expect("reads");
    assert_eq!(kept(&owner, 9).await, []);
    let mut sent = send_all(&*storage, &key.id).await;
    let Ok(CancelOutcome::Requested { message, .. }) = storage.cancel(&key.id).await else {
        panic!("it runs")
    };
    sent.push(message);
    assert!(sent[0] > 0 && sent.is_sorted() && sent.iter().zip(&sent[1..]).all(|(one, next)| one != next));
    let messages = kept(&owner, 9).await;
    assert_eq!(messages.iter().map(|message| message.no).collect::<Vec<_>>(), sent);
    assert!(messages.iter().all(|message| message.run == *key));
    let (go, p, two) = (name("go"), name("p"), Json::of(&2));
    let expected = [
        MessageKind::Pause,
        MessageKind::Signal(go),
        MessageKind::Parameter(p, two),
        MessageKind::Resume,
        MessageKind::Cancel,
    ];
    assert_eq!(kinds(&messages), expected);
    assert_eq!(kept(&owner, 2).await, messages[..2]);
    assert_eq!(kept(&sender, 9).await, [], "it owns no run");
    assert!(!is_noted(sent[0]).await && is_noted(0).await);

    // The log of another run is no place for it.
    let stray = TestOutbox::new(other.run.key.no, other.fence);
    stray.note(&messages[0]);
    storage.append(Arc::clone(&stray) as _);
    stray.result().await.expect("appends");
    assert_eq!(kept(&owner, 9).await, messages);

    let outbox = TestOutbox::new(key.no, run.fence);
    outbox.fill([event("before", 1)]);
    messages[..2].iter().for_each(|message| outbox.note(message));
    storage.append(Arc::clone(&outbox) as _);
    outbox.result().await.expect("appends");
    assert_eq!(kept(&owner, 9).await, messages[2..]);
    assert!(is_noted(sent[1]).await && !is_noted(sent[2]).await);
    // A cancel needs no note: a batch without events.
    outbox.note(&messages[4]);
    storage.append(Arc::clone(&outbox) as _);
    assert_eq!(outbox.result().await.expect("appends"), []);
    assert_eq!(kept(&owner, 9).await, messages[2..4]);

    // The rest is noted with the end.
    let written = storage.finish(key, run.fence, Outcome::Completed(Json::null())).await.expect("finishes");
    assert_eq!(kept(&owner, 9).await, []);
    assert!(is_noted(sent[2]).await);
    let all = events(&*storage, key.no).await;
    assert_eq!(types(&written), ["run.parameter", "run.resumed", "run.cancelled"]);
    assert_eq!(written, all[4..]);
    assert_eq!(types(&all[..4]), ["run.started", "before", "run.paused", "run.signal"]);
    assert!(all.iter().zip(1..).all(|(event, seq)| event.seq == seq && event.attempt == 1));
    assert_eq!(get(&*storage, &key.id).await.last_seq, Some(7));
}

async fn a_message_that_its_owner_has_not_noted_is_noted_when_the_run_leaves_it(storage: &dyn Storage) {
    let (owner, _sender) = (host(storage).await, host(storage).await);
    let run = claimed(storage, new_run("a"), &owner).await;
    let key = &run.run.key;
    let sent = send_all(storage, &key.id).await;
    let written = storage.requeue(key, run.fence, NewEvent::queued(None), None).await.expect("puts back");
    assert_eq!(types(&written), [&NOTES[..], &["run.queued"]].concat());
    assert_eq!(written, events(storage, key.no).await[1..]);
    for message in sent {
        assert!(storage.is_noted(message).await.expect("reads"));
    }
    // Without an owner, it is logged at once.
    assert!(matches!(storage.signal(&key.id, signal("go", 2)).await, Ok(MessageOutcome::Kept(_))));
    assert_eq!(storage.messages(&owner, 9).await.expect("reads"), []);
    let again = claim(storage, &owner, &[("a", 1)], 1).await;
    assert_eq!(again[0].last_seq, 8);
}

async fn a_message_is_noted_by_whoever_settles_the_run_of_a_dead_host(storage: Arc<dyn Storage>) {
    let (dead, heir) = (host_with_lease(&*storage, 0).await, host(&*storage).await);
    let run = claimed(&*storage, new_run("a"), &dead).await;
    let key = &run.run.key;
    let sent = send_all(&*storage, &key.id).await;
    let messages = storage.messages(&dead, 9).await.expect("reads");
    until_the_lease_is_over().await;
    let taken = storage.claim_orphans(&heir, 9).await.expect("takes over");
    // The former owner has lost the right to note them.
    let late = TestOutbox::new(key.no, run.fence);
    messages.iter().for_each(|message| late.note(message));
    storage.append(Arc::clone(&late) as _);
    assert!(matches!(late.result().await, Err(StorageError::Fenced)));
    assert!(!storage.is_noted(sent[0]).await.expect("reads"));
    let written =
        storage.requeue(key, taken[0].fence, NewEvent::queued(None), None).await.expect("puts back");
    assert_eq!(types(&written), [&NOTES[..], &["run.queued"]].concat());
    let expected = [&["run.started"], &NOTES[..], &["run.queued"]].concat();
    assert_eq!(types(&events(&*storage, key.no).await), expected);
    assert!(storage.is_noted(sent[0]).await.expect("reads"));
}

/// Its owner is gone, and nobody has claimed it: the only host that is left can't reach it.
async fn a_message_to_an_orphan_is_kept(storage: &dyn Storage) {
    let (gone, heir) = (host(storage).await, host(storage).await);
    let run = claimed(storage, new_run("a"), &gone).await;
    let key = &run.run.key;
    storage.leave(&gone).await.expect("leaves");
    let sent = send_all(storage, &key.id).await;
    assert!(sent.iter().all(|message| *message > 0), "{sent:?}");
    let taken = storage.claim_orphans(&heir, 9).await.expect("takes over");
    let ended = storage.finish(key, taken[0].fence, Outcome::Cancelled(None)).await.expect("finishes");
    assert_eq!(types(&ended), [&NOTES[..], &["run.cancelled"]].concat());
}
