//! Removal of ended runs.

use std::future::Future;
use std::sync::Arc;

use super::{append, claimed, event, events, get, host, new_run, queued, task};
use crate::model::{
    Amount, EndPosition, EndedFilter, EndedRun, Json, NewEvent, Outcome, Part, RunKey, SignalName, Timestamp,
};
use crate::storage::{Claimed, NewRun, Parent, RunFilter, Storage, SubmitOutcome};

pub(super) async fn run<F: Future<Output = Arc<dyn Storage>>>(open: &impl Fn() -> F) {
    runs_are_found_in_the_order_in_which_they_ended(&*open().await).await;
    a_removed_run_leaves_nothing(open().await).await;
    the_terminal_event_of_a_run_stays_without_its_other_events(open().await).await;
    many_events_are_removed_in_consistent_steps(open().await).await;
    runs_that_have_not_ended_are_left_alone(open().await).await;
    a_child_stays_as_long_as_its_parent_lives(open().await).await;
    a_number_is_never_used_twice(open().await).await;
    the_end_of_removed_events_is_stored(&*open().await).await;
    the_state_of_sweeps_is_stored(&*open().await).await;
}

async fn end(storage: &dyn Storage, run: &Claimed) -> EndPosition {
    let key = &run.run.key;
    storage.finish(key, run.fence, Outcome::Completed(Json::of(&7))).await.expect("finishes");
    let at = get(storage, &key.id).await.finished_at.expect("ended");
    EndPosition { at, run: key.no }
}

/// Makes a run that has ended. Returns its number.
#[cfg(test)]
pub(in crate::storage) async fn ended_run(storage: &dyn Storage) -> i64 {
    let run = claimed(storage, new_run("a"), &host(storage).await).await;
    end(storage, &run).await;
    run.run.key.no
}

async fn prune(storage: &dyn Storage, run: i64, part: Part) -> Amount {
    let mut amount = Amount::default();
    loop {
        let pruned = storage.prune(vec![run], part).await.expect("prunes");
        amount += pruned.amount;
        if pruned.done == 1 {
            return amount;
        }
    }
}

const ALL: EndPosition = EndPosition { at: Timestamp::from_millis(i64::MAX), run: 0 };

async fn runs_are_found_in_the_order_in_which_they_ended(storage: &dyn Storage) {
    let owner = host(storage).await;
    let mut runs: Vec<Claimed> = Vec::new();
    for _ in 0..4 {
        runs.push(claimed(storage, new_run("a"), &owner).await);
    }
    claimed(storage, new_run("a"), &owner).await;
    queued(storage, new_run("b")).await;
    let mut ended = Vec::new();
    for nth in [2, 0, 3, 1] {
        let ending = end(storage, &runs[nth]).await;
        ended.push(EndedRun { key: runs[nth].run.key.clone(), ending });
    }
    // Runs that ended in the same millisecond are ordered by number.
    ended.sort_by_key(|run| run.ending);
    let (a, b) = (task("a"), task("b"));
    assert_eq!(storage.tasks().await.expect("reads"), [a.clone(), b.clone()]);
    assert_eq!(storage.ended(&a, EndPosition::FIRST, ALL, EndedFilter::All, 9).await.expect("reads"), ended);
    assert_eq!(
        storage.ended(&a, EndPosition::FIRST, ALL, EndedFilter::All, 2).await.expect("reads"),
        ended[..2]
    );
    assert_eq!(
        storage.ended(&a, ended[1].ending, ended[3].ending, EndedFilter::All, 9).await.expect("reads"),
        ended[1..3],
        "from the one on, without the other"
    );
    assert!(storage.ended(&b, EndPosition::FIRST, ALL, EndedFilter::All, 9).await.expect("reads").is_empty());
    let beyond = async |newest| storage.ended_beyond(&a, newest).await.expect("reads");
    assert_eq!(beyond(0).await, Some(ended[3].ending));
    assert_eq!(beyond(3).await, Some(ended[0].ending));
    assert_eq!((beyond(4).await, beyond(u64::MAX).await), (None, None));
}

async fn a_removed_run_leaves_nothing(storage: Arc<dyn Storage>) {
    let mut new = NewRun { own_id: true, idempotency_key: Some("k".to_owned()), ..new_run("a") };
    new.labels.insert("project".to_owned(), "x".to_owned());
    let run = claimed(&*storage, new.clone(), &host(&*storage).await).await;
    let key = &run.run.key;
    append(&storage, key.no, run.fence, vec![event("one", 1), event("two", 22)]).await.expect("appends");
    let name = SignalName::parse("p").expect("a name");
    storage.set_parameter(&key.id, name, Json::of(&1)).await.expect("sets");
    end(&*storage, &run).await;
    let all = events(&*storage, key.no).await;
    let of_events: u64 = all.iter().map(|event| event.what.content.len() as u64).sum();
    let of_run = r#"{"n":1}"#.len() + "7".len() + r#"{"project":"x"}"#.len();
    let amount = Amount { runs: 1, events: all.len() as u64, bytes: of_events + of_run as u64 };
    assert_eq!(storage.measure(vec![key.no], Part::Run).await.expect("measures"), amount);
    assert_eq!(prune(&*storage, key.no, Part::Run).await, amount, "as much as was said before");

    assert!(storage.run(&key.id).await.expect("reads").is_none());
    assert!(events(&*storage, key.no).await.is_empty());
    assert!(storage.parameters(key.no).await.expect("reads").is_empty());
    let labels = vec![("project".to_owned(), "x".to_owned())];
    let filter = RunFilter { labels, limit: 9, ..Default::default() };
    assert!(storage.runs(filter).await.expect("reads").is_empty());
    assert_eq!(prune(&*storage, key.no, Part::Run).await, Amount::default(), "again is no error");
    let again = storage.submit(new, None).await.expect("submits");
    assert!(matches!(again, SubmitOutcome::Queued(_)), "its id and its key are free");
}

async fn the_terminal_event_of_a_run_stays_without_its_other_events(storage: Arc<dyn Storage>) {
    let run = claimed(&*storage, new_run("a"), &host(&*storage).await).await;
    let key = &run.run.key;
    append(&storage, key.no, run.fence, vec![event("one", 1), event("two", 2)]).await.expect("appends");
    end(&*storage, &run).await;
    let before = get(&*storage, &key.id).await;
    let expected = storage.measure(vec![key.no], Part::Events).await.expect("measures");
    assert_eq!((expected.runs, expected.events), (0, 3), "`run.started` and two");
    assert_eq!(prune(&*storage, key.no, Part::Events).await, expected);
    let left = events(&*storage, key.no).await;
    assert_eq!((left.len(), left[0].seq, left[0].is_terminal()), (1, 4, true));
    assert_eq!(storage.last_seq(key.no).await.expect("reads"), 4);
    let after = get(&*storage, &key.id).await;
    assert_eq!((after.final_value, after.last_seq), (before.final_value, before.last_seq));
    assert!(prune(&*storage, key.no, Part::Events).await.is_zero());
}

async fn many_events_are_removed_in_consistent_steps(storage: Arc<dyn Storage>) {
    let owner = host(&*storage).await;
    let small = claimed(&*storage, new_run("a"), &owner).await;
    let large = claimed(&*storage, new_run("a"), &owner).await;
    let many: Vec<NewEvent> = (0..20_000).map(|n| event("e", n)).collect();
    append(&storage, large.run.key.no, large.fence, many).await.expect("appends");
    end(&*storage, &small).await;
    end(&*storage, &large).await;
    let mut runs = vec![small.run.key.no, large.run.key.no];
    let expected = storage.measure(runs.clone(), Part::Run).await.expect("measures");
    let (mut amount, mut steps) = (Amount::default(), 0);
    while !runs.is_empty() {
        let pruned = storage.prune(runs.clone(), Part::Run).await.expect("prunes");
        assert!(!pruned.amount.is_zero(), "each step does something");
        amount += pruned.amount;
        steps += 1;
        runs.drain(..pruned.done);
        if !runs.is_empty() {
            let left = events(&*storage, large.run.key.no).await;
            let last = storage.last_seq(large.run.key.no).await.expect("reads");
            assert_eq!(last, 20_002, "as long as the run is there, so is its end");
            assert!(left.windows(2).all(|two| two[1].seq == two[0].seq + 1), "the oldest go first");
        }
    }
    assert_eq!(amount, expected);
    assert!(steps > 2, "nobody waits for all of it");
    while storage.shrink().await.expect("shrinks") {}
}

async fn runs_that_have_not_ended_are_left_alone(storage: Arc<dyn Storage>) {
    let waiting = queued(&*storage, new_run("b")).await.key;
    let running = claimed(&*storage, new_run("a"), &host(&*storage).await).await.run.key;
    for RunKey { no, .. } in [&waiting, &running] {
        for part in [Part::Run, Part::Events] {
            assert!(storage.measure(vec![*no], part).await.expect("measures").is_zero());
            assert!(prune(&*storage, *no, part).await.is_zero());
        }
        assert_eq!(events(&*storage, *no).await.len(), 1);
    }
}

async fn a_child_stays_as_long_as_its_parent_lives(storage: Arc<dyn Storage>) {
    let owner = host(&*storage).await;
    let (a, b) = (task("a"), task("b"));
    let parent = claimed(&*storage, new_run("a"), &owner).await;
    let child_of =
        |run: i64, detached| NewRun { parent: Some(Parent { run, depth: 1, detached }), ..new_run("b") };
    let child = claimed(&*storage, child_of(parent.run.key.no, false), &owner).await;
    let detached = claimed(&*storage, child_of(parent.run.key.no, true), &owner).await;
    let grandchild = claimed(&*storage, child_of(child.run.key.no, false), &owner).await;
    let alone = claimed(&*storage, new_run("b"), &owner).await;
    let mut ended = Vec::new();
    // The child last, because its own child could not start after its end.
    for run in [&grandchild, &detached, &alone, &child] {
        append(&storage, run.run.key.no, run.fence, vec![event("one", 1)]).await.expect("appends");
        ended.push(EndedRun { key: run.run.key.clone(), ending: end(&*storage, run).await });
    }
    let [grandchild, detached, alone, child] = &ended[..] else { unreachable!("four ended") };
    let found = async |which| {
        let found = storage.ended(&b, EndPosition::FIRST, ALL, which, 9).await.expect("reads");
        found.into_iter().map(|run| run.key.no).collect::<Vec<_>>()
    };
    let numbers = |runs: &[&EndedRun]| {
        let mut runs: Vec<_> = runs.iter().map(|run| (run.ending, run.key.no)).collect();
        runs.sort();
        runs.into_iter().map(|(_, no)| no).collect::<Vec<_>>()
    };
    assert_eq!(found(EndedFilter::All).await, numbers(&[grandchild, detached, alone, child]));
    assert_eq!(found(EndedFilter::Removable).await, numbers(&[grandchild, alone]), "its parent has ended");
    assert_eq!(found(EndedFilter::Needed).await, numbers(&[detached, child]));
    for run in [child, detached] {
        let no = run.key.no;
        assert!(storage.measure(vec![no], Part::Run).await.expect("measures").is_zero());
        assert!(prune(&*storage, no, Part::Run).await.is_zero(), "decided where it is removed");
        assert!(!prune(&*storage, no, Part::Events).await.is_zero(), "nobody asks for its events");
        assert_eq!(get(&*storage, &run.key.id).await.final_value, Some(Json::of(&7)));
    }
    assert!(storage.ended(&a, EndPosition::FIRST, ALL, EndedFilter::All, 9).await.expect("reads").is_empty());
    end(&*storage, &parent).await;
    assert!(found(EndedFilter::Needed).await.is_empty());
    for run in &ended {
        assert_eq!(prune(&*storage, run.key.no, Part::Run).await.runs, 1);
    }
}

async fn a_number_is_never_used_twice(storage: Arc<dyn Storage>) {
    let owner = host(&*storage).await;
    let first = claimed(&*storage, new_run("a"), &owner).await;
    end(&*storage, &first).await;
    prune(&*storage, first.run.key.no, Part::Run).await;
    let second = claimed(&*storage, new_run("a"), &owner).await;
    assert!(second.run.key.no > first.run.key.no);
}

async fn the_end_of_removed_events_is_stored(storage: &dyn Storage) {
    let a = task("a");
    assert_eq!(storage.without_events(&a).await.expect("reads"), EndPosition::FIRST);
    let to = EndPosition::from(Timestamp::from_millis(1_736_944_496_789));
    storage.set_without_events(&a, to).await.expect("writes");
    assert_eq!(storage.without_events(&a).await.expect("reads"), to);
    assert_eq!(storage.without_events(&task("b")).await.expect("reads"), EndPosition::FIRST);
}

async fn the_state_of_sweeps_is_stored(storage: &dyn Storage) {
    assert!(storage.rules().await.expect("reads").is_empty());
    queued(storage, new_run("b")).await;
    let rules = |a: &str| vec![(task("a"), a.to_owned()), (task("b"), "{}".to_owned())];
    storage.set_rules(rules("one")).await.expect("writes");
    assert_eq!(storage.rules().await.expect("reads"), rules("one"));
    storage.set_rules(vec![(task("a"), "other".to_owned())]).await.expect("writes");
    assert_eq!(storage.rules().await.expect("reads"), rules("other"));

    assert_eq!(storage.clock().await.expect("reads"), None);
    for (believed, doubted) in [(Timestamp::from_millis(7), true), (Timestamp::from_millis(8), false)] {
        storage.set_clock(believed, doubted).await.expect("writes");
        assert_eq!(storage.clock().await.expect("reads"), Some((believed, doubted)));
    }
}
