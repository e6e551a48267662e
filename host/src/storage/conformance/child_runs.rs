//! Child runs: deeper ones go first if there are few slots, and deadlocks are rejected.

use std::future::Future;
use std::sync::Arc;

use super::{claimant, claimed, get, host, new_run, queued, task, version};
use crate::model::{ErrorKind, Json, Lock, OnInterrupt, Outcome, Run, RunError, RunId};
use crate::storage::{
    ChildWaits, ClaimRequest, Claimed, DepthLimits, NewRun, Offer, Parent, Storage, StorageError,
    SubmitOutcome,
};

pub(super) async fn run<F: Future<Output = Arc<dyn Storage>>>(open: &impl Fn() -> F) {
    with_few_slots_deeper_runs_go_first(&*open().await).await;
    a_deep_run_does_not_wait_for_one_that_is_only_next_in_line(&*open().await).await;
    a_start_that_causes_a_deadlock_is_rejected(&*open().await).await;
    the_first_child_that_has_ended_is_found(&*open().await).await;
    a_wait_that_causes_a_deadlock_is_found(&*open().await).await;
    a_wait_for_any_of_several_that_all_lead_back_is_found(&*open().await).await;
    the_next_run_is_unblocked_when_the_first_in_line_leaves_the_queue(&*open().await).await;
}

fn child_of(parent: &Claimed, name: &str, locks: &[&str]) -> NewRun {
    let parent = Parent { run: parent.run.key.no, depth: parent.depth + 1, detached: false };
    NewRun { parent: Some(parent), ..locking(name, locks) }
}

fn locking(name: &str, locks: &[&str]) -> NewRun {
    let locks = locks.iter().map(|name| Lock { name: (*name).to_owned(), capacity: 1 }).collect();
    NewRun { locks, ..new_run(name) }
}

async fn claim(storage: &dyn Storage, names: &[&str], limits: DepthLimits) -> Vec<Claimed> {
    let offer = |name: &&str| Offer {
        task: task(name),
        version: version(),
        room: 99,
        on_interrupt: OnInterrupt::default(),
    };
    let tasks = names.iter().map(offer).collect();
    storage.claim(ClaimRequest { owner: host(storage).await, tasks, limits }).await.expect("claims")
}

async fn end(storage: &dyn Storage, run: &Claimed) {
    let outcome = Outcome::Completed(Json::null());
    storage.finish(&run.run.key, run.fence, outcome).await.expect("finishes");
}

fn ids(runs: &[Claimed]) -> Vec<&str> {
    runs.iter().map(|claimed| claimed.run.key.id.as_str()).collect()
}

fn id(run: &Run) -> &str {
    run.key.id.as_str()
}

async fn with_few_slots_deeper_runs_go_first(storage: &dyn Storage) {
    let parent = claimed(storage, new_run("a"), &host(storage).await).await;
    assert_eq!(parent.depth, 0);
    let older = queued(storage, NewRun { priority: 9, ..new_run("a") }).await;
    let child = queued(storage, child_of(&parent, "a", &[])).await;
    let none_but_deeper = DepthLimits::new(|depth| u32::from(depth > 0));
    let first = claim(storage, &["a"], none_but_deeper).await;
    assert_eq!((ids(&first), first[0].depth), (vec![id(&child)], 1));
    let grandchild = queued(storage, child_of(&first[0], "b", &[])).await;
    let sibling = queued(storage, child_of(&parent, "b", &[])).await;
    assert!(claim(storage, &["a", "b"], DepthLimits::new(|depth| u32::from(depth > 2))).await.is_empty());
    let deepest = claim(storage, &["a", "b"], DepthLimits::new(|depth| u32::from(depth > 1))).await;
    assert_eq!(ids(&deepest), [id(&grandchild)]);
    // One run beyond all limits: again the deepest, and only a child.
    let none = DepthLimits::all(0);
    assert!(claim(storage, &["a", "b"], none).await.is_empty());
    let beyond = claim(storage, &["a", "b"], none.or_deepest(true)).await;
    assert_eq!(ids(&beyond), [id(&sibling)]);
    assert!(claim(storage, &["a", "b"], none.or_deepest(true)).await.is_empty());
    let sibling = queued(storage, child_of(&parent, "b", &[])).await;
    // With slots for all, the usual order: by priority, then by age.
    assert_eq!(ids(&claim(storage, &["a", "b"], DepthLimits::all(9)).await), [id(&older), id(&sibling)]);
}

async fn a_deep_run_does_not_wait_for_one_that_is_only_next_in_line(storage: &dyn Storage) {
    let parent = claimed(storage, new_run("a"), &host(storage).await).await;
    let holder = claimed(storage, locking("b", &["x"]), &host(storage).await).await;
    let next = queued(storage, locking("b", &["x"])).await;
    let child = queued(storage, child_of(&parent, "c", &["x"])).await;
    end(storage, &holder).await;
    let deeper = claim(storage, &["a", "b", "c"], DepthLimits::new(|depth| u32::from(depth > 0))).await;
    assert_eq!(ids(&deeper), [id(&child)], "the next in line can't start for want of room");
    end(storage, &deeper[0]).await;
    assert_eq!(ids(&claim(storage, &["b"], DepthLimits::all(9)).await), [id(&next)]);
}

async fn a_start_that_causes_a_deadlock_is_rejected(storage: &dyn Storage) {
    let deadlock = async |new: NewRun| match storage.submit(new, claimant(&host(storage).await)).await {
        Err(StorageError::Deadlock(reason)) => reason,
        other => panic!("{other:?}"),
    };
    // A child with a lock that its parent holds.
    let parent = claimed(storage, locking("a", &["x"]), &host(storage).await).await;
    let reason = deadlock(child_of(&parent, "a", &["x"])).await;
    assert!(reason.contains("x, which the run") && reason.contains(id(&parent.run)), "{reason}");
    // A detached child may begin when its parent has ended.
    let mut detached = child_of(&parent, "a", &["x"]);
    detached.parent = detached.parent.map(|parent| Parent { detached: true, ..parent });
    queued(storage, detached).await;
    // Two parents, each of which holds the lock of the other's child.
    let other = claimed(storage, locking("b", &["y"]), &host(storage).await).await;
    queued(storage, child_of(&parent, "a", &["y"])).await;
    let reason = deadlock(child_of(&other, "b", &["x"])).await;
    assert!(reason.contains('x') && reason.contains('y'), "it names the circle: {reason}");
    // Without a deadlock, it waits.
    let third = claimed(storage, new_run("c"), &host(storage).await).await;
    let waits = queued(storage, child_of(&third, "c", &["x"])).await;
    assert_eq!(get(storage, &waits.key.id).await.waits_for.as_deref(), Some("x"));
}

async fn the_first_child_that_has_ended_is_found(storage: &dyn Storage) {
    let owner = host(storage).await;
    let (parent, other) =
        (claimed(storage, new_run("a"), &owner).await, claimed(storage, new_run("a"), &owner).await);
    let mut children = Vec::new();
    for _ in 0..4 {
        children.push(claimed(storage, child_of(&parent, "b", &[]), &owner).await);
    }
    let ids: Vec<RunId> = children.iter().map(|child| child.run.key.id.clone()).collect();
    let first = async |parent: &Claimed, ids: &[RunId]| {
        storage.first_ended(parent.run.key.no, ids.to_vec()).await.expect("reads")
    };
    let finish = async |child: usize, outcome: Outcome| {
        let child = &children[child];
        storage.finish(&child.run.key, child.fence, outcome).await.expect("finishes");
    };
    assert_eq!(first(&parent, &ids).await, None);
    assert_eq!(first(&parent, &[]).await, None);
    let failed =
        Outcome::Failed(RunError { trace: Some("t".to_owned()), ..RunError::new(ErrorKind::Failure, "m") });
    finish(3, failed.clone()).await;
    assert_eq!(first(&parent, &ids).await, Some((3, failed.clone())));
    finish(1, Outcome::Completed(Json::of(&7))).await;
    assert_eq!(
        first(&parent, &ids).await,
        Some((1, Outcome::Completed(Json::of(&7)))),
        "in the order of the list"
    );
    finish(2, Outcome::Cancelled(None)).await;
    assert_eq!(
        first(&parent, &[ids[0].clone(), ids[2].clone(), ids[3].clone()]).await,
        Some((1, Outcome::Cancelled(None)))
    );
    assert_eq!(
        first(&parent, &[RunId::new(), ids[3].clone()]).await,
        Some((1, failed)),
        "an unknown run never ends"
    );
    assert_eq!(first(&other, &ids).await, None, "they are no children of this run");
}

async fn a_wait_that_causes_a_deadlock_is_found(storage: &dyn Storage) {
    let parent = claimed(storage, locking("a", &["x"]), &host(storage).await).await;
    let mut detached = child_of(&parent, "a", &["x"]);
    detached.parent = detached.parent.map(|parent| Parent { detached: true, ..parent });
    let child = queued(storage, detached).await;
    let waits = Arc::<ChildWaits>::default();
    let deadlock = async || storage.deadlock(parent.run.key.no, Arc::clone(&waits)).await.expect("reads");
    assert_eq!(deadlock().await, None, "nobody waits");
    let wait = waits.begin(parent.run.key.no, [child.key.id.clone()].into());
    let reason = deadlock().await.expect("it waits for what it holds itself");
    assert!(reason.contains(id(&child)) && reason.contains('x'), "{reason}");
    drop(wait);
    // Another child can end the wait.
    let free = queued(storage, child_of(&parent, "b", &[])).await;
    let _wait = waits.begin(parent.run.key.no, [child.key.id.clone(), free.key.id.clone()].into());
    assert_eq!(deadlock().await, None);
}

/// A parent waits for either of two children, and each of these for a run whose lock the parent holds.
async fn a_wait_for_any_of_several_that_all_lead_back_is_found(storage: &dyn Storage) {
    let parent = claimed(storage, locking("a", &["x"]), &host(storage).await).await;
    let waits = Arc::<ChildWaits>::default();
    let waits_for = |run: &Run, others: &[&Run]| {
        waits.begin(run.key.no, others.iter().map(|other| other.key.id.clone()).collect())
    };
    let (mut children, mut grandchildren) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let mut child = child_of(&parent, "b", &[]);
        child.parent = child.parent.map(|parent| Parent { detached: true, ..parent });
        children.push(claimed(storage, child, &host(storage).await).await);
        grandchildren.push(queued(storage, child_of(&children[children.len() - 1], "c", &["x"])).await);
    }
    let deadlock = async |run: &Run| storage.deadlock(run.key.no, Arc::clone(&waits)).await.expect("reads");
    let _parent = waits_for(&parent.run, &[&children[0].run, &children[1].run]);
    let _first = waits_for(&children[0].run, &[&grandchildren[0]]);
    assert_eq!(deadlock(&children[0].run).await, None, "the other child does not wait yet, and may end");
    let _second = waits_for(&children[1].run, &[&grandchildren[1]]);
    for (child, grandchild) in children.iter().zip(&grandchildren) {
        let reason = deadlock(&child.run).await.expect("nobody goes on");
        for named in [id(grandchild), "x, which the run", id(&parent.run), id(&child.run)] {
            assert!(reason.contains(named), "{named} in {reason}");
        }
    }
    // A run that only waits for them is in no deadlock: it continues when they do.
    let other = claimed(storage, new_run("d"), &host(storage).await).await;
    let its_child = queued(storage, child_of(&other, "c", &["x"])).await;
    let _other = waits_for(&other.run, &[&its_child]);
    assert_eq!(deadlock(&other.run).await, None);
}

async fn the_next_run_is_unblocked_when_the_first_in_line_leaves_the_queue(storage: &dyn Storage) {
    for leaves in ["cancel", "hold"] {
        let lock = format!("turn-{leaves}");
        let holder = claimed(storage, locking("a", &[&lock]), &host(storage).await).await;
        let next = queued(storage, locking("a", &[&lock])).await;
        let last = queued(storage, locking("a", &[&lock])).await;
        // The lock is free, and the next run in line is not claimed yet.
        end(storage, &holder).await;
        match leaves {
            "cancel" => drop(storage.cancel(&next.key.id).await.expect("cancels")),
            _ => drop(storage.set_paused(&next.key.id, true).await.expect("holds")),
        }
        let claimed = claim(storage, &["a"], DepthLimits::all(9)).await;
        assert_eq!(ids(&claimed), [id(&last)], "after a {leaves}");
    }
    // A run of a task that is not loaded does not block others.
    let holder = claimed(storage, locking("gone", &["z"]), &host(storage).await).await;
    queued(storage, locking("gone", &["z"])).await;
    queued(storage, locking("gone", &["z"])).await;
    end(storage, &holder).await;
    let Ok(SubmitOutcome::Queued(new)) =
        storage.submit(locking("b", &["z"]), claimant(&host(storage).await)).await
    else {
        panic!("others are in line")
    };
    assert_eq!(ids(&claim(storage, &["b"], DepthLimits::all(9)).await), [id(&new)]);
}
