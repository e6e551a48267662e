//! Child runs: runs that the task starts.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::waits;
use crate::host::Host as _;
use crate::{Context, Error, Failure, Value};

/// A child run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    pub(crate) id: String,
}

impl Child {
    /// The run's ID.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Options of a child run. Created by [`Context::child`].
#[derive(Debug)]
#[must_use = "nothing is started yet"]
pub struct NewChild<'a> {
    ctx: &'a Context,
    task: &'a str,
    pub(crate) options: Options<'a>,
}

/// The options of the contract.
#[derive(Debug, Default)]
pub(crate) struct Options<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) detached: bool,
    pub(crate) priority: Option<i32>,
}

impl<'a> NewChild<'a> {
    /// Identifies the child within this run: another start with the same key, also in a
    /// later attempt, returns the same child.
    pub fn key(mut self, key: &'a str) -> Self {
        self.options.key = Some(key);
        self
    }

    /// Lets the child continue after this run has ended. Otherwise, it is cancelled then.
    pub fn detached(mut self) -> Self {
        self.options.detached = true;
        self
    }

    /// Sets the priority, from -100 to 100. Higher priorities start first.
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = Some(priority);
        self
    }

    /// Starts the child. The run is durable when this returns.
    pub fn start(self, input: &(impl Serialize + ?Sized)) -> Result<Child, Error> {
        let input = serde_json::to_string(input).map_err(|error| Error::json("the child's input", &error))?;
        let id = self.ctx.host.start_child(self.task, &input, &self.options)?;
        Ok(Child { id })
    }
}

/// The outcome of a child.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It completed with this value.
    Completed(Value),
    /// It failed with an error.
    Failed(ChildError),
    /// It was cancelled. The value is the result that it returned in its grace period.
    Cancelled(Option<Value>),
}

impl Outcome {
    /// The value of a completed child, as a `T`. Fails if the child did not complete.
    pub fn value<T: DeserializeOwned>(self) -> Result<T, Failure> {
        match self {
            Self::Completed(value) => {
                Ok(serde_json::from_value(value)
                    .map_err(|error| Error::json("the child's result", &error))?)
            }
            Self::Failed(error) => Err(error.into()),
            Self::Cancelled(_) => Err(Failure::new("a child was cancelled").code("child-cancelled")),
        }
    }
}

/// The error of a failed child.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildError {
    /// `failure` if its task returned a failure; otherwise the cause, such as `trap`.
    pub kind: String,
    /// One line for people.
    pub message: String,
    /// The code of the task's failure.
    pub code: Option<String>,
    /// A JSON value.
    pub details: Option<String>,
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a child failed ({}): {}", self.kind, self.message)
    }
}

impl std::error::Error for ChildError {}

/// # Children
///
/// A task can start runs of other tasks, and wait for them. They are ordinary runs: they
/// wait in the queue and have their own events. They end on their own, or with this run.
///
/// ```
/// # use streamtask_sdk::{Context, Failure};
/// # fn f(ctx: &Context) -> Result<u64, Failure> {
/// let parts = (0..4).map(|part| ctx.start_child("count-words", &part)).collect::<Result<Vec<_>, _>>()?;
/// let mut words = 0;
/// for part in &parts {
///     words += ctx.wait_for(part)?.value::<u64>()?;
/// }
/// # Ok(words) }
/// ```
impl Context {
    /// Starts a run of a task: `app/task`, or just the name for a task of the same app.
    pub fn start_child(&self, task: &str, input: &(impl Serialize + ?Sized)) -> Result<Child, Error> {
        self.child(task).start(input)
    }

    /// Like `start_child`, with options.
    pub fn child<'a>(&'a self, task: &'a str) -> NewChild<'a> {
        NewChild { ctx: self, task, options: Options::default() }
    }

    /// Waits until a child has ended. Fails as soon as this run is cancelled. Other runs
    /// can use its slot while it waits.
    pub fn wait_for(&self, child: &Child) -> Result<Outcome, Failure> {
        Ok(self.wait_for_any(std::slice::from_ref(child))?.1)
    }

    /// Waits until one of the children has ended, and returns its index in the list.
    pub fn wait_for_any(&self, children: &[Child]) -> Result<(usize, Outcome), Failure> {
        loop {
            if let Some(ended) = self.host.wait_for_children(&ids(children), None)? {
                return Ok(ended);
            }
            self.check_cancelled()?;
        }
    }

    /// Waits for at most `timeout`; returns none after that.
    pub fn wait_for_any_within(
        &self,
        children: &[Child],
        timeout: Duration,
    ) -> Result<Option<(usize, Outcome)>, Failure> {
        for ms in waits(timeout) {
            let ended = self.host.wait_for_children(&ids(children), Some(ms))?;
            if ended.is_some() {
                return Ok(ended);
            }
            self.check_cancelled()?;
        }
        Ok(None)
    }

    /// Requests cancellation of a child.
    pub fn cancel_child(&self, child: &Child) -> Result<(), Error> {
        self.host.cancel_child(&child.id)
    }
}

fn ids(children: &[Child]) -> Vec<String> {
    children.iter().map(|child| child.id.clone()).collect()
}
