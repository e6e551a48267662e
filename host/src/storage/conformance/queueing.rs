//! The queue: order of claims, and locks.

use std::future::Future;
use std::sync::Arc;

use super::{claim, claimed, events, get, host, host_with_lease, new_run, queued, task, types, version};
use crate::model::{
    HostId, Json, Lock, NewEvent, OnDisconnect, OnInterrupt, Outcome, Run, RunStatus, Timestamp,
};
use crate::storage::{Claimant, Claimed, NewRun, ScheduleProgress, Storage, StorageError, SubmitOutcome};

pub(super) async fn run<F: Future<Output = Arc<dyn Storage>>>(open: &impl Fn() -> F) {
    higher_priority_goes_first_also_before_other_tasks(&*open().await).await;
    a_lock_is_held_by_one_run_at_a_time(&*open().await).await;
    a_run_takes_all_of_its_locks_together(&*open().await).await;
    runs_that_wait_for_a_lock_take_it_in_order(&*open().await).await;
    a_taken_lock_rejects_runs_that_must_not_wait(&*open().await).await;
    a_waiting_run_that_is_paused_or_cancelled_unblocks_the_next(&*open().await).await;
    orphaned_runs_keep_their_locks_until_settled(&*open().await).await;
    a_run_with_a_later_time_is_delayed(&*open().await).await;
    a_task_may_have_its_own_limit_of_waiting_runs(&*open().await).await;
    the_interrupt_policy_is_that_of_the_claim(&*open().await).await;
    a_schedule_is_stored_with_its_spec(&*open().await).await;
}

fn locking(name: &str, locks: &[(&str, u32)]) -> NewRun {
    let lock = |&(name, capacity): &(&str, u32)| Lock { name: name.to_owned(), capacity };
    NewRun { locks: locks.iter().map(lock).collect(), ..new_run(name) }
}

fn ids(claimed: &[Claimed]) -> Vec<&str> {
    claimed.iter().map(|claimed| claimed.run.key.id.as_str()).collect()
}

fn id(run: &Run) -> &str {
    run.key.id.as_str()
}

async fn end(storage: &dyn Storage, run: &Claimed) {
    let outcome = Outcome::Completed(Json::null());
    storage.finish(&run.run.key, run.fence, outcome).await.expect("finishes");
}

async fn higher_priority_goes_first_also_before_other_tasks(storage: &dyn Storage) {
    let with = |name, priority| NewRun { priority, ..new_run(name) };
    let low = queued(storage, with("a", -5)).await;
    let normal = queued(storage, with("a", 0)).await;
    let other = queued(storage, with("b", 0)).await;
    let high = queued(storage, with("b", 7)).await;
    assert_eq!(get(storage, &high.key.id).await.priority, 7);
    let alone = queued(storage, NewRun { on_disconnect: OnDisconnect::Cancel, ..with("c", 0) }).await;
    assert_eq!(get(storage, &alone.key.id).await.on_disconnect, OnDisconnect::Cancel);
    assert_eq!(get(storage, &low.key.id).await.on_disconnect, OnDisconnect::Continue);
    let rooms = [("a", 9), ("b", 9)];
    let first = claim(storage, &host(storage).await, &rooms, 3).await;
    assert_eq!(ids(&first), [id(&high), id(&normal), id(&other)]);
    assert_eq!(ids(&claim(storage, &host(storage).await, &rooms, 3).await), [id(&low)]);
}

async fn a_lock_is_held_by_one_run_at_a_time(storage: &dyn Storage) {
    let owner = host(storage).await;
    let first = claimed(storage, locking("a", &[("x", 1)]), &owner).await;
    assert!(first.has_locks);
    let Ok(SubmitOutcome::Queued(second)) = storage.submit(locking("b", &[("x", 1)]), claimant(&owner)).await
    else {
        panic!("it was not free");
    };
    assert_eq!(second.waits_for.as_deref(), Some("x"));
    assert_eq!(types(&events(storage, second.key.no).await), ["run.queued"]);
    let rooms = [("a", 9), ("b", 9)];
    assert!(!storage.queue_state().await.expect("reads").queued, "it has no turn to wait for");
    assert!(claim(storage, &owner, &rooms, 9).await.is_empty());
    // Other runs of its task start meanwhile, and runs that share a lock with a capacity of two.
    let free = claimed(storage, new_run("b"), &owner).await;
    end(storage, &free).await;
    claimed(storage, locking("b", &[("y", 2)]), &owner).await;
    claimed(storage, locking("b", &[("y", 2)]), &owner).await;
    end(storage, &first).await;
    assert!(storage.queue_state().await.expect("reads").queued);
    let next = claim(storage, &owner, &rooms, 9).await;
    assert_eq!(ids(&next), [id(&second)]);
    assert_eq!(next[0].run.waits_for, None);
}

fn claimant(owner: &HostId) -> Option<Claimant> {
    Some(Claimant { owner: owner.clone(), version: version(), on_interrupt: OnInterrupt::Resume })
}

async fn a_run_takes_all_of_its_locks_together(storage: &dyn Storage) {
    let owner = host(storage).await;
    let x = claimed(storage, locking("a", &[("x", 1)]), &owner).await;
    let y = claimed(storage, locking("a", &[("y", 1)]), &owner).await;
    let both = queued(storage, locking("a", &[("x", 1), ("y", 1)])).await;
    let only_x = queued(storage, locking("b", &[("x", 1)])).await;
    // A task without a limit has all the room there is.
    let rooms = [("a", u32::MAX), ("b", u32::MAX)];
    end(storage, &x).await;
    // A run that still waits for `y` does not block `x` for the next.
    assert_eq!(ids(&claim(storage, &owner, &rooms, 9).await), [id(&only_x)]);
    end(storage, &y).await;
    assert!(claim(storage, &owner, &rooms, 9).await.is_empty());
    assert_eq!(get(storage, &both.key.id).await.waits_for.as_deref(), Some("x"));
}

async fn runs_that_wait_for_a_lock_take_it_in_order(storage: &dyn Storage) {
    let owner = host(storage).await;
    let mut has = claimed(storage, locking("a", &[("x", 1)]), &owner).await;
    let second = queued(storage, locking("a", &[("x", 1)])).await;
    let third = queued(storage, locking("b", &[("x", 1)])).await;
    let urgent = queued(storage, NewRun { priority: 1, ..locking("b", &[("x", 1)]) }).await;
    for next in [&urgent, &second, &third] {
        end(storage, &has).await;
        // A new run does not overtake waiting ones, and runs of a task that is not offered don't block others.
        let late = storage.submit(locking("c", &[("x", 1)]), claimant(&owner)).await;
        assert!(matches!(late, Ok(SubmitOutcome::Queued(_))));
        let mut got = claim(storage, &owner, &[("a", 9), ("b", 9)], 9).await;
        assert_eq!(ids(&got), [id(next)]);
        has = got.remove(0);
    }
}

async fn a_taken_lock_rejects_runs_that_must_not_wait(storage: &dyn Storage) {
    let owner = host(storage).await;
    let new = || NewRun { fail_if_busy: true, ..locking("a", &[("x", 1)]) };
    let first = claimed(storage, new(), &owner).await;
    let busy = storage.submit(new(), claimant(&owner)).await;
    assert!(matches!(busy, Err(StorageError::Busy(name)) if name == "x"));
    end(storage, &first).await;
    claimed(storage, new(), &owner).await;

    // The lock is free, and a run of the same task is next in line for it.
    let of_two = || NewRun { fail_if_busy: true, ..locking("a", &[("y", 2)]) };
    for _ in 0..2 {
        let queued = storage.submit(of_two(), None).await;
        assert!(matches!(queued, Ok(SubmitOutcome::Queued(_))));
    }
    let busy = storage.submit(of_two(), claimant(&owner)).await;
    assert!(matches!(busy, Err(StorageError::Busy(name)) if name == "y"));
}

async fn a_waiting_run_that_is_paused_or_cancelled_unblocks_the_next(storage: &dyn Storage) {
    let owner = host(storage).await;
    let has = claimed(storage, locking("a", &[("x", 1)]), &owner).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(queued(storage, locking("a", &[("x", 1)])).await);
    }
    storage.set_paused(&waiting[0].key.id, true).await.expect("holds");
    storage.cancel(&waiting[1].key.id).await.expect("cancels");
    end(storage, &has).await;
    let next = claim(storage, &owner, &[("a", 9)], 9).await;
    assert_eq!(ids(&next), [id(&waiting[2])]);
    storage.set_paused(&waiting[0].key.id, false).await.expect("resumes");
    assert!(claim(storage, &owner, &[("a", 9)], 9).await.is_empty(), "it looks again, and has to wait");
    assert_eq!(get(storage, &waiting[0].key.id).await.waits_for.as_deref(), Some("x"));
    end(storage, &next[0]).await;
    assert_eq!(ids(&claim(storage, &owner, &[("a", 9)], 9).await), [id(&waiting[0])]);
}

async fn orphaned_runs_keep_their_locks_until_settled(storage: &dyn Storage) {
    let dead = host_with_lease(storage, 0).await;
    claimed(storage, locking("a", &[("x", 1)]), &dead).await;
    let waiting = queued(storage, locking("a", &[("x", 1)])).await;
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let owner = host(storage).await;
    let taken = storage.claim_orphans(&owner, 9).await.expect("takes over");
    assert!(taken[0].has_locks);
    assert!(claim(storage, &owner, &[("a", 9)], 9).await.is_empty());
    let (key, fence) = (&taken[0].run.key, taken[0].fence);
    storage.requeue(key, fence, NewEvent::queued(None), None).await.expect("puts back");
    // The requeued run is the older one.
    assert_eq!(claim(storage, &owner, &[("a", 9)], 9).await[0].run.key, *key);
    assert_eq!(get(storage, &waiting.key.id).await.waits_for.as_deref(), Some("x"));
}

async fn a_run_with_a_later_time_is_delayed(storage: &dyn Storage) {
    let owner = host(storage).await;
    let later = Timestamp::now().plus_millis(3_600_000);
    let new = NewRun { not_before: Some(later), ..new_run("a") };
    let Ok(SubmitOutcome::Queued(run)) = storage.submit(new, claimant(&owner)).await else {
        panic!("it waits")
    };
    assert_eq!((run.status, run.not_before), (RunStatus::Delayed, Some(later)));
    assert_eq!(types(&events(storage, run.key.no).await), ["run.delayed"]);
    assert_eq!(storage.queue_state().await.expect("reads").next_due, Some(later));
    // It does not block others.
    claimed(storage, new_run("a"), &owner).await;
    let due = NewRun { not_before: Some(Timestamp::now()), ..new_run("b") };
    let due = queued(storage, due).await;
    assert_eq!(ids(&claim(storage, &owner, &[("a", 9), ("b", 9)], 9).await), [id(&due)]);
}

async fn a_task_may_have_its_own_limit_of_waiting_runs(storage: &dyn Storage) {
    let new = |name| NewRun { max_queued_of_task: 1, ..new_run(name) };
    queued(storage, new("a")).await;
    assert!(matches!(storage.submit(new("a"), None).await, Err(StorageError::QueueFull(1))));
    queued(storage, new("b")).await;
}

async fn the_interrupt_policy_is_that_of_the_claim(storage: &dyn Storage) {
    let dead = host_with_lease(storage, 0).await;
    for policy in OnInterrupt::ALL {
        let claimant = Claimant { on_interrupt: policy, ..claimant(&dead).expect("one") };
        let claimed = storage.submit(new_run("a"), Some(claimant)).await;
        assert!(matches!(claimed, Ok(SubmitOutcome::Claimed(claimed)) if claimed.on_interrupt == policy));
    }
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let taken = storage.claim_orphans(&host(storage).await, 9).await.expect("takes over");
    let policies: Vec<_> = taken.iter().map(|taken| taken.on_interrupt).collect();
    assert_eq!(policies, OnInterrupt::ALL);
    assert_eq!(taken[0].run.task, task("a"));
}

async fn a_schedule_is_stored_with_its_spec(storage: &dyn Storage) {
    assert_eq!(storage.schedules().await.expect("reads"), []);
    let advance = async |task_name, name, from, to| {
        storage.advance_schedule(&task(task_name), name, from, to).await.expect("keeps")
    };
    let followed = |spec: &str, time, turn| ScheduleProgress {
        spec: spec.to_owned(),
        reached: Timestamp::from_millis(time),
        turn,
    };
    let mut before = None;
    for last in [followed("0 3 * * * UTC", 1, 0), followed("0 4 * * * UTC", 2, 3)] {
        assert!(advance("a", "nightly", before.take(), last.clone()).await);
        let all = storage.schedules().await.expect("reads");
        assert_eq!(all, [(task("a"), "nightly".to_owned(), last.clone())]);
        before = Some(last);
    }
    assert!(advance("b", "weekly", None, followed("0 3 * * 0 UTC", 1, 0)).await);

    // Only from the stored progress: another host may have followed the schedule.
    let (weekly, next) = (followed("0 3 * * 0 UTC", 1, 0), followed("0 3 * * 0 UTC", 2, 0));
    for other in [
        None,
        Some(followed("0 3 * * 0 UTC", 3, 0)),
        Some(followed("0 3 * * 0 UTC", 1, 1)),
        Some(followed("0 4 * * 0 UTC", 1, 0)),
    ] {
        assert!(!advance("b", "weekly", other, next.clone()).await);
    }
    assert!(!advance("b", "other", Some(weekly.clone()), next.clone()).await);
    let all = storage.schedules().await.expect("reads");
    assert_eq!(all.last(), Some(&(task("b"), "weekly".to_owned(), weekly.clone())), "nothing was changed");
    assert!(advance("b", "weekly", Some(weekly.clone()), next.clone()).await);
    assert!(!advance("b", "weekly", Some(weekly), next).await, "only once");

    storage.forget_schedule(&task("a"), "nightly").await.expect("forgets");
    let left: Vec<String> =
        storage.schedules().await.expect("reads").into_iter().map(|(_, name, _)| name).collect();
    assert_eq!(left, ["weekly"]);
}
