//! Tests tasks without a host.
//!
//! A [`Recording`] is a [`Context`] that records events. Functions that take a
//! `&Context` also accept a `&Recording`:
//!
//! ```
//! use std::time::Duration;
//! use streamtask_sdk::testing::Recording;
//! use streamtask_sdk::{Context, Failure, json};
//!
//! fn work(ctx: &Context) -> Result<u32, Failure> {
//!     let begin = ctx.load_checkpoint("next")?.unwrap_or(0);
//!     for item in begin..5 {
//!         ctx.sleep(Duration::from_secs(60))?;
//!         ctx.send("item", &json!({ "item": item }))?;
//!         ctx.save_checkpoint("next", &(item + 1))?;
//!     }
//!     Ok(5 - begin)
//! }
//!
//! // A second attempt continues where the first one ended.
//! let run = Recording::new().with_attempt(2).with_checkpoint("next", &3);
//! assert_eq!(work(&run).unwrap(), 2);
//! assert_eq!(run.types(), ["item", "item"]);
//! assert_eq!(run.data("item"), [json!({ "item": 3 }), json!({ "item": 4 })]);
//! assert_eq!(run.elapsed(), Duration::from_secs(120));
//!
//! // The run is cancelled during the second item.
//! let run = Recording::new().with_cancel_after(Duration::from_secs(90));
//! assert_eq!(work(&run).unwrap_err().code.as_deref(), Some("cancelled"));
//! assert_eq!(run.load_checkpoint::<u32>("next").unwrap(), Some(1));
//! ```
//!
//! It exists on all targets except WebAssembly.

mod http;

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::child::Options;
use crate::host::Host;
use crate::{Context, Error, ErrorCode, Outcome, RunInfo, Signal};

pub use http::Reply;

/// The host's default limit for an event's data, in bytes.
const MAX_EVENT_BYTES: usize = 1 << 20;
/// Limit for event types, channels, content types and checkpoint keys, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// A [`Context`] that records events; see the [module](self).
///
/// Its clock only advances when the task sleeps or waits for a signal. It rejects
/// the same calls as the host.
#[derive(Debug)]
pub struct Recording {
    context: Context,
}

impl Recording {
    /// The first attempt of a run, without a deadline.
    #[expect(clippy::new_without_default, reason = "one way is enough")]
    pub fn new() -> Self {
        Self { context: Context::new(FakeHost::default()) }
    }

    /// Makes it a later attempt.
    #[must_use]
    pub fn with_attempt(self, attempt: u32) -> Self {
        self.state().attempt = attempt;
        self
    }

    /// Gives the run a label.
    #[must_use]
    pub fn with_label(self, name: &str, value: &str) -> Self {
        self.state().labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the deadline of the attempt. A task is not stopped then, but has no
    /// time left.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        self.state().deadline = Some(deadline);
        self
    }

    /// Cancels the run this long after its start, also during a sleep.
    #[must_use]
    pub fn with_cancel_after(self, time: Duration) -> Self {
        self.state().cancel_at = Some(time);
        self
    }

    /// Sets a parameter.
    #[must_use]
    pub fn with_parameter(self, name: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.state().parameters.insert(name.to_owned(), to_json(value));
        self
    }

    /// Queues a signal, after those queued before.
    #[must_use]
    pub fn with_signal(self, name: &str, payload: &(impl Serialize + ?Sized)) -> Self {
        self.state().signals.push_back(Signal { name: name.to_owned(), payload: to_json(payload) });
        self
    }

    /// Adds a checkpoint, as if an earlier attempt had saved it.
    #[must_use]
    pub fn with_checkpoint(self, key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.state().checkpoints.insert(key.to_owned(), to_json(value).into_bytes());
        self
    }

    /// All events sent so far.
    pub fn events(&self) -> Vec<Event> {
        self.state().events.clone()
    }

    /// The types of the events sent so far.
    pub fn types(&self) -> Vec<String> {
        self.state().events.iter().map(|event| event.event_type.clone()).collect()
    }

    /// The data of the JSON events of one type.
    pub fn data(&self, event_type: &str) -> Vec<Value> {
        let state = self.state();
        let events = state.events.iter().filter(|event| event.event_type == event_type);
        events.filter_map(|event| event.content.json().cloned()).collect()
    }

    /// How long the task has slept and waited.
    pub fn elapsed(&self) -> Duration {
        self.state().clock
    }

    /// Sets the outcome of child runs of the task, which end at once.
    #[must_use]
    pub fn with_child(self, task: &str, outcome: Outcome) -> Self {
        self.state().outcomes.insert(task.to_owned(), outcome);
        self
    }

    /// The task and the input of each started child.
    pub fn children(&self) -> Vec<(String, Value)> {
        self.state().children.clone()
    }

    fn state(&self) -> RefMut<'_, State> {
        self.context.host.0.borrow_mut()
    }
}

impl Deref for Recording {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

/// An event that a task sent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The channel; none for the default channel.
    pub channel: Option<String>,
    /// The type.
    pub event_type: String,
    /// The data.
    pub content: Content,
}

/// The data of an [`Event`].
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A JSON value.
    Json(Value),
    /// Bytes.
    Bytes {
        /// Their media type.
        content_type: String,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

impl Content {
    /// The JSON value, if it is one.
    pub fn json(&self) -> Option<&Value> {
        match self {
            Self::Json(value) => Some(value),
            Self::Bytes { .. } => None,
        }
    }
}

/// The host of a [`Recording`].
#[derive(Default)]
pub(crate) struct FakeHost(RefCell<State>);

struct State {
    clock: Duration,
    attempt: u32,
    labels: Vec<(String, String)>,
    deadline: Option<Duration>,
    cancel_at: Option<Duration>,
    parameters: BTreeMap<String, String>,
    signals: VecDeque<Signal>,
    checkpoints: BTreeMap<String, Vec<u8>>,
    /// The outcomes of child runs, by task.
    outcomes: BTreeMap<String, Outcome>,
    /// The task and the input of each child.
    children: Vec<(String, Value)>,
    http: http::State,
    events: Vec<Event>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            clock: Duration::ZERO,
            attempt: 1,
            labels: Vec::new(),
            deadline: None,
            cancel_at: None,
            parameters: BTreeMap::new(),
            signals: VecDeque::new(),
            checkpoints: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            children: Vec::new(),
            http: http::State::default(),
            events: Vec::new(),
        }
    }
}

impl State {
    fn cancelled(&self) -> bool {
        self.cancel_at.is_some_and(|at| at <= self.clock)
    }

    /// Advances the clock, at most to the time of the cancellation. Returns false
    /// if the run is cancelled.
    fn wait(&mut self, time: Duration) -> bool {
        if self.cancelled() {
            return false;
        }
        let end = self.clock.saturating_add(time);
        let cut = self.cancel_at.filter(|&at| at < end);
        self.clock = cut.unwrap_or(end);
        cut.is_none()
    }

    fn record(&mut self, channel: Option<&str>, event_type: &str, content: Content) -> Result<(), Error> {
        check_name("the event type", event_type)?;
        if event_type.starts_with("run.") || event_type == "gap" {
            return Err(invalid(format!("the event type {event_type:?} is reserved for the host")));
        }
        if let Some(channel) = channel {
            check_name("the channel", channel)?;
        }
        let (channel, event_type) = (channel.map(str::to_owned), event_type.to_owned());
        self.events.push(Event { channel, event_type, content });
        Ok(())
    }
}

impl Host for FakeHost {
    fn send(&self, channel: Option<&str>, event_type: &str, data: &str) -> Result<(), Error> {
        check_size(data.len())?;
        let value = serde_json::from_str(data).map_err(|error| Error::json("the event's data", &error))?;
        // For the host, the empty channel is the default one.
        let channel = channel.filter(|channel| !channel.is_empty());
        self.0.borrow_mut().record(channel, event_type, Content::Json(value))
    }

    fn send_bytes(
        &self,
        channel: &str,
        event_type: &str,
        content_type: &str,
        data: &[u8],
    ) -> Result<(), Error> {
        check_size(data.len())?;
        check_name("the content type", content_type)?;
        let channel = Some(channel).filter(|channel| !channel.is_empty());
        let content = Content::Bytes { content_type: content_type.to_owned(), bytes: data.to_vec() };
        self.0.borrow_mut().record(channel, event_type, content)
    }

    fn flush(&self) -> Result<(), Error> {
        Ok(())
    }

    fn info(&self) -> RunInfo {
        let state = self.0.borrow();
        RunInfo {
            id: "recording".to_owned(),
            app: "test".to_owned(),
            task: "test".to_owned(),
            version: "0".repeat(64),
            attempt: state.attempt,
            labels: state.labels.clone(),
        }
    }

    fn remaining_ms(&self) -> Option<u32> {
        let state = self.0.borrow();
        let left = state.deadline?.saturating_sub(state.clock);
        Some(u32::try_from(left.as_millis()).unwrap_or(u32::MAX))
    }

    fn cancelled(&self) -> bool {
        self.0.borrow().cancelled()
    }

    fn sleep_ms(&self, ms: u32) -> bool {
        self.0.borrow_mut().wait(Duration::from_millis(ms.into()))
    }

    /// A wait without limit for a missing signal returns none at once, because no
    /// one could send it.
    fn receive_signal(&self, name: Option<&str>, timeout_ms: Option<u32>) -> Option<Signal> {
        let mut state = self.0.borrow_mut();
        if state.cancelled() {
            return None;
        }
        let wanted = |signal: &Signal| name.is_none_or(|name| signal.name == name);
        if let Some(at) = state.signals.iter().position(wanted) {
            return state.signals.remove(at);
        }
        match (timeout_ms, state.cancel_at) {
            (Some(ms), _) => drop(state.wait(Duration::from_millis(ms.into()))),
            (None, Some(cancel_at)) => state.clock = cancel_at,
            (None, None) => {}
        }
        None
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.0.borrow().parameters.get(name).cloned()
    }

    fn save(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        check_name("the checkpoint's key", key)?;
        self.0.borrow_mut().checkpoints.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        check_name("the checkpoint's key", key)?;
        Ok(self.0.borrow().checkpoints.get(key).cloned())
    }

    fn remove(&self, key: &str) -> Result<(), Error> {
        check_name("the checkpoint's key", key)?;
        self.0.borrow_mut().checkpoints.remove(key);
        Ok(())
    }

    /// Children end at once, with the outcome that the test defines.
    fn start_child(&self, task: &str, input: &str, _options: &Options<'_>) -> Result<String, Error> {
        let input = serde_json::from_str(input).map_err(|error| Error::json("the child's input", &error))?;
        let mut state = self.0.borrow_mut();
        if !state.outcomes.contains_key(task) {
            let message = format!("there is no task {task}; define its outcome with `with_child`");
            return Err(Error::new(ErrorCode::NotFound, message));
        }
        state.children.push((task.to_owned(), input));
        Ok((state.children.len() - 1).to_string())
    }

    fn wait_for_children(
        &self,
        runs: &[String],
        _timeout_ms: Option<u32>,
    ) -> Result<Option<(usize, Outcome)>, Error> {
        let state = self.0.borrow();
        if state.cancelled() {
            return Ok(None);
        }
        let first = runs.first().ok_or_else(|| invalid("the list of runs is empty".to_owned()))?;
        let child = first.parse().ok().and_then(|at: usize| state.children.get(at));
        let (task, _) =
            child.ok_or_else(|| Error::new(ErrorCode::NotFound, format!("no child {first:?}")))?;
        Ok(Some((0, state.outcomes[task].clone())))
    }

    fn cancel_child(&self, _run: &str) -> Result<(), Error> {
        Ok(())
    }
}

fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let breaks = |c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}';
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains(breaks) {
        return Ok(());
    }
    Err(invalid(format!("{what} {name:?} must have 1 to {MAX_NAME_BYTES} bytes without control characters")))
}

fn check_size(len: usize) -> Result<(), Error> {
    if len <= MAX_EVENT_BYTES {
        return Ok(());
    }
    let message = format!("the event's data has {len} bytes; the limit is {MAX_EVENT_BYTES}");
    Err(Error::new(ErrorCode::TooLarge, message))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}

fn to_json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("a test's value can be encoded as JSON")
}
