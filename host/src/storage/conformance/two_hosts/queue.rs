//! The queue, which both hosts fill and empty at once: nothing is started twice, left out or counted wrongly.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use parking_lot::Mutex;

use super::super::{append, claim, claimant, claimed, event, events, new_run, queued, task, types};
use super::{RUNS, Side, end, in_time, leave, sides};
use crate::model::{HostId, Lock, NewEvent, RunId, RunStatus};
use crate::storage::{Claimed, NewRun, RunFilter, Storage, StorageError, SubmitOutcome};

pub(super) async fn run(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    in_time(each_run_is_claimed_once(a, b)).await;
    in_time(the_number_of_waiting_runs_is_that_of_both(a, b)).await;
    in_time(a_lock_is_never_held_beyond_its_capacity(a, b)).await;
    in_time(run_numbers_become_visible_in_their_order(a, b)).await;
    in_time(the_same_request_at_both_is_one_run(a, b)).await;
}

/// Claims runs of the task until none is left, and does `work` with each.
async fn claim_all<F: Future<Output = ()>>(side: &Side, name: &str, work: impl Fn(Claimed) -> F) {
    let mut idle = 0;
    // An empty answer is no proof: what the other side does meanwhile may queue a run again.
    while idle < 3 {
        let claimed = claim(&*side.storage, &side.host, &[(name, 5)], 5).await;
        idle = if claimed.is_empty() { idle + 1 } else { 0 };
        join_all(claimed.into_iter().map(&work)).await;
    }
}

async fn each_run_is_claimed_once(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    let sides = sides(a, b).await;
    let submit = async |side: &Side| {
        for _ in 0..RUNS / 2 {
            queued(&*side.storage, new_run("once")).await;
        }
    };
    join_all(sides.iter().map(submit)).await;
    let owners: Mutex<BTreeMap<i64, HostId>> = Mutex::default();
    let claims = sides.iter().map(async |side| {
        claim_all(side, "once", async |claimed| {
            assert_eq!((claimed.run.attempt, claimed.last_seq), (1, 2));
            let earlier = owners.lock().insert(claimed.run.key.no, side.host.clone());
            assert_eq!(earlier, None, "a run was claimed twice");
        })
        .await;
    });
    join_all(claims).await;
    let owners = owners.into_inner();
    assert_eq!(owners.len(), RUNS);
    let live = b.hosts().await.expect("reads");
    for side in &sides {
        let found = live.iter().find(|live| live.info.id == side.host).expect("it is alive");
        assert_eq!(found.runs as usize, owners.values().filter(|owner| **owner == side.host).count());
    }
    for no in owners.keys() {
        assert_eq!(types(&events(&**a, *no).await), ["run.queued", "run.started"]);
    }
    leave(sides).await;
}

async fn the_number_of_waiting_runs_is_that_of_both(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    let sides = sides(a, b).await;
    // Each host queues, cancels, pauses and claims runs that the other one has queued.
    let work = async |side: &Side, other: &Side| {
        for round in 0..15 {
            let mut runs = Vec::new();
            for _ in 0..4 {
                runs.push(queued(&*other.storage, new_run("counted")).await.key.id);
            }
            match round % 3 {
                0 => drop(side.storage.cancel(&runs[0]).await.expect("cancels")),
                1 => {
                    side.storage.set_paused(&runs[0], true).await.expect("pauses");
                    other.storage.set_paused(&runs[0], false).await.expect("resumes");
                }
                _ => {
                    for run in claim(&*side.storage, &side.host, &[("counted", 2)], 2).await {
                        let event = NewEvent::queued(None);
                        side.storage.requeue(&run.run.key, run.fence, event, None).await.expect("puts back");
                    }
                }
            }
            for run in claim(&*side.storage, &side.host, &[("counted", 1)], 1).await {
                end(&*side.storage, &run).await;
            }
        }
    };
    join(work(&sides[0], &sides[1]), work(&sides[1], &sides[0])).await;

    let filter = RunFilter {
        task: Some(task("counted")),
        statuses: vec![RunStatus::Queued],
        brief: true,
        limit: 10_000,
        ..RunFilter::default()
    };
    let waiting = a.runs(filter).await.expect("reads").len() as u64;
    assert!(waiting > 0);
    for side in &sides {
        let with = |most| NewRun { max_queued_of_task: most, ..new_run("counted") };
        let full = side.storage.submit(with(waiting), None).await;
        assert!(
            matches!(full, Err(StorageError::QueueFull(n)) if n == waiting),
            "{full:?}, and {waiting} wait"
        );
        let fits = queued(&*side.storage, with(waiting + 1)).await;
        side.storage.cancel(&fits.key.id).await.expect("cancels");
        let full = side.storage.submit(with(waiting), None).await;
        assert!(
            matches!(full, Err(StorageError::QueueFull(n)) if n == waiting),
            "{full:?}, and {waiting} wait"
        );
    }
    join_all(
        sides.iter().map(|side| claim_all(side, "counted", async |run| end(&*side.storage, &run).await)),
    )
    .await;
    for side in &sides {
        let first = side.storage.submit(NewRun { max_queued_of_task: 1, ..new_run("counted") }, None).await;
        let Ok(SubmitOutcome::Queued(run)) = first else { panic!("none waits: {first:?}") };
        side.storage.cancel(&run.key.id).await.expect("cancels");
    }
    leave(sides).await;
}

async fn a_lock_is_never_held_beyond_its_capacity(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    const LOCKS: [(&str, u32); 3] = [("two-hosts-one", 1), ("two-hosts-two", 2), ("two-hosts-three", 3)];
    let sides = sides(a, b).await;
    let holders: Mutex<BTreeMap<String, u32>> = Mutex::default();
    let ended: Mutex<BTreeSet<i64>> = Mutex::default();
    // Some runs take two locks, in both orders.
    let locks = |nth: usize| {
        let second = nth.is_multiple_of(4).then_some(LOCKS[(nth / 4 + 1) % 3]);
        let locks = [Some(LOCKS[nth % 3]), second.filter(|second| *second != LOCKS[nth % 3])];
        let lock = |(name, capacity): (&str, u32)| Lock { name: name.to_owned(), capacity };
        locks.into_iter().flatten().map(lock).collect::<Vec<_>>()
    };
    let work = async |side: &Side, run: Claimed, locks: Vec<Lock>| {
        for lock in &locks {
            let mut holders = holders.lock();
            let held = holders.entry(lock.name.clone()).or_default();
            *held += 1;
            assert!(*held <= lock.capacity, "{held} runs hold {}, of {}", lock.name, lock.capacity);
        }
        append(&side.storage, run.run.key.no, run.fence, vec![event("works", 1)]).await.expect("appends");
        // Before the end is written: from then on, the next may hold them.
        for lock in &locks {
            *holders.lock().entry(lock.name.clone()).or_default() -= 1;
        }
        end(&*side.storage, &run).await;
        ended.lock().insert(run.run.key.no);
    };
    let mut of_run: BTreeMap<RunId, Vec<Lock>> = BTreeMap::new();
    let mut new = Vec::new();
    for nth in 0..RUNS {
        let run = NewRun { locks: locks(nth), ..new_run("locking") };
        of_run.insert(run.id.clone(), run.locks.clone());
        new.push((nth % 2, run));
    }
    let submit = async |at: usize| {
        let side = &sides[at];
        for (_, run) in new.iter().filter(|(to, _)| *to == at) {
            let locks = run.locks.clone();
            match side.storage.submit(run.clone(), claimant(&side.host)).await.expect("submits") {
                SubmitOutcome::Claimed(claimed) => work(side, claimed, locks).await,
                SubmitOutcome::Queued(_) => {}
                SubmitOutcome::Existing(run) => panic!("it is new: {run:?}"),
            }
        }
    };
    let claim = async |side: &Side| {
        while ended.lock().len() < RUNS {
            let claimed = claim(&*side.storage, &side.host, &[("locking", 3)], 3).await;
            join_all(claimed.into_iter().map(|run| {
                let locks = of_run[&run.run.key.id].clone();
                work(side, run, locks)
            }))
            .await;
        }
    };
    join(join(submit(0), submit(1)), join(claim(&sides[0]), claim(&sides[1]))).await;
    assert_eq!(ended.lock().len(), RUNS, "none waits for ever");
    for side in &sides {
        let new = NewRun { locks: locks(0), fail_if_busy: true, ..new_run("locking") };
        let last = claimed(&*side.storage, new, &side.host).await;
        end(&*side.storage, &last).await;
    }
    leave(sides).await;
}

async fn run_numbers_become_visible_in_their_order(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    let sides = sides(a, b).await;
    let submitted: Mutex<BTreeSet<i64>> = Mutex::default();
    let submit = async |side: &Side| {
        // Several at once, so that later ones can overtake earlier ones on their way.
        join_all((0..4).map(async |_| {
            for _ in 0..RUNS / 8 {
                // Not in one line: it would be locked during the submit.
                let run = queued(&*side.storage, new_run("numbered")).await;
                submitted.lock().insert(run.key.no);
            }
        }))
        .await;
    };
    let read = async |side: &Side| {
        let mut seen: Vec<i64> = Vec::new();
        while seen.len() < RUNS / 8 * 8 {
            let filter = RunFilter {
                task: Some(task("numbered")),
                since: Some(seen.last().copied().unwrap_or(0)),
                brief: true,
                limit: 7,
                ..RunFilter::default()
            };
            seen.extend(side.storage.runs(filter).await.expect("reads").iter().map(|run| run.key.no));
        }
        seen
    };
    let written = join_all(sides.iter().map(submit));
    let (_, seen) = join(written, join_all(sides.iter().map(read))).await;
    let submitted = submitted.into_inner();
    for seen in seen {
        assert!(seen.iter().eq(&submitted), "a reader with a cursor sees each run once");
    }
    join_all(
        sides.iter().map(|side| claim_all(side, "numbered", async |run| end(&*side.storage, &run).await)),
    )
    .await;
    leave(sides).await;
}

async fn the_same_request_at_both_is_one_run(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    let sides = sides(a, b).await;
    for round in 0..20 {
        let key = format!("two-hosts-{round}");
        let new = match round % 2 {
            0 => NewRun { own_id: true, ..new_run("same") },
            _ => NewRun { idempotency_key: Some(key), ..new_run("same") },
        };
        let submit = async |side: &Side| {
            let id = if new.own_id { new.id.clone() } else { RunId::new() };
            side.storage.submit(NewRun { id, ..new.clone() }, claimant(&side.host)).await.expect("submits")
        };
        let (one, other) = join(submit(&sides[0]), submit(&sides[1])).await;
        let existing = |outcome: &SubmitOutcome| matches!(outcome, SubmitOutcome::Existing(_));
        assert!(existing(&one) != existing(&other), "{one:?} {other:?}");
        let key = |outcome: SubmitOutcome| match outcome {
            SubmitOutcome::Queued(run) | SubmitOutcome::Existing(run) => run.key,
            SubmitOutcome::Claimed(claimed) => claimed.run.key,
        };
        assert_eq!(key(one), key(other));
    }
    leave(sides).await;
}
