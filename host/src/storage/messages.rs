//! Messages to runs, and to the hosts that own them.

use async_trait::async_trait;

use super::Result;
use crate::model::{Fence, HostId, Json, NewEvent, Run, RunId, RunKey, Signal, SignalName};

/// Result of a message to a run.
#[derive(Debug)]
pub enum MessageOutcome {
    /// There is no such run.
    NotFound,
    /// It has ended, and receives no messages.
    AlreadyEnded(Run),
    /// It was in the requested state already; nothing was written.
    Unchanged(Run),
    /// It has an owner, which has to be notified, and logs the message.
    Owner {
        /// The run.
        run: Run,
        /// The number under which storage keeps the message until it is noted. 0 if it keeps none, because the owner can
        /// only be in this process: the caller delivers it.
        message: i64,
    },
    /// It has no owner. The message is in the log, and the next owner will find it.
    Kept(Run),
}

/// A message that storage keeps for the owner of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number: larger than those of earlier messages to the run, and never given again.
    pub no: i64,
    /// The run.
    pub run: RunKey,
    /// Its content.
    pub kind: MessageKind,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// The run is to be cancelled.
    Cancel,
    /// It is to be paused.
    Pause,
    /// It is to be resumed.
    Resume,
    /// A signal of this name has arrived, which the run takes with [`Signals::take_signal`].
    Signal(SignalName),
    /// A parameter was set.
    Parameter(SignalName, Json),
}

impl MessageKind {
    /// The event that notes the message in the run's log. None for a cancel, which the run's end tells.
    pub fn note(&self) -> Option<NewEvent> {
        match self {
            Self::Cancel => None,
            Self::Pause => Some(NewEvent::paused()),
            Self::Resume => Some(NewEvent::resumed()),
            Self::Signal(name) => Some(NewEvent::signalled(name)),
            Self::Parameter(name, value) => Some(NewEvent::parameter(name, value)),
        }
    }
}

/// Most pending signals of one run: a run that never receives any must not fill the disk.
pub const MAX_WAITING_SIGNALS: u32 = 1_000;
/// Most parameters of one run.
pub const MAX_PARAMETERS: u32 = 100;

/// Messages to runs.
///
/// A message to a run with an owner takes effect in storage at once, and the owner notes it in the log, among the run's own
/// events. If the owner may be another host than the sender's, storage keeps the message until it is noted, exactly once:
/// by the owner, with [`Batch::heard`](super::Batch::heard), or by storage itself, when the run loses its owner.
#[async_trait]
pub trait Signals: Send + Sync + 'static {
    /// Pauses or resumes a run that has not ended.
    async fn set_paused(&self, run: &RunId, paused: bool) -> Result<MessageOutcome>;

    /// Stores a signal until the run takes it.
    async fn signal(&self, run: &RunId, signal: Signal) -> Result<MessageOutcome>;

    /// Takes the oldest pending signal; with a name, the oldest of that name.
    async fn take_signal(
        &self,
        run: &RunKey,
        fence: Fence,
        name: Option<SignalName>,
    ) -> Result<Option<Signal>>;

    /// Sets or replaces a parameter.
    async fn set_parameter(&self, run: &RunId, name: SignalName, value: Json) -> Result<MessageOutcome>;

    /// Logs a message with number 0 that was sent while the run had an owner, if it has none any more. If it has one, the
    /// owner logs the message. A message with a number needs no such call.
    async fn log_message(&self, run: &RunId, event: NewEvent) -> Result<MessageOutcome>;

    /// All parameters of a run.
    async fn parameters(&self, run: i64) -> Result<Vec<(SignalName, Json)>>;

    /// Messages that are kept for `owner`, oldest first for each run. A message is among them until it is noted, so the
    /// owner may read it twice.
    async fn messages(&self, owner: &HostId, limit: u32) -> Result<Vec<Message>>;

    /// Whether the message of that number is noted, or was not kept.
    async fn is_noted(&self, message: i64) -> Result<bool>;
}
