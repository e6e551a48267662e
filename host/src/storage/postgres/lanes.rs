//! The writing connections, each with a task that gathers commands while its statement is under way: group commit without a
//! timer.
//!
//! The queue has a lane of its own, so that a claim that waits never holds up a log. A run is always on the same log lane,
//! so the order of calls holds for each run, which is all that anybody relies on. Leases have a connection beside these,
//! because a renewal must never wait for a group.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_postgres::Row;
use tokio_util::task::TaskTracker;

use super::group::{Append, Call, Command, End, Parameter, Plain, Submit, SubmitAnswer, Urgency};
use super::lane_state::{GATED_LANES, LOG_LANES, LaneState};
use super::lane_task::LaneTask;
use crate::model::Event;
use crate::postgres::{Connector, SessionSettings};
use crate::storage::{Durability, Outbox, Result, StorageError};

/// Which connection makes a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// The queue: submits, claims, messages to runs, pruning.
    Queue,
    /// The log of the run of this number: what its owner writes.
    Log(i64),
    /// Leases. Takes plain statements only.
    Leases,
}

impl Lane {
    /// Its index, which is the column `lane` for those with a gate.
    fn index(self) -> usize {
        match self {
            Self::Queue => 0,
            Self::Log(run) => 1 + run.rem_euclid(i64::from(LOG_LANES)) as usize,
            Self::Leases => GATED_LANES as usize,
        }
    }
}

/// Handle of the writing tasks. They end when they are closed or this is dropped.
pub(super) struct Lanes {
    commands: Vec<mpsc::UnboundedSender<Command>>,
    state: Arc<LaneState>,
    tasks: TaskTracker,
}

impl Lanes {
    /// Starts the tasks, which connect at once.
    pub(super) fn start(connector: &Connector, durability: Durability) -> Self {
        let count = GATED_LANES as usize + 1;
        let state = Arc::new(LaneState::new(count));
        let tasks = TaskTracker::new();
        let commands = (0..count).map(|index| {
            let (commands, receiver) = mpsc::unbounded_channel();
            let settings = SessionSettings {
                // A lease that is lost in a crash of the server is renewed in time.
                synchronous_commit: durability == Durability::Full && index < GATED_LANES as usize,
                ..SessionSettings::new(format!("lane {index}"))
            };
            let task = LaneTask::new(index, connector, settings, receiver, Arc::clone(&state));
            tasks.spawn(task.run());
            commands
        });
        let commands = commands.collect();
        tasks.close();
        Self { commands, state, tasks }
    }

    fn command(&self, lane: Lane, command: Command) {
        if let Err(mpsc::error::SendError(unsent)) = self.commands[lane.index()].send(command) {
            unsent.refuse(&StorageError::Closed);
        }
    }

    /// See [`Log::append`](crate::storage::Log::append).
    pub(super) fn append(&self, outbox: Arc<dyn Outbox>) {
        self.command(Lane::Log(outbox.run()), Command::Append(Append { outbox, batch: None }));
    }

    /// Ends or requeues a run. Retried until the database accepts it.
    pub(super) async fn end(
        &self,
        run: i64,
        end: impl FnOnce(oneshot::Sender<Result<Vec<Event>>>) -> End,
    ) -> Result<Vec<Event>> {
        let (answer, answered) = oneshot::channel();
        self.command(Lane::Log(run), Command::End(end(answer)));
        answered.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Stores a new run, which is JSON without its input. `host` claims it if it can start at once.
    pub(super) async fn submit(&self, host: Option<i64>, run: String, input: String) -> Result<SubmitAnswer> {
        let (answer, answered) = oneshot::channel();
        self.command(Lane::Queue, Command::Submit(Submit { host, run, input, answer }));
        answered.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Calls one function that passes the gate, exactly once: `SELECT f($1, $2, $3, …)`. It takes host, lane and number of
    /// the statement first, for `gate_1`, and then `parameters`. Its answer is returned, as it was given to `answer_1`, or
    /// ''.
    ///
    /// `host` is the number of the host that writes; [`StorageError::Fenced`] if it was declared dead. Without one, no host
    /// has to be alive.
    pub(super) async fn call(
        &self,
        host: Option<i64>,
        sql: &'static str,
        parameters: Vec<Parameter>,
        urgency: Urgency,
    ) -> Result<String> {
        let (answer, answered) = oneshot::channel();
        let call = Call { host, run: None, sql, parameters, urgency, answer };
        self.command(Lane::Queue, Command::Call(call));
        answered.await.unwrap_or(Err(StorageError::Closed))
    }

    /// The same for a write of the owner of a run, in the order of all its writes to the run.
    pub(super) async fn call_of_run(
        &self,
        owner: i64,
        run: i64,
        sql: &'static str,
        parameters: Vec<Parameter>,
        urgency: Urgency,
    ) -> Result<String> {
        let (answer, answered) = oneshot::channel();
        let call = Call { host: Some(owner), run: Some(run), sql, parameters, urgency, answer };
        self.command(Lane::Log(run), Command::Call(call));
        answered.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Carries out a statement without a gate. It may be carried out twice, so it has to be one that changes nothing the
    /// second time.
    pub(super) async fn plain(
        &self,
        lane: Lane,
        sql: &'static str,
        parameters: Vec<Parameter>,
        urgency: Urgency,
    ) -> Result<Vec<Row>> {
        let (answer, answered) = oneshot::channel();
        self.command(lane, Command::Plain(Plain { sql, parameters, urgency, answer }));
        answered.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Lets writes that no host has to be alive for pass the gate of this one.
    pub(super) fn write_as(&self, host: i64) {
        self.state.set_writer(Some(host));
    }

    /// For how long this process has been connected. After an outage, other hosts have to come back, too.
    pub(super) fn connected_for(&self) -> Option<Duration> {
        self.state.connected_for()
    }

    /// Why the last statement of a lane failed, if one did.
    pub(super) fn health(&self) -> Result<()> {
        self.state.health()
    }

    /// Carries out what is pending, and ends the tasks.
    pub(super) async fn close(&self) {
        for commands in &self.commands {
            // One that has ended needs no close.
            let _ = commands.send(Command::Close);
        }
        self.tasks.wait().await;
    }
}
