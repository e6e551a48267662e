//! The embedded backend: one SQLite file in WAL mode.
//!
//! One thread owns the writing connection (`writer`); a few read-only connections serve reads in parallel (`readers`). A
//! lock file prevents a second host from opening the same database, so the writer can cache the rows of running runs
//! (`state`).
//!
//! Knows nothing of wake-ups: callers are notified by the [`Outbox`] or by the result of the call.

mod checkpoints;
mod child_runs;
mod claims;
mod clock;
mod deadlocks;
mod events;
mod group;
mod hosts;
mod list;
mod list_query;
mod lock_column;
mod locks;
mod log_size;
mod messages;
mod open_error;
mod opening;
mod pruning;
mod readers;
mod run_row;
mod runs;
mod schedules;
mod schema;
mod signals;
mod space;
mod state;
mod wait_deadlocks;
mod writer;

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;

use self::hosts::InMemory;
use self::readers::Readers;
use self::writer::Writer;
use super::{
    CancelOutcome, ChildRuns, ChildWaits, ClaimRequest, Claimant, Claimed, Condition, EventsOfRuns, Log,
    Message, MessageOutcome, NewRun, Outbox, QueueState, Result, RunFilter, Runs, ScheduleProgress,
    Schedules, Signals, SubmitOutcome,
};
use crate::model::{
    Event, Fence, HostId, Json, NewEvent, Outcome, Run, RunId, RunKey, Signal, SignalName, TaskRef, Timestamp,
};
use crate::process::Heartbeat;

pub use open_error::OpenError;
pub use opening::{DatabaseState, FILES, inspect};
pub use space::RESERVE_BYTES;

/// An open database.
pub struct Sqlite {
    writer: Writer,
    readers: Readers,
    in_memory: InMemory,
    /// Released when the process ends, however it ends.
    _lock: File,
}

impl Sqlite {
    /// Heartbeat of the writing thread.
    pub fn heartbeat(&self) -> Arc<Heartbeat> {
        self.writer.heartbeat()
    }
}

#[async_trait]
impl Runs for Sqlite {
    async fn submit(&self, run: NewRun, claimant: Option<Claimant>) -> Result<SubmitOutcome> {
        self.writer.call(move |tx| runs::submit(tx, &run, claimant.as_ref())).await
    }

    async fn queue_state(&self) -> Result<QueueState> {
        self.readers.read(list::queue_state).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>> {
        self.writer.call(move |tx| claims::claim(tx, &request)).await
    }

    async fn adjust_delays(&self) -> Result<u32> {
        self.writer.call(|tx| Ok(clock::adjust_delays(tx.db)?)).await
    }

    async fn claim_orphans(&self, owner: &HostId, limit: u32) -> Result<Vec<Claimed>> {
        let owner = owner.clone();
        self.writer.call(move |tx| claims::claim_orphans(tx, &owner, limit)).await
    }

    async fn requeue(
        &self,
        run: &RunKey,
        fence: Fence,
        event: NewEvent,
        not_before: Option<Timestamp>,
    ) -> Result<Vec<Event>> {
        let run = run.clone();
        self.writer.call_until_done(move |tx| runs::requeue(tx, &run, fence, &event, not_before)).await
    }

    async fn finish(&self, run: &RunKey, fence: Fence, outcome: Outcome) -> Result<Vec<Event>> {
        let run = run.clone();
        self.writer.call_until_done(move |tx| runs::finish(tx, &run, fence, &outcome)).await
    }

    async fn cancel(&self, run: &RunId) -> Result<CancelOutcome> {
        let run = run.clone();
        self.writer.call(move |tx| runs::cancel(tx, &run)).await
    }

    async fn cancel_requests(&self, owner: &HostId) -> Result<Vec<RunId>> {
        let owner = owner.clone();
        self.readers.read(move |db| list::cancel_requests(db, &owner)).await
    }

    async fn run(&self, id: &RunId) -> Result<Option<Run>> {
        let id = id.clone();
        self.readers.read(move |db| list::by_id(db, &id)).await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>> {
        self.readers.read(move |db| list::matching(db, &filter)).await
    }
}

#[async_trait]
impl Signals for Sqlite {
    async fn set_paused(&self, run: &RunId, paused: bool) -> Result<MessageOutcome> {
        let run = run.clone();
        self.writer.call(move |tx| signals::set_paused(tx, &run, paused)).await
    }

    async fn signal(&self, run: &RunId, signal: Signal) -> Result<MessageOutcome> {
        let run = run.clone();
        self.writer.call(move |tx| signals::signal(tx, &run, &signal)).await
    }

    async fn take_signal(
        &self,
        run: &RunKey,
        fence: Fence,
        name: Option<SignalName>,
    ) -> Result<Option<Signal>> {
        let run = run.clone();
        self.writer.call(move |tx| signals::take_signal(tx, &run, fence, name.as_ref())).await
    }

    async fn set_parameter(&self, run: &RunId, name: SignalName, value: Json) -> Result<MessageOutcome> {
        let run = run.clone();
        self.writer.call(move |tx| signals::set_parameter(tx, &run, &name, &value)).await
    }

    async fn log_message(&self, run: &RunId, event: NewEvent) -> Result<MessageOutcome> {
        let run = run.clone();
        self.writer.call_until_done(move |tx| signals::log_message(tx, &run, &event)).await
    }

    async fn parameters(&self, run: i64) -> Result<Vec<(SignalName, Json)>> {
        self.readers.read(move |db| signals::parameters(db, run)).await
    }

    async fn messages(&self, owner: &HostId, limit: u32) -> Result<Vec<Message>> {
        let owner = owner.clone();
        self.readers.read(move |db| messages::of_owner(db, &owner, limit)).await
    }

    async fn is_noted(&self, message: i64) -> Result<bool> {
        self.readers.read(move |db| messages::is_noted(db, message)).await
    }
}

#[async_trait]
impl ChildRuns for Sqlite {
    async fn first_ended(&self, parent: i64, children: Vec<RunId>) -> Result<Option<(usize, Outcome)>> {
        self.readers.read(move |db| child_runs::first_ended(db, parent, &children)).await
    }

    async fn abandoned(&self, limit: u32) -> Result<Vec<RunId>> {
        self.readers.read(move |db| child_runs::abandoned(db, limit)).await
    }

    async fn deadlock(&self, run: i64, waits: Arc<ChildWaits>) -> Result<Option<String>> {
        self.readers.read(move |db| wait_deadlocks::of_wait(db, run, &waits)).await
    }
}

#[async_trait]
impl Schedules for Sqlite {
    async fn schedules(&self) -> Result<Vec<(TaskRef, String, ScheduleProgress)>> {
        self.readers.read(schedules::all).await
    }

    async fn advance_schedule(
        &self,
        task: &TaskRef,
        name: &str,
        from: Option<ScheduleProgress>,
        to: ScheduleProgress,
    ) -> Result<bool> {
        let (task, name) = (task.clone(), name.to_owned());
        self.writer.call(move |tx| schedules::advance(tx, &task, &name, from.as_ref(), &to)).await
    }

    async fn forget_schedule(&self, task: &TaskRef, name: &str) -> Result<()> {
        let (task, name) = (task.clone(), name.to_owned());
        self.writer.call(move |tx| schedules::forget(tx, &task, &name)).await
    }
}

#[async_trait]
impl Log for Sqlite {
    fn append(&self, outbox: Arc<dyn Outbox>) {
        self.writer.append(outbox);
    }

    async fn events(&self, run: i64, after: u64, limit: u32) -> Result<Vec<Event>> {
        self.readers.read(move |db| events::page(db, run, after, limit)).await
    }

    async fn events_of_types(
        &self,
        run: i64,
        after: u64,
        to: u64,
        types: &'static [&'static str],
    ) -> Result<(Vec<Event>, u64)> {
        self.readers.read(move |db| events::of_types(db, run, after, to, types)).await
    }

    async fn events_of_runs(&self, after: Vec<(i64, u64)>, limit: u32) -> Result<EventsOfRuns> {
        self.readers.read(move |db| events::of_runs(db, &after, limit)).await
    }

    async fn last_seq(&self, run: i64) -> Result<u64> {
        self.readers.read(move |db| events::last_seq(db, run)).await
    }

    async fn save_checkpoint(
        &self,
        run: &RunKey,
        fence: Fence,
        key: String,
        value: Option<Vec<u8>>,
    ) -> Result<()> {
        let run = run.clone();
        self.writer
            .call_until_done(move |tx| checkpoints::save(tx, &run, fence, &key, value.as_deref()))
            .await
    }

    async fn load_checkpoint(&self, run: i64, key: String) -> Result<Option<Vec<u8>>> {
        self.readers.read(move |db| checkpoints::load(db, run, &key)).await
    }

    fn health(&self) -> Result<()> {
        self.writer.health()
    }

    fn condition(&self) -> Condition {
        self.writer.condition()
    }

    async fn close(&self) {
        // Before the writer: whichever connection closes last would remove the write-ahead log, and only a writing one
        // can.
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::opening::DATABASE;
    use super::*;
    use crate::model::{Lock, OnInterrupt, Part, TaskRef, Version};
    use crate::storage::{DepthLimits, Durability, HostInfo, Hosts as _, Offer, Storage, conformance};

    #[tokio::test]
    async fn conforms() {
        let folder = tempfile::tempdir().unwrap();
        let nth = std::cell::Cell::new(0);
        conformance::run(|| {
            nth.set(nth.get() + 1);
            let path = folder.path().join(nth.get().to_string());
            async move {
                std::fs::create_dir(&path).unwrap();
                Arc::new(Sqlite::open(&path, Durability::Normal).unwrap()) as Arc<dyn Storage>
            }
        })
        .await;
    }

    /// The two hosts share one open database, because a second process can't open it.
    #[tokio::test]
    async fn two_hosts_of_a_process_conform() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(Sqlite::open(folder.path(), Durability::Normal).unwrap()) as Arc<dyn Storage>;
        conformance::two_hosts::run(Arc::clone(&storage), storage).await;
    }

    #[tokio::test]
    async fn the_only_host_delivers_messages_itself() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Sqlite::open(folder.path(), Durability::Normal).unwrap();
        let owner = HostInfo::new(HostId::new());
        storage.register(&owner, 60_000).await.unwrap();
        let new = || {
            NewRun::new(RunId::new(), TaskRef::parse("test", "a").unwrap(), Json::null(), Timestamp::now())
        };
        let claimant = Claimant {
            owner: owner.id.clone(),
            version: Version::of(b"a"),
            on_interrupt: OnInterrupt::default(),
        };
        let SubmitOutcome::Claimed(run) = storage.submit(new(), Some(claimant)).await.unwrap() else {
            panic!("nothing is in its way")
        };
        let paused = storage.set_paused(&run.run.key.id, true).await;
        assert!(matches!(paused, Ok(MessageOutcome::Owner { message: 0, .. })));
        let cancelled = storage.cancel(&run.run.key.id).await;
        assert!(matches!(cancelled, Ok(CancelOutcome::Requested { message: 0, .. })));
        assert_eq!(storage.messages(&owner.id, 9).await.unwrap(), []);
        let ended = storage.finish(&run.run.key, run.fence, Outcome::Cancelled(None)).await.unwrap();
        assert_eq!(ended.len(), 1, "storage notes nothing that the host has delivered");
    }

    #[tokio::test]
    async fn a_close_leaves_one_file_also_when_a_read_is_pending() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Sqlite::open(folder.path(), Durability::Normal).unwrap();
        let ended = conformance::pruning::ended_run(&storage).await;
        let log = folder.path().join(format!("{DATABASE}-wal"));
        assert!(log.exists());
        let ((begun, begins), (go_on, goes_on)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let reading = storage.readers.read(move |db| {
            begun.send(()).unwrap();
            goes_on.recv().unwrap();
            events::last_seq(db, ended)
        });
        let mut reading = std::pin::pin!(reading);
        assert!((&mut reading).now_or_never().is_none());
        begins.recv().unwrap();
        let mut closing = std::pin::pin!(storage.close());
        assert!((&mut closing).now_or_never().is_none(), "it waits for the read");
        go_on.send(()).unwrap();
        closing.await;
        assert!(reading.await.unwrap() > 0);
        assert!(!log.exists());
    }

    #[tokio::test]
    async fn the_number_of_a_removed_run_is_not_given_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Arc::new(Sqlite::open(folder.path(), Durability::Normal).unwrap()) as Arc<dyn Storage>;
        let storage = open();
        let removed = conformance::pruning::ended_run(&*storage).await;
        assert_eq!(storage.prune(vec![removed], Part::Run).await.unwrap().done, 1);
        storage.close().await;
        drop(storage);
        assert!(conformance::pruning::ended_run(&*open()).await > removed);
    }

    /// Waiting runs are counted in memory, and counted again after each start.
    #[tokio::test]
    async fn the_first_message_after_a_start_leaves_no_run_waiting_for_ever() {
        let (task, version) = (TaskRef::parse("test", "a").unwrap(), Version::of(b"a"));
        let new = || NewRun::new(RunId::new(), task.clone(), Json::null(), Timestamp::now());
        for first in ["cancel", "pause", "resume"] {
            let folder = tempfile::tempdir().unwrap();
            let storage = Sqlite::open(folder.path(), Durability::Normal).unwrap();
            let runs = [new(), new()];
            let ids = [runs[0].id.clone(), runs[1].id.clone()];
            for run in runs {
                storage.submit(run, None).await.unwrap();
            }
            if first == "resume" {
                storage.set_paused(&ids[0], true).await.unwrap();
            }
            storage.close().await;
            drop(storage);

            let storage = Sqlite::open(folder.path(), Durability::Normal).unwrap();
            match first {
                "cancel" => drop(storage.cancel(&ids[0]).await.unwrap()),
                _ => drop(storage.set_paused(&ids[0], first == "pause").await.unwrap()),
            }
            let on_interrupt = OnInterrupt::default();
            let offer = Offer { task: task.clone(), version, room: 10, on_interrupt };
            let request =
                ClaimRequest { owner: HostId::new(), tasks: vec![offer], limits: DepthLimits::all(10) };
            let claimed = storage.claim(request).await.unwrap();
            assert_eq!(claimed.len(), if first == "resume" { 2 } else { 1 }, "{first}");
            let claimant = Claimant { owner: HostId::new(), version, on_interrupt };
            let next = storage.submit(new(), Some(claimant)).await.unwrap();
            assert!(matches!(next, SubmitOutcome::Claimed(_)), "after {first}, no run waits: {next:?}");
        }
    }

    /// The same for locks that running runs hold.
    #[tokio::test]
    async fn a_lock_held_before_a_start_is_released_once() {
        let (task, version) = (TaskRef::parse("test", "a").unwrap(), Version::of(b"a"));
        let on_interrupt = OnInterrupt::default();
        let claimant = |owner: &HostId| Some(Claimant { owner: owner.clone(), version, on_interrupt });
        let new = || NewRun {
            locks: vec![Lock { name: "x".to_owned(), capacity: 2 }],
            ..NewRun::new(RunId::new(), task.clone(), Json::null(), Timestamp::now())
        };
        let folder = tempfile::tempdir().unwrap();
        let storage = Sqlite::open(folder.path(), Durability::Normal).unwrap();
        for _ in 0..2 {
            storage.submit(new(), claimant(&HostId::new())).await.unwrap();
        }
        storage.close().await;
        drop(storage);

        let storage = Sqlite::open(folder.path(), Durability::Normal).unwrap();
        let owner = HostId::new();
        storage.register(&HostInfo::new(owner.clone()), 60_000).await.unwrap();
        let taken = storage.claim_orphans(&owner, 10).await.unwrap();
        let ended = Outcome::Completed(Json::null());
        storage.finish(&taken[0].run.key, taken[0].fence, ended).await.unwrap();
        let third = storage.submit(new(), claimant(&owner)).await.unwrap();
        assert!(matches!(third, SubmitOutcome::Claimed(_)), "one was released: {third:?}");
        let fourth = storage.submit(new(), claimant(&owner)).await.unwrap();
        assert!(matches!(fourth, SubmitOutcome::Queued(_)), "and only one: {fourth:?}");
    }

    #[test]
    fn a_second_host_on_the_same_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = Sqlite::open(folder.path(), Durability::Normal).unwrap();
        assert!(matches!(Sqlite::open(folder.path(), Durability::Normal), Err(OpenError::InUse)));
        drop(first);
        assert!(Sqlite::open(folder.path(), Durability::Normal).is_ok());
    }

    #[test]
    fn a_file_that_is_no_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join(DATABASE),
            "this is not a database, whatever its name says ".repeat(100),
        )
        .unwrap();
        assert!(matches!(Sqlite::open(folder.path(), Durability::Normal), Err(OpenError::Sqlite(_))));
    }
}
