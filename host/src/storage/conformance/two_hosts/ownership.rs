//! What belongs to one host at a time: its runs, of which the other one sees all, duties, and the right to write.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join;
use parking_lot::Mutex;

use super::super::hosts::{is_refused_by_every_method, until_the_lease_is_over};
use super::super::{append, claimed, event, events, get, host, host_with_lease, new_run, task};
use super::{RUNS, Side, end, in_time, leave, sides};
use crate::model::{RunStatus, Timestamp};
use crate::storage::{ScheduleProgress, Storage, StorageError};

pub(super) async fn run(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    in_time(each_sees_what_the_other_wrote(a, b)).await;
    in_time(orphans_are_claimed_once(a, b)).await;
    in_time(one_of_both_gets_a_duty_and_advances_a_schedule(a, b)).await;
    in_time(a_host_that_was_declared_dead_by_the_other_is_refused(a, b)).await;
    in_time(a_host_that_is_declared_dead_while_it_writes_loses_no_event(a, b)).await;
}

async fn each_sees_what_the_other_wrote(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    let sides = sides(a, b).await;
    assert_eq!(a.renew_lease(&sides[0].host, 60_000).await.expect("renews").others, 1);
    assert_eq!(b.hosts().await.expect("reads").len(), 2);
    let run = claimed(&**a, new_run("seen"), &sides[0].host).await;
    let key = &run.run.key;
    assert_eq!(get(&**b, &key.id).await.status, RunStatus::Running);
    for round in 0..5 {
        append(a, key.no, run.fence, vec![event("e", round), event("e", round)]).await.expect("appends");
        let head = 3 + 2 * round;
        assert_eq!(b.last_seq(key.no).await.expect("reads"), head);
        assert_eq!(events(&**b, key.no).await, events(&**a, key.no).await);
        let newest = b.events_of_runs(vec![(key.no, head - 2)], 9).await.expect("reads");
        assert!(newest.1 && newest.0[0].1.iter().map(|event| event.seq).eq([head - 1, head]));
    }
    let save = a.save_checkpoint(key, run.fence, "k".to_owned(), Some(vec![1])).await;
    save.expect("saves");
    assert_eq!(b.load_checkpoint(key.no, "k".to_owned()).await.expect("reads"), Some(vec![1]));
    end(&**a, &run).await;
    assert_eq!(get(&**b, &key.id).await.last_seq, Some(12));
    leave(sides).await;
}

async fn orphans_are_claimed_once(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    let sides = sides(a, b).await;
    let dead = host_with_lease(&**a, 0).await;
    let mut runs = BTreeSet::new();
    for _ in 0..RUNS / 2 {
        runs.insert(claimed(&**a, new_run("orphaned"), &dead).await.run.key.no);
    }
    until_the_lease_is_over().await;
    let taken: Mutex<Vec<i64>> = Mutex::default();
    let take = async |side: &Side| {
        loop {
            let orphans = side.storage.claim_orphans(&side.host, 5).await.expect("takes over");
            if orphans.is_empty() && taken.lock().len() >= runs.len() {
                break;
            }
            for orphan in &orphans {
                taken.lock().push(orphan.run.key.no);
                end(&*side.storage, orphan).await;
            }
        }
    };
    join(take(&sides[0]), take(&sides[1])).await;
    let mut taken = taken.into_inner();
    taken.sort_unstable();
    assert!(taken.iter().eq(&runs), "each once");
    leave(sides).await;
}

async fn one_of_both_gets_a_duty_and_advances_a_schedule(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    const DUTIES: [&str; 5] = ["two-1", "two-2", "two-3", "two-4", "two-5"];
    let sides = sides(a, b).await;
    let count = |held: (bool, bool)| u32::from(held.0) + u32::from(held.1);
    for duty in DUTIES {
        let hold = async |side: &Side| side.storage.hold_duty(duty, &side.host, 60_000).await.expect("asks");
        let first = join(hold(&sides[0]), hold(&sides[1])).await;
        assert_eq!(count(first), 1, "{duty}");
        assert_eq!(join(hold(&sides[0]), hold(&sides[1])).await, first, "and keeps it");
    }
    let progress = |reached, turn| {
        let reached = Timestamp::from_millis(reached);
        ScheduleProgress { spec: "* * * * * UTC".to_owned(), reached, turn }
    };
    let mut from = None;
    for round in 1..20 {
        let advance = async |storage: &Arc<dyn Storage>, turn| {
            let to = progress(round, turn);
            let advanced = storage.advance_schedule(&task("scheduled"), "both", from.clone(), to).await;
            advanced.expect("stores")
        };
        let advanced = join(advance(a, 0), advance(b, 1)).await;
        assert_eq!(count(advanced), 1);
        let all = b.schedules().await.expect("reads");
        let stored = all.into_iter().find(|(_, name, _)| name == "both").expect("it is stored").2;
        assert_eq!(stored, progress(round, i64::from(advanced.1)));
        from = Some(stored);
    }
    leave(sides).await;
}

async fn a_host_that_was_declared_dead_by_the_other_is_refused(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) {
    let dead = host_with_lease(&**a, 0).await;
    let heir = host(&**b).await;
    let runs = [claimed(&**a, new_run("lost"), &dead).await, claimed(&**a, new_run("lost"), &dead).await];
    append(a, runs[0].run.key.no, runs[0].fence, vec![event("before", 1)]).await.expect("appends");
    until_the_lease_is_over().await;
    let taken = b.claim_orphans(&heir, 1).await.expect("takes over");
    assert_eq!((taken.len(), taken[0].last_seq), (1, 2));
    for storage in [a, b] {
        for run in &runs {
            is_refused_by_every_method(storage, &dead, run).await;
        }
    }
    let rest = b.claim_orphans(&heir, 9).await.expect("takes over");
    for run in taken.iter().chain(&rest) {
        end(&**b, run).await;
    }
    // The storage of the dead host serves its next registration.
    let again = host(&**a).await;
    let run = claimed(&**a, new_run("lost"), &again).await;
    append(a, run.run.key.no, run.fence, vec![event("again", 1)]).await.expect("appends");
    end(&**a, &run).await;
    a.leave(&again).await.expect("leaves");
    b.leave(&heir).await.expect("leaves");
}

/// The verdict and a write of the host meet: the write is before it, and the heir sees it, or it is refused.
async fn a_host_that_is_declared_dead_while_it_writes_loses_no_event(
    a: &Arc<dyn Storage>,
    b: &Arc<dyn Storage>,
) {
    let heir = host(&**b).await;
    for _ in 0..20 {
        let slow = host_with_lease(&**a, 0).await;
        let run = claimed(&**a, new_run("slow"), &slow).await;
        let key = &run.run.key;
        until_the_lease_is_over().await;
        let write = async || {
            let mut written = 0;
            loop {
                match append(a, key.no, run.fence, vec![event("e", written)]).await {
                    Ok(_) => written += 1,
                    Err(StorageError::Fenced) => return written,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let (written, taken) = join(write(), b.claim_orphans(&heir, 9)).await;
        let taken = taken.expect("takes over");
        assert_eq!(
            (taken.len(), taken[0].last_seq),
            (1, 1 + written),
            "the heir goes on after the last event"
        );
        end(&**b, &taken[0]).await;
        let log = events(&**b, key.no).await;
        assert!(log.iter().zip(1..).all(|(event, seq)| event.seq == seq));
        assert_eq!(log.len() as u64, 2 + written);
    }
    b.leave(&heir).await.expect("leaves");
}
