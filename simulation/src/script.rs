//! The guests of the simulation: a run's input is its script.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use streamtask_host::engine::{
    Attempt, AttemptOutcome, ChildRunRequest, Executable, Execution, Executor, GuestHost, LoadError, Permit,
    Program, ProgramOutline, TaskMetadata, within_deadline,
};
use streamtask_host::model::Content;
use streamtask_host::model::{
    ErrorKind, EventType, Json, NewEvent, RunError, SignalName, TaskRef, Timestamp, Version,
};

/// Type of the event that a script sends when it has taken a signal.
pub(crate) const TAKEN: &str = "taken";

/// An operation of a guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    /// Sends a number of events.
    Send(u32),
    /// Sleeps, in milliseconds.
    Sleep(u64),
    /// Starts a child run.
    Child(Box<Child>),
    /// Waits until all of its children have ended.
    AwaitAll,
    /// Waits until one of its children has ended.
    AwaitAny,
    /// Waits for a signal, for at most this many milliseconds.
    Signal(u64),
    /// Saves a checkpoint.
    Checkpoint,
    /// Fails with a retryable error.
    FailRetryable,
    /// Fails.
    Fail,
    /// Fails, unless an earlier attempt did.
    FailOnce,
    /// Ignores cancellation from now on.
    IgnoreCancel,
    /// Panics, like a bug of the host could.
    Panic,
}

/// A child run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Child {
    /// The task.
    pub(crate) task: String,
    /// Its script.
    pub(crate) script: Script,
    /// Its key within the parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Whether it continues after its parent has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) detached: bool,
}

/// The input of a run: its script and further values.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Script {
    /// The operations, in order.
    #[serde(default)]
    pub(crate) ops: Vec<Op>,
    /// For tasks whose manifest has `key = "/key"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// For tasks whose manifest has `resources = ["/lock"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lock: Option<String>,
}

/// The observed state of the active guests.
#[derive(Default)]
pub(crate) struct Watched {
    /// Runs that are waiting for children.
    waiting: Mutex<BTreeSet<String>>,
    /// Attempts with an active guest.
    alive: Mutex<BTreeSet<String>>,
    /// The current operation of each guest.
    doing: Mutex<BTreeMap<String, String>>,
    /// What was refused to guests, and what should not have been.
    pub(crate) refused: Mutex<Vec<String>>,
}

impl Watched {
    /// Runs that are waiting for children.
    pub(crate) fn waiting(&self) -> BTreeSet<String> {
        self.waiting.lock().clone()
    }

    /// The current operation of each guest, for people.
    pub(crate) fn doing(&self) -> Vec<String> {
        let alive = self.alive();
        let doing = self.doing.lock();
        doing.iter().filter(|(id, _)| alive.contains(*id)).map(|(_, op)| op.clone()).collect()
    }

    /// Runs with an active guest.
    pub(crate) fn alive(&self) -> BTreeSet<String> {
        self.alive.lock().clone()
    }
}

/// Executes scripts instead of WebAssembly.
pub(crate) struct Scripts {
    /// Most concurrent guests.
    pub(crate) max_instances: u32,
    /// Their observed state.
    pub(crate) watched: Arc<Watched>,
}

impl Executor for Scripts {
    fn load_with(
        &self,
        _wasm: &[u8],
        version: Version,
        _compiler: &mut dyn FnMut() -> Option<Permit>,
    ) -> Result<Option<Program>, LoadError> {
        let code = Arc::new(Interpreter { watched: Arc::clone(&self.watched) });
        Ok(Some(Program { code, version, metadata: Arc::new(TaskMetadata::default()) }))
    }

    fn spawn(&self, execution: Execution) {
        tokio::spawn(execution);
    }

    fn max_instances(&self) -> u32 {
        self.max_instances
    }
}

struct Interpreter {
    watched: Arc<Watched>,
}

#[async_trait]
impl Executable for Interpreter {
    async fn execute(&self, attempt: Attempt) -> AttemptOutcome {
        let Ok(script) = serde_json::from_str::<Script>(attempt.input.as_str()) else {
            return AttemptOutcome::Output(Json::null());
        };
        let host = Arc::clone(&attempt.host);
        let guest = Guest { host: &*host, watched: &self.watched, children: Vec::new(), stubborn: false };
        let id = host.info().id.clone();
        let _alive = ListedFile::new(&self.watched.alive, id);
        let done =
            within_deadline(&attempt.gate, &attempt.uptime, attempt.limits.deadline, guest.run(&script))
                .await;
        done.unwrap_or_else(|| {
            AttemptOutcome::Failed(RunError::new(ErrorKind::DeadlineExceeded, "the attempt took too long"))
        })
    }

    fn outline(&self) -> ProgramOutline {
        ProgramOutline { kind: streamtask_host::engine::Kind::Task, imports: Vec::new(), exports: Vec::new() }
    }
}

/// An entry in a list, removed on drop.
struct ListedFile<'a> {
    list: &'a Mutex<BTreeSet<String>>,
    id: String,
}

impl<'a> ListedFile<'a> {
    fn new(list: &'a Mutex<BTreeSet<String>>, id: String) -> Self {
        list.lock().insert(id.clone());
        Self { list, id }
    }
}

impl Drop for ListedFile<'_> {
    fn drop(&mut self) {
        self.list.lock().remove(&self.id);
    }
}

struct Guest<'a> {
    host: &'a dyn GuestHost,
    watched: &'a Watched,
    children: Vec<String>,
    stubborn: bool,
}

/// Why a guest stops.
enum Stop {
    Exit(AttemptOutcome),
    /// It was cancelled.
    Cancelled,
}

impl Guest<'_> {
    async fn run(mut self, script: &Script) -> AttemptOutcome {
        for op in &script.ops {
            if self.host.is_cancelled() && !self.stubborn {
                break;
            }
            self.watched
                .doing
                .lock()
                .insert(self.host.info().id.clone(), format!("{} {op:?}", self.host.info().task));
            match self.step(op).await {
                Ok(()) => {}
                Err(Stop::Exit(exit)) => return exit,
                Err(Stop::Cancelled) => break,
            }
        }
        AttemptOutcome::Output(Json::null())
    }

    async fn step(&mut self, op: &Op) -> Result<(), Stop> {
        match op {
            Op::Send(count) => self.send(*count).await,
            Op::Sleep(ms) => self.sleep(*ms).await,
            Op::Child(child) => self.start(child).await,
            Op::AwaitAll => {
                while !self.children.is_empty() {
                    self.await_any().await?;
                }
                Ok(())
            }
            Op::AwaitAny => self.await_any().await,
            Op::Signal(ms) => self.signal(*ms).await,
            Op::Checkpoint => {
                let _ = self.host.save_checkpoint("at".to_owned(), Some(vec![1])).await;
                Ok(())
            }
            Op::FailRetryable => Err(failure(true)),
            Op::Fail => Err(failure(false)),
            Op::FailOnce if self.host.info().attempt == 1 => Err(failure(true)),
            Op::FailOnce => Ok(()),
            Op::IgnoreCancel => {
                self.stubborn = true;
                Ok(())
            }
            Op::Panic => panic!("a guest of the simulation panics"),
        }
    }

    async fn send(&self, count: u32) -> Result<(), Stop> {
        self.send_all("step", count).await
    }

    async fn send_all(&self, event_type: &str, count: u32) -> Result<(), Stop> {
        for at in 0..count {
            let mut event = NewEvent {
                event_type: EventType::of_guest(event_type.to_owned()).expect("not a type of the host"),
                channel: None,
                content: Content::Json(Json::of(&at)),
                time: Timestamp::now(),
            };
            loop {
                match self.host.send(event) {
                    Ok(None) => break,
                    Ok(Some(refused)) => {
                        event = refused;
                        self.host.room().await;
                    }
                    Err(_) => return Err(Stop::Exit(AttemptOutcome::Lost)),
                }
            }
        }
        Ok(())
    }

    async fn sleep(&self, ms: u64) -> Result<(), Stop> {
        let time = tokio::time::sleep(Duration::from_millis(ms));
        if self.stubborn {
            time.await;
            return Ok(());
        }
        tokio::select! {
            biased;
            () = self.host.cancelled() => Err(Stop::Cancelled),
            () = time => Ok(()),
        }
    }

    async fn start(&mut self, child: &Child) -> Result<(), Stop> {
        let new = ChildRunRequest {
            task: TaskRef::parse_path(&child.task).expect("the simulation's names are valid"),
            input: Json::of(&child.script),
            key: child.key.clone(),
            detached: child.detached,
            priority: None,
        };
        match self.host.start_child(new).await {
            Ok(id) => self.children.push(id),
            Err(refusal) => self.watched.refused.lock().push(refusal.message),
        }
        Ok(())
    }

    async fn await_any(&mut self) -> Result<(), Stop> {
        if self.children.is_empty() {
            return Ok(());
        }
        let looked = self.host.first_ended_child(&self.children).await;
        let ended = match looked {
            Ok(Some((at, _))) => Ok(at),
            Err(refusal) => Err(refusal),
            Ok(None) => {
                let _waiting = ListedFile::new(&self.watched.waiting, self.host.info().id.clone());
                tokio::select! {
                    biased;
                    () = self.host.cancelled() => return Err(Stop::Cancelled),
                    ended = self.host.wait_for_children(&self.children) => ended.map(|(at, _)| at),
                }
            }
        };
        match ended {
            Ok(at) => drop(self.children.remove(at)),
            Err(refusal) => {
                self.watched.refused.lock().push(refusal.message);
                self.children.clear();
            }
        }
        Ok(())
    }

    async fn signal(&self, ms: u64) -> Result<(), Stop> {
        let over = tokio::time::sleep(Duration::from_millis(ms));
        tokio::pin!(over);
        loop {
            let seen = self.host.signals();
            match self.host.take_signal(None::<SignalName>).await {
                Ok(Some(_)) => return self.send_all(TAKEN, 1).await,
                Ok(None) => {}
                Err(_) => return Err(Stop::Exit(AttemptOutcome::Lost)),
            }
            tokio::select! {
                biased;
                () = self.host.more_signals(seen) => {}
                () = self.host.cancelled() => return Err(Stop::Cancelled),
                () = &mut over => return Ok(()),
            }
        }
    }
}

fn failure(retryable: bool) -> Stop {
    let error = RunError { retryable, ..RunError::new(ErrorKind::Failure, "the script says so") };
    Stop::Exit(AttemptOutcome::Failed(error))
}
