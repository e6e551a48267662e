//! Two hosts that share one database: what one does for the runs of the other, and what becomes of a host that is cut off.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use streamtask_host::model::{Event, Json, Retention, Run, RunId, RunStatus, Signal, SignalName, TaskRef};
use streamtask_host::platform;
use streamtask_host::scheduler::{Capacity, Request};
use streamtask_host::storage::sqlite::Sqlite;
use streamtask_host::storage::{CancelOutcome, Durability, MessageOutcome, RunFilter, Storage};
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::hints::Hints;
use crate::link::Link;
use crate::rooms::{LEASE, Rooms, Shared};
use crate::script::{Op, Script, Scripts, TAKEN, Watched};
use crate::world::ram_folder;

/// Runs at once on each host.
const SLOTS: u32 = 4;
/// Time in which what takes no time at all has happened.
const SETTLE: Duration = Duration::from_millis(200);
/// Time in which a host that does not renew its lease is declared dead, and its runs are settled.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(15 + 10);

/// A host of a test.
struct Host {
    rooms: Rooms,
    link: Arc<Link>,
    watched: Arc<Watched>,
}

/// The hosts of a test, and what they share.
struct Hosts {
    storage: Arc<dyn Storage>,
    hints: Hints,
    folder: tempfile::TempDir,
}

impl Hosts {
    async fn start(&self) -> Host {
        self.start_in(self.folder.path(), Retention::default()).await
    }

    /// Starts a host with the tasks of that folder. `retention` is for tasks of which no host has a file.
    async fn start_in(&self, folder: &Path, retention: Retention) -> Host {
        let watched = Arc::<Watched>::default();
        let max_instances = Capacity::guests(SLOTS);
        let engine = Arc::new(Scripts { max_instances, watched: Arc::clone(&watched) });
        let link = Link::new(Arc::clone(&self.storage));
        let shared = Shared { link: Arc::clone(&link), notifier: self.hints.join() };
        let rooms = Rooms::start_shared(folder, SLOTS, engine, shared, retention).await.unwrap();
        let mut changes = rooms.registry.changes();
        while !rooms.registry.is_complete() {
            changes.changed().await;
        }
        Host { rooms, link, watched }
    }

    async fn run(&self, id: &RunId) -> Run {
        self.storage.run(id).await.unwrap().unwrap()
    }

    /// The types of the run's events, oldest first, with the attempt that each belongs to.
    async fn log(&self, id: &RunId) -> Vec<(u32, String)> {
        let events = self.events(id).await;
        events.iter().map(|event| (event.attempt, event.what.event_type.as_str().to_owned())).collect()
    }

    async fn events(&self, id: &RunId) -> Vec<Event> {
        let events = self.storage.events(self.run(id).await.key.no, 0, 10_000).await.unwrap();
        assert!(events.iter().zip(1..).all(|(event, seq)| event.seq == seq), "a log has a gap");
        events
    }

    async fn count(&self, id: &RunId, event_type: &str) -> usize {
        self.log(id).await.iter().filter(|(_, found)| found == event_type).count()
    }

    /// Waits until the run has ended.
    async fn end(&self, id: &RunId) -> RunStatus {
        for _ in 0..10_000 {
            let status = self.run(id).await.status;
            if status.is_terminal() {
                return status;
            }
            sleep(SETTLE).await;
        }
        panic!("the run does not end: {:?}", self.log(id).await);
    }
}

impl Host {
    /// Starts a run of these operations, which this host executes at once if it has a slot.
    async fn start(&self, ops: Vec<Op>) -> RunId {
        let script = Script { ops, ..Script::default() };
        let request = Request::new(TaskRef::parse_path("plain").unwrap(), Json::of(&script));
        let id = self.rooms.scheduler.submit(request).await.unwrap().run.key.id;
        sleep(SETTLE).await;
        id
    }

    fn executes(&self, id: &RunId) -> bool {
        self.watched.alive().contains(id.as_str())
    }

    async fn signal(&self, id: &RunId) -> MessageOutcome {
        let signal = Signal { name: SignalName::parse("go").unwrap(), payload: Json::null() };
        self.rooms.scheduler.signal(id, signal).await.unwrap()
    }

    async fn set_paused(&self, id: &RunId, paused: bool) -> MessageOutcome {
        self.rooms.scheduler.set_paused(id, paused).await.unwrap()
    }

    async fn set_level(&self, id: &RunId, level: u32) -> MessageOutcome {
        let name = SignalName::parse("level").unwrap();
        self.rooms.scheduler.set_parameter(id, name, Json::of(&level)).await.unwrap()
    }

    /// What a kill does.
    async fn kill(self) {
        self.link.sever();
        self.rooms.end().await;
    }
}

fn is_noted(outcome: &MessageOutcome) -> bool {
    matches!(outcome, MessageOutcome::Owner { message: 0, .. })
}

/// Sends an event each second.
fn ticks(seconds: usize) -> Vec<Op> {
    (0..seconds).flat_map(|_| [Op::Send(1), Op::Sleep(1_000)]).collect()
}

/// Runs a test on simulated time, with a folder of one task.
fn simulate<F: Future<Output = ()>>(test: impl FnOnce(Hosts) -> F) {
    simulate_with(&[("plain", "")], test);
}

fn simulate_with<F: Future<Output = ()>>(tasks: &[(&str, &str)], test: impl FnOnce(Hosts) -> F) {
    let folder = ram_folder();
    fs::create_dir(folder.path().join("tasks")).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    for (task, manifest) in tasks {
        fs::write(folder.path().join(format!("tasks/{task}.wasm")), "any content").unwrap();
        fs::write(folder.path().join(format!("tasks/{task}.toml")), manifest).unwrap();
    }
    fastrand::seed(1);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let _clock = platform::simulate(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        // No fault of the host in these tests.
        platform::panic_at_fault_point(u32::MAX);
        let sqlite = Sqlite::open(&folder.path().join("data"), Durability::Normal).unwrap();
        test(Hosts { storage: Arc::new(sqlite), hints: Hints::new(0), folder }).await;
    });
}

#[test]
fn a_run_is_paused_resumed_and_cancelled_at_another_host() {
    simulate(async |hosts| {
        let (a, b) = (hosts.start().await, hosts.start().await);
        let id = a.start(ticks(600)).await;
        assert!(a.executes(&id));
        assert!(is_noted(&b.set_paused(&id, true).await));
        let paused = hosts.log(&id).await;
        assert_eq!(paused.last().unwrap().1, "run.paused", "nothing comes after it");
        sleep(Duration::from_secs(30)).await;
        assert_eq!(hosts.log(&id).await, paused, "the guest does nothing meanwhile");
        assert!(matches!(b.set_paused(&id, true).await, MessageOutcome::Unchanged(_)));
        assert!(is_noted(&b.set_paused(&id, false).await));
        sleep(Duration::from_secs(5)).await;
        let resumed = hosts.log(&id).await;
        assert_eq!(resumed[paused.len()].1, "run.resumed");
        assert!((3..8).contains(&(resumed.len() - paused.len())), "it continues: {resumed:?}");
        let cancelled = b.rooms.scheduler.cancel(&id).await.unwrap();
        assert!(matches!(cancelled, CancelOutcome::Requested { .. }));
        sleep(SETTLE).await;
        assert_eq!(hosts.run(&id).await.status, RunStatus::Cancelled, "at once");
        assert!(!a.executes(&id));
    });
}

#[test]
fn a_signal_of_another_host_reaches_the_guest_after_its_note() {
    simulate(async |hosts| {
        let (a, b) = (hosts.start().await, hosts.start().await);
        let id = a.start(vec![Op::Signal(60_000), Op::Signal(60_000), Op::Sleep(1_000)]).await;
        assert!(is_noted(&b.signal(&id).await) && is_noted(&a.signal(&id).await));
        sleep(SETTLE).await;
        let log: Vec<_> = hosts.log(&id).await.into_iter().map(|(_, event)| event).collect();
        let of = |wanted: &str| -> Vec<usize> {
            log.iter().enumerate().filter(|(_, name)| *name == wanted).map(|(at, _)| at).collect()
        };
        let (sent, taken) = (of("run.signal"), of(TAKEN));
        assert_eq!((sent.len(), taken.len()), (2, 2), "{log:?}");
        assert!(sent.iter().zip(&taken).all(|(sent, taken)| sent < taken), "{log:?}");
        assert_eq!(hosts.end(&id).await, RunStatus::Completed);
    });
}

#[test]
fn messages_of_several_hosts_are_noted_once_each_and_the_last_one_counts() {
    simulate(async |hosts| {
        let (a, b) = (hosts.start().await, hosts.start().await);
        let id = a.start(vec![Op::Sleep(600_000)]).await;
        let send = async |host: &Host, first: u32| {
            for level in first..first + 40 {
                assert!(is_noted(&host.set_level(&id, level).await));
                if level % 5 == 0 {
                    host.set_paused(&id, level % 10 == 0).await;
                }
            }
        };
        tokio::join!(send(&a, 100), send(&b, 200), send(&b, 300));
        let events = hosts.events(&id).await;
        let levels: Vec<String> = events
            .iter()
            .filter(|event| event.what.event_type.as_str() == "run.parameter")
            .map(|event| format!("{:?}", event.what.content))
            .collect();
        assert_eq!(levels.len(), 120, "each once");
        for first in [100, 200, 300] {
            let of_sender: Vec<_> =
                levels.iter().filter(|text| text.contains(&format!("\"value\":{}", first / 100))).collect();
            assert!(of_sender.is_sorted(), "in the order of their sender: {of_sender:?}");
        }
        let stored = hosts.storage.parameters(hosts.run(&id).await.key.no).await.unwrap();
        assert!(levels.last().unwrap().contains(&format!("\"value\":{}", stored[0].1.as_str())));
        // `paused` and `resumed` take turns, and the guest is in the state that the last one says.
        let states: Vec<_> = hosts.log(&id).await.into_iter().map(|(_, event)| event).collect();
        let states: Vec<_> =
            states.iter().filter(|event| ["run.paused", "run.resumed"].contains(&event.as_str())).collect();
        assert!(states.windows(2).all(|pair| pair[0] != pair[1]), "{states:?}");
        let is_paused = states.last().is_some_and(|event| *event == "run.paused");
        assert_eq!(hosts.run(&id).await.status == RunStatus::Paused, is_paused);
        drop((a, b));
    });
}

#[test]
fn a_message_to_a_host_that_is_cut_off_is_noted_by_the_one_that_settles_its_runs() {
    simulate(async |hosts| {
        let (a, b) = (hosts.start().await, hosts.start().await);
        sleep(LEASE).await;
        let id = a.start(vec![Op::Checkpoint, Op::Sleep(600_000)]).await;
        a.link.cut();
        let outcome = b.signal(&id).await;
        let MessageOutcome::Owner { message, .. } = outcome else { panic!("it has an owner: {outcome:?}") };
        assert!(message > 0 && !hosts.storage.is_noted(message).await.unwrap(), "it is only stored");
        sleep(TAKEN_OVER_WITHIN).await;
        assert!(hosts.storage.is_noted(message).await.unwrap());
        a.link.restore();
        sleep(TAKEN_OVER_WITHIN).await;
        let log = hosts.log(&id).await;
        let at = |wanted: &str| log.iter().position(|(_, event)| event == wanted).unwrap();
        assert!(at("run.signal") < at("run.retrying"), "{log:?}");
        assert_eq!(hosts.count(&id, "run.signal").await, 1);
    });
}

#[test]
fn a_host_that_is_cut_off_for_longer_than_its_lease_loses_its_runs_once_and_works_on() {
    simulate(async |hosts| {
        let (a, b) = (hosts.start().await, hosts.start().await);
        sleep(LEASE).await;
        let mut ops = vec![Op::Checkpoint];
        ops.extend(ticks(120));
        let saved = a.start(ops).await;
        let unsaved = a.start(ticks(120)).await;
        assert!(a.executes(&saved) && a.executes(&unsaved));
        let before = a.rooms.scheduler.shared_host()();
        a.link.cut();
        sleep(TAKEN_OVER_WITHIN).await;
        assert!(b.executes(&saved), "it is settled, and goes on elsewhere");
        assert_eq!(hosts.run(&unsaved).await.status, RunStatus::Failed, "it has no checkpoint");
        assert!(a.executes(&saved), "the host that is cut off can't know");
        let ended = hosts.log(&unsaved).await;
        a.link.restore();
        sleep(SETTLE).await;
        assert!(!a.executes(&saved) && !a.executes(&unsaved), "it has dropped its attempts");
        assert_ne!(a.rooms.scheduler.shared_host()(), before, "it is another host now");
        assert_eq!(hosts.log(&unsaved).await, ended, "nothing comes after the end");
        let again = a.start(vec![Op::Sleep(1_000)]).await;
        assert!(a.executes(&again), "it works on");
        assert_eq!(hosts.end(&again).await, RunStatus::Completed);
        assert_eq!(hosts.end(&saved).await, RunStatus::Completed);
        let log = hosts.log(&saved).await;
        assert!(log.is_sorted_by_key(|(attempt, _)| *attempt), "late events were refused: {log:?}");
        assert_eq!(hosts.count(&saved, "run.retrying").await, 1);
        assert_eq!(hosts.count(&saved, "run.started").await, 2);
    });
}

#[test]
fn the_orphans_of_a_dead_host_are_settled_once_by_the_others() {
    simulate(async |hosts| {
        let (a, b, c) = (hosts.start().await, hosts.start().await, hosts.start().await);
        sleep(LEASE).await;
        let mut runs = Vec::new();
        for _ in 0..SLOTS {
            runs.push(a.start(vec![Op::Checkpoint, Op::Sleep(40_000)]).await);
        }
        let cancelled = runs.pop().unwrap();
        a.link.cut();
        b.rooms.scheduler.cancel(&cancelled).await.unwrap();
        a.kill().await;
        for run in &runs {
            assert_eq!(hosts.end(run).await, RunStatus::Completed);
            assert_eq!(hosts.count(run, "run.retrying").await, 1);
        }
        assert_eq!(hosts.end(&cancelled).await, RunStatus::Cancelled);
        drop((b, c));
    });
}

#[test]
fn a_late_lease_suspends_all_guests_and_claims_until_it_is_renewed() {
    simulate(async |hosts| {
        let a = hosts.start().await;
        let id = a.start(ticks(60)).await;
        a.link.delay_renewals(true);
        // The last renewal was at most a third of a lease ago.
        sleep(LEASE).await;
        let suspended = hosts.log(&id).await;
        let queued = a.start(vec![Op::Sleep(100)]).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(hosts.log(&id).await, suspended, "the guest does nothing");
        assert!(a.executes(&id) && hosts.count(&id, "run.paused").await == 0, "it is suspended, not paused");
        assert_eq!(hosts.run(&id).await.status, RunStatus::Running);
        assert_eq!(hosts.run(&queued).await.status, RunStatus::Queued, "nothing is claimed");
        // A client's pause ends, and the suspension does not.
        a.set_paused(&id, true).await;
        a.set_paused(&id, false).await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(hosts.log(&id).await.len(), suspended.len() + 2);
        a.link.delay_renewals(false);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(hosts.run(&queued).await.status, RunStatus::Completed);
        assert!(hosts.log(&id).await.len() > suspended.len() + 4, "it continues");
        assert_eq!(hosts.end(&id).await, RunStatus::Completed);
    });
}

#[test]
#[ignore = "fails: a renewal and a claim of orphans that both waited for the database are executed in this order, before \
            the other hosts could renew their leases"]
fn no_run_is_lost_when_the_database_was_away_from_all_hosts() {
    simulate(async |hosts| {
        let (a, b) = (hosts.start().await, hosts.start().await);
        sleep(2 * LEASE).await;
        let id = a.start(ticks(30)).await;
        a.link.cut();
        b.link.cut();
        sleep(4 * LEASE).await;
        b.link.restore();
        // The other one needs a little longer.
        sleep(Duration::from_secs(8)).await;
        a.link.restore();
        assert_eq!(hosts.end(&id).await, RunStatus::Completed);
        assert_eq!(hosts.run(&id).await.attempt, 1);
    });
}

#[test]
fn a_host_that_stops_leaves_its_waiting_runs_to_the_others_at_once() {
    simulate(async |hosts| {
        let (a, b) = (hosts.start().await, hosts.start().await);
        sleep(LEASE).await;
        let id = a.start(vec![Op::Checkpoint, Op::Sleep(600_000)]).await;
        b.set_paused(&id, true).await;
        a.rooms.stop().await;
        b.set_paused(&id, false).await;
        sleep(Duration::from_secs(2)).await;
        assert!(b.executes(&id));
        assert_eq!(hosts.storage.hosts().await.unwrap().len(), 1, "only one is left");
    });
}

#[test]
fn a_schedule_is_followed_by_one_host_and_by_the_next_when_that_dies() {
    let cron = "[[schedule]]\nname = \"s\"\ncron = \"* * * * *\"\nmisfire = \"skip\"\n";
    simulate_with(&[("cron", cron)], async |hosts| {
        let (a, b) = (hosts.start().await, hosts.start().await);
        sleep(Duration::from_secs(290)).await;
        // Some seconds before the next start.
        a.kill().await;
        sleep(Duration::from_secs(310)).await;
        let runs = hosts.storage.runs(RunFilter { limit: 100, ..RunFilter::default() }).await.unwrap();
        let mut minutes: Vec<i64> = runs.iter().map(|run| run.created_at.as_millis() / 60_000).collect();
        minutes.sort_unstable();
        assert!(minutes.windows(2).all(|pair| pair[1] - pair[0] == 1), "one in each minute: {minutes:?}");
        assert!((9..=11).contains(&minutes.len()), "{minutes:?}");
        drop(b);
    });
}

#[test]
fn a_parent_waits_for_the_children_that_another_host_executes() {
    simulate(async |hosts| {
        let (a, b) = (hosts.start().await, hosts.start().await);
        let child = |ops: Vec<Op>| {
            Op::Child(Box::new(crate::script::Child {
                task: "plain".to_owned(),
                script: Script { ops, ..Script::default() },
                key: None,
                detached: false,
            }))
        };
        let mut ops: Vec<Op> = (0..8).map(|_| child(vec![Op::Sleep(5_000)])).collect();
        ops.push(Op::AwaitAll);
        let parent = a.start(ops).await;
        assert!(b.watched.alive().len() > 1, "a host has slots for some of them");
        assert_eq!(hosts.end(&parent).await, RunStatus::Completed);
        // The children of a parent that ends are cancelled, wherever they are.
        let mut ops: Vec<Op> = (0..8).map(|_| child(vec![Op::Sleep(600_000)])).collect();
        ops.push(Op::Fail);
        let parent = a.start(ops).await;
        assert_eq!(hosts.end(&parent).await, RunStatus::Failed);
        sleep(Duration::from_secs(30)).await;
        assert!(a.watched.alive().is_empty() && b.watched.alive().is_empty());
    });
}

#[test]
fn a_host_prunes_no_task_of_which_only_another_one_has_the_file() {
    simulate(async |hosts| {
        let without_tasks = ram_folder();
        fs::create_dir(without_tasks.path().join("tasks")).unwrap();
        fs::create_dir(without_tasks.path().join("data")).unwrap();
        let keep_one = Retention { max_runs: Some(1), ..Retention::default() };
        // It comes first, so it is the one that sweeps.
        let b = hosts.start_in(without_tasks.path(), keep_one).await;
        sleep(LEASE).await;
        let a = hosts.start().await;
        for _ in 0..3 {
            let id = a.start(Vec::new()).await;
            assert_eq!(hosts.end(&id).await, RunStatus::Completed);
        }
        let count = async || {
            let all = RunFilter { limit: 10, ..RunFilter::default() };
            hosts.storage.runs(all).await.unwrap().len()
        };
        sleep(Duration::from_secs(3_600)).await;
        assert_eq!(count().await, 3, "its own rules are for tasks that nobody has");
        a.rooms.stop().await;
        sleep(Duration::from_secs(3_600)).await;
        assert_eq!(count().await, 1, "now nobody has it");
        drop(b);
    });
}
