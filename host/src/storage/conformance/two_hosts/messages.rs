//! Cancels and messages that one host sends to a run of the other.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join;
use parking_lot::Mutex;

use super::super::{TestOutbox, claim, claimed, event, events, get, new_run, queued};
use super::{end, in_time, leave, sides};
use crate::model::{Json, NewEvent, RunStatus, Signal, SignalName};
use crate::storage::{CancelOutcome, MessageOutcome, Storage};

pub(super) async fn run(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    in_time(a_cancel_and_an_end_agree(a, b)).await;
    in_time(messages_from_the_other_are_noted_once_and_in_order(a, b)).await;
    in_time(a_message_and_the_end_of_its_run_agree(a, b)).await;
}

async fn a_cancel_and_an_end_agree(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    let sides = sides(a, b).await;
    for _ in 0..20 {
        let run = claimed(&**a, new_run("cancelled"), &sides[0].host).await;
        let id = &run.run.key.id;
        let (cancelled, ()) = join(b.cancel(id), end(&**a, &run)).await;
        let expected = match cancelled.expect("cancels") {
            CancelOutcome::Requested { .. } => RunStatus::Cancelled,
            CancelOutcome::AlreadyEnded(_) => RunStatus::Completed,
            other => panic!("it has an owner, or has ended: {other:?}"),
        };
        assert_eq!(get(&**b, id).await.status, expected);
        let ends = events(&**b, run.run.key.no).await.iter().filter(|event| event.is_terminal()).count();
        assert_eq!(ends, 1);
    }
    // And of a run that waits: either it is claimed, or it has ended.
    for _ in 0..20 {
        let run = queued(&**a, new_run("cancelled")).await;
        let claiming = claim(&**a, &sides[0].host, &[("cancelled", 1)], 1);
        let (cancelled, claimed) = join(b.cancel(&run.key.id), claiming).await;
        match (cancelled.expect("cancels"), &claimed[..]) {
            (CancelOutcome::Ended(_), []) => {}
            (CancelOutcome::Requested { .. }, [claimed]) => end(&**a, claimed).await,
            other => panic!("{other:?}"),
        }
        assert_eq!(get(&**a, &run.key.id).await.status, RunStatus::Cancelled);
    }
    leave(sides).await;
}

fn signal(nth: usize) -> Signal {
    let name = SignalName::parse(&format!("s{nth}")).expect("a valid name");
    Signal { name, payload: Json::of(&nth) }
}

async fn messages_from_the_other_are_noted_once_and_in_order(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    const MESSAGES: usize = 40;
    let sides = sides(a, b).await;
    let owner = &sides[0].host;
    let run = claimed(&**a, new_run("told"), owner).await;
    let key = &run.run.key;
    let sent: Mutex<Vec<(i64, String)>> = Mutex::default();
    let send = async |storage: &Arc<dyn Storage>, first: usize| {
        for nth in (first..MESSAGES).step_by(2) {
            let signal = signal(nth);
            let name = signal.name.as_str().to_owned();
            match storage.signal(&key.id, signal).await.expect("sends") {
                MessageOutcome::Owner { message, .. } => sent.lock().push((message, name)),
                other => panic!("it has an owner: {other:?}"),
            }
        }
    };
    let note = async || {
        let outbox = TestOutbox::new(key.no, run.fence);
        let mut noted = BTreeSet::new();
        while noted.len() < MESSAGES {
            outbox.fill([event("own", 1)]);
            for message in a.messages(owner, 7).await.expect("reads") {
                if noted.insert(message.no) {
                    outbox.note(&message);
                }
            }
            a.append(Arc::clone(&outbox) as _);
            outbox.result().await.expect("appends");
        }
    };
    join(join(send(a, 0), send(b, 1)), note()).await;
    assert_eq!(b.messages(owner, 9).await.expect("reads"), []);
    let mut sent = sent.into_inner();
    sent.sort_unstable();
    for (message, _) in &sent {
        assert!(*message > 0 && b.is_noted(*message).await.expect("reads"));
    }
    let log = events(&**b, key.no).await;
    assert!(log.iter().zip(1..).all(|(event, seq)| event.seq == seq));
    let notes = log.iter().filter(|event| event.what.event_type.as_str() == "run.signal");
    let noted: Vec<NewEvent> = notes.map(|event| event.what.clone()).collect();
    let expected: Vec<NewEvent> = sent
        .iter()
        .zip(&noted)
        .map(|((_, name), noted)| NewEvent {
            time: noted.time,
            ..NewEvent::signalled(&SignalName::parse(name).expect("a valid name"))
        })
        .collect();
    assert_eq!(noted, expected, "each once, in the order of their numbers");
    for _ in 0..MESSAGES {
        assert!(a.take_signal(key, run.fence, None).await.expect("takes").is_some());
    }
    assert!(a.take_signal(key, run.fence, None).await.expect("takes").is_none());
    end(&**a, &run).await;
    leave(sides).await;
}

async fn a_message_and_the_end_of_its_run_agree(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    let sides = sides(a, b).await;
    for nth in 0..20 {
        let run = claimed(&**a, new_run("told-late"), &sides[0].host).await;
        let key = &run.run.key;
        let leaves = async || match nth % 2 {
            0 => end(&**a, &run).await,
            _ => drop(a.requeue(key, run.fence, NewEvent::queued(None), None).await.expect("puts back")),
        };
        let (reached, ()) = join(b.signal(&key.id, signal(nth)), leaves()).await;
        let expected = match reached.expect("sends") {
            MessageOutcome::Owner { message, .. } => {
                assert!(b.is_noted(message).await.expect("reads"), "the run has left its owner");
                1
            }
            MessageOutcome::Kept(_) => 1,
            MessageOutcome::AlreadyEnded(_) => 0,
            other => panic!("{other:?}"),
        };
        let log = events(&**b, key.no).await;
        let notes = log.iter().filter(|event| event.what.event_type.as_str() == "run.signal").count();
        assert_eq!(notes, expected, "an acknowledged message is in the log once");
        assert!(log.iter().zip(1..).all(|(event, seq)| event.seq == seq));
        b.cancel(&key.id).await.expect("ends");
    }
    leave(sides).await;
}
