//! Hosts: leases, what a host that was declared dead can still do, duties, offers, and clients.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::{
    append, claimant, claimed, event, events, get, host, host_with_lease, new_run, queued, task, try_claim,
    types, version,
};
use crate::model::{HostId, Json, NewEvent, OnDisconnect, Outcome, RunStatus, TaskRef};
use crate::storage::{Claimed, HostInfo, NewRun, Result, Storage, StorageError};

pub(super) async fn run<F: Future<Output = Arc<dyn Storage>>>(open: &impl Fn() -> F) {
    a_host_is_alive_from_its_registration_until_it_leaves(&*open().await).await;
    a_host_that_is_late_keeps_its_runs_if_nobody_has_claimed_them(&*open().await).await;
    a_host_whose_own_lease_is_over_declares_nobody_dead(&*open().await).await;
    a_host_that_was_declared_dead_is_refused_by_every_method(open().await).await;
    a_host_that_left_is_refused_and_its_runs_are_orphans_at_once(open().await).await;
    a_duty_is_held_by_one_host_at_a_time(&*open().await).await;
    tasks_are_offered_by_live_hosts(&*open().await).await;
    a_run_without_clients_at_any_host_is_found(&*open().await).await;
}

/// Longer than a lease of 0 ms lasts.
pub(super) async fn until_the_lease_is_over() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

async fn a_host_is_alive_from_its_registration_until_it_leaves(storage: &dyn Storage) {
    assert_eq!(storage.hosts().await.expect("reads"), []);
    let url = Some("http://one.lan:8080".to_owned());
    let first = HostInfo { name: "one".to_owned(), url, ..HostInfo::new(HostId::new()) };
    let second = HostInfo::new(HostId::new());
    let lease = storage.register(&first, 60_000).await.expect("registers");
    assert_eq!(lease.others, 0);
    assert_eq!(storage.register(&second, 60_000).await.expect("registers").others, 1);
    assert_eq!(storage.register(&first, 60_000).await.expect("registers again").others, 1);
    claimed(storage, new_run("a"), &second.id).await;
    let live = storage.hosts().await.expect("reads");
    let runs = |host: &HostInfo| {
        let found = live.iter().find(|live| live.info == *host).expect("it is alive");
        assert!(found.lease_until > lease.now);
        found.runs
    };
    assert_eq!((live.len(), runs(&first), runs(&second)), (2, 0, 1));

    let renewed = storage.renew_lease(&first.id, 60_000).await.expect("renews");
    assert!(renewed.others == 1 && renewed.now >= lease.now);
    storage.leave(&second.id).await.expect("leaves");
    assert_eq!(storage.renew_lease(&first.id, 60_000).await.expect("renews").others, 0);
    let live: Vec<HostId> =
        storage.hosts().await.expect("reads").into_iter().map(|live| live.info.id).collect();
    assert_eq!(live, [first.id]);
    assert_fenced(
        storage.renew_lease(&HostId::new(), 60_000).await,
        "renewal by a host that has not registered",
    );
}

async fn a_host_that_is_late_keeps_its_runs_if_nobody_has_claimed_them(storage: &dyn Storage) {
    let (late, other) = (host_with_lease(storage, 0).await, host(storage).await);
    let run = claimed(storage, new_run("a"), &late).await;
    until_the_lease_is_over().await;
    storage.renew_lease(&late, 60_000).await.expect("renews");
    assert!(storage.claim_orphans(&other, 9).await.expect("reads").is_empty());
    storage.finish(&run.run.key, run.fence, Outcome::Completed(Json::null())).await.expect("finishes");
}

async fn a_host_whose_own_lease_is_over_declares_nobody_dead(storage: &dyn Storage) {
    let (late, other) = (host_with_lease(storage, 0).await, host_with_lease(storage, 0).await);
    let run = claimed(storage, new_run("a"), &other).await;
    until_the_lease_is_over().await;
    assert!(storage.claim_orphans(&late, 9).await.expect("reads").is_empty(), "both may have been cut off");
    assert_eq!(storage.renew_lease(&late, 60_000).await.expect("renews").others, 1);
    let taken = storage.claim_orphans(&late, 9).await.expect("takes over");
    assert_eq!(taken[0].run.key, run.run.key, "the other had its time");
}

async fn a_host_that_was_declared_dead_is_refused_by_every_method(storage: Arc<dyn Storage>) {
    let (dead, heir) = (host_with_lease(&*storage, 0).await, host(&*storage).await);
    let runs = [
        claimed(&*storage, new_run("a"), &dead).await,
        claimed(&*storage, new_run("a"), &dead).await,
        claimed(&*storage, new_run("a"), &dead).await,
    ];
    until_the_lease_is_over().await;
    // Its other runs wait for the next call. It lost them all the same.
    let taken = storage.claim_orphans(&heir, 1).await.expect("takes over");
    assert_eq!((taken.len(), &taken[0].run.key), (1, &runs[0].run.key));
    for run in &runs {
        is_refused_by_every_method(&storage, &dead, run).await;
    }
    let rest = storage.claim_orphans(&heir, 9).await.expect("takes over");
    assert_eq!(rest.len(), 2, "only once");
    for (run, lost) in taken.iter().chain(&rest).zip(&runs) {
        assert!(run.fence > lost.fence);
        append(&storage, run.run.key.no, run.fence, vec![event("e", 1)]).await.expect("appends");
        storage.finish(&run.run.key, run.fence, Outcome::Completed(Json::null())).await.expect("finishes");
        let expected = ["run.started", "e", "run.completed"];
        assert_eq!(types(&events(&*storage, run.run.key.no).await), expected);
    }
    // It goes on as another host.
    let again = host(&*storage).await;
    claimed(&*storage, new_run("a"), &again).await;
    assert_eq!(storage.renew_lease(&heir, 60_000).await.expect("renews").others, 1);
}

/// Asserts that every write of this host is rejected, and changes nothing.
pub(super) async fn is_refused_by_every_method(storage: &Arc<dyn Storage>, host: &HostId, owned: &Claimed) {
    let (key, fence) = (&owned.run.key, owned.fence);
    let before = events(&**storage, key.no).await;
    let waiting = queued(&**storage, new_run("for-a-dead-host")).await;

    let new = new_run("for-a-dead-host-too");
    let id = new.id.clone();
    assert_fenced(storage.submit(new, claimant(host)).await, "submit");
    assert!(storage.run(&id).await.expect("reads").is_none(), "a refused submit stores nothing");
    let offers = [("for-a-dead-host", 9)];
    assert_fenced(try_claim(&**storage, host, &offers, 9).await, "claim");
    assert_fenced(storage.claim_orphans(host, 9).await, "claim_orphans");
    assert_fenced(append(storage, key.no, fence, vec![event("late", 1)]).await, "append");
    assert_fenced(storage.finish(key, fence, Outcome::Completed(Json::null())).await, "finish");
    assert_fenced(storage.requeue(key, fence, NewEvent::queued(None), None).await, "requeue");
    let saved = storage.save_checkpoint(key, fence, "late".to_owned(), Some(vec![1])).await;
    assert_fenced(saved, "save_checkpoint");
    assert_fenced(storage.take_signal(key, fence, None).await, "take_signal");
    assert_fenced(storage.register(&HostInfo::new(host.clone()), 60_000).await, "register");
    assert_fenced(storage.renew_lease(host, 60_000).await, "renew_lease");
    assert_fenced(storage.offer(host, &[(task("a"), version())]).await, "offer");
    assert_fenced(storage.hold_duty("for-a-dead-host", host, 60_000).await, "hold_duty");
    assert_fenced(storage.set_clients(key, host, 1).await, "set_clients");

    assert!(storage.hosts().await.expect("reads").iter().all(|live| live.info.id != *host));
    assert_eq!(get(&**storage, &waiting.key.id).await.status, RunStatus::Queued);
    assert_eq!(events(&**storage, key.no).await, before);
    assert_eq!(storage.load_checkpoint(key.no, "late".to_owned()).await.expect("reads"), None);
    storage.cancel(&waiting.key.id).await.expect("ends");
}

#[track_caller]
fn assert_fenced<T>(result: Result<T>, method: &str) {
    match result {
        Err(StorageError::Fenced) => {}
        Err(error) => panic!("{method}: {error}"),
        Ok(_) => panic!("{method} was not refused"),
    }
}

async fn a_host_that_left_is_refused_and_its_runs_are_orphans_at_once(storage: Arc<dyn Storage>) {
    let (gone, heir) = (host(&*storage).await, host(&*storage).await);
    let run = claimed(&*storage, new_run("a"), &gone).await;
    storage.leave(&gone).await.expect("leaves");
    is_refused_by_every_method(&storage, &gone, &run).await;
    let taken = storage.claim_orphans(&heir, 9).await.expect("takes over");
    assert_eq!(taken[0].run.key, run.run.key);
    assert!(taken[0].fence > run.fence);
}

async fn a_duty_is_held_by_one_host_at_a_time(storage: &dyn Storage) {
    let (one, other) = (host(storage).await, host(storage).await);
    let hold = async |duty, host, ms| storage.hold_duty(duty, host, ms).await.expect("asks");
    assert!(hold("sweep", &one, 60_000).await);
    assert!(!hold("sweep", &other, 60_000).await, "the first has it");
    assert!(hold("sweep", &one, 60_000).await, "and keeps it");
    assert!(hold("follow", &other, 60_000).await, "duties are separate");
    assert!(hold("sweep", &one, 0).await, "it gives it up");
    until_the_lease_is_over().await;
    assert!(hold("sweep", &other, 60_000).await);
    assert!(!hold("sweep", &one, 60_000).await);
    storage.leave(&other).await.expect("leaves");
    assert!(hold("sweep", &one, 60_000).await, "a host that is gone has no duties");
}

async fn tasks_are_offered_by_live_hosts(storage: &dyn Storage) {
    let (one, other) = (host(storage).await, host_with_lease(storage, 0).await);
    let offered = async || storage.offered().await.expect("reads");
    let offer = async |host, names: &[&str]| {
        let tasks: Vec<_> = names.iter().map(|name| (task(name), version())).collect();
        storage.offer(host, &tasks).await.expect("stores");
    };
    let tasks = |names: &[&str]| names.iter().map(|name| task(name)).collect::<Vec<TaskRef>>();
    assert_eq!(offered().await, []);
    offer(&one, &["c", "a"]).await;
    offer(&other, &["b", "c"]).await;
    assert_eq!(offered().await, tasks(&["a", "b", "c"]));
    offer(&one, &["d"]).await;
    assert_eq!(offered().await, tasks(&["b", "c", "d"]), "in place of the earlier ones");
    until_the_lease_is_over().await;
    storage.claim_orphans(&one, 9).await.expect("looks");
    assert_eq!(offered().await, tasks(&["d"]), "the other is dead");
    storage.leave(&one).await.expect("leaves");
    assert_eq!(offered().await, []);
}

async fn a_run_without_clients_at_any_host_is_found(storage: &dyn Storage) {
    let (one, other) = (host(storage).await, host_with_lease(storage, 0).await);
    let new = || NewRun { on_disconnect: OnDisconnect::Cancel, ..new_run("a") };
    let read = claimed(storage, new(), &one).await.run.key;
    let never_read = claimed(storage, new(), &one).await.run.key;
    let without = async |since_ms| storage.without_clients(since_ms, 9).await.expect("reads");
    let set = async |host, clients| storage.set_clients(&read, host, clients).await.expect("stores");
    set(&one, 2).await;
    set(&other, 1).await;
    assert_eq!(without(0).await, []);
    set(&one, 0).await;
    assert_eq!(without(0).await, [], "the other host has one");
    until_the_lease_is_over().await;
    storage.claim_orphans(&one, 9).await.expect("looks");
    // The first look may be the one that notices.
    without(0).await;
    until_the_lease_is_over().await;
    assert_eq!(without(0).await, std::slice::from_ref(&read.id), "the other host is dead");
    assert_eq!(without(60_000).await, [], "not for so long");
    let wait = Duration::from_millis(300);
    tokio::time::sleep(wait).await;
    set(&one, 0).await;
    assert_eq!(without(300).await, std::slice::from_ref(&read.id), "a repeated report puts nothing off");
    set(&one, 1).await;
    assert_eq!(without(0).await, [], "a client has come back");
    set(&one, 0).await;
    until_the_lease_is_over().await;
    assert_eq!(without(0).await, std::slice::from_ref(&read.id));
    assert_eq!(storage.without_clients(0, 0).await.expect("reads"), []);
    storage.cancel(&read.id).await.expect("asks");
    assert_eq!(without(0).await, [], "it is being cancelled");
    assert_eq!(get(storage, &never_read.id).await.status, RunStatus::Running);
}
