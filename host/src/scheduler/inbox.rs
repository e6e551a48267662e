//! Messages that storage keeps for this host: those to the runs that it owns, whichever host their senders used.
//!
//! One reader applies the messages of each run in their order, and notes them in its log. Storage forgets a message with the
//! commit of its note. If the run has lost its owner before that, storage has written the note.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;

use super::Scheduler;
use super::control::Control;
use crate::model::RunId;
use crate::notifier::Topic;
use crate::storage::{Message, MessageKind, MessageOutcome, Result, StorageError};

/// Interval at which messages are read without a hint, while other hosts may send some.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// First pause before messages to runs that have not begun here are read again. It doubles each time.
const LEFT_PAUSE: Duration = Duration::from_millis(10);
/// Messages that are read at once.
const BATCH: u32 = 256;
/// Longest time that the sender of a message waits until the owner of the run has noted it.
const NOTED_WITHIN: Duration = Duration::from_secs(2);
/// First and longest pause between two looks at whether a message is noted.
const NOTED_PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(200)];

/// The rest after a read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// Messages to runs that have not begun here, or have ended, or messages that could not be read.
    Some,
}

impl Scheduler {
    /// Reads and applies messages until no run executes any more.
    pub(super) async fn keep_reading_messages(self: Arc<Self>) {
        let mut registration = self.lease.registration();
        let mut hints = self.notifier.listen(Topic::Messages(registration.host.clone()));
        let (mut hinted, mut left, mut pause) = (true, Left::Nothing, POLL_INTERVAL);
        loop {
            let is_due =
                self.slots.taken() > 0 && (self.lease.has_others() || self.notifier.reaches_others());
            if hinted || is_due || left == Left::Some {
                let before = std::mem::replace(&mut left, self.read_messages().await);
                pause = match (before, left) {
                    (_, Left::Nothing) => POLL_INTERVAL,
                    (Left::Nothing, Left::Some) => LEFT_PAUSE,
                    (Left::Some, Left::Some) => (2 * pause).min(POLL_INTERVAL),
                };
            }
            hinted = tokio::select! {
                biased;
                () = self.ended.cancelled() => return,
                () = hints.heard() => true,
                () = tokio::time::sleep(pause) => false,
            };
            let current = self.lease.registration();
            if !Arc::ptr_eq(&current, &registration) {
                hints = self.notifier.listen(Topic::Messages(current.host.clone()));
                registration = current;
                // Messages may have come before the topic was listened to.
                hinted = true;
            }
        }
    }

    /// Reads and applies messages, so that all that were stored before are noted. To be called before a guest sees what a
    /// message brought. In a task of its own: the caller may be a guest, which is not polled while it is paused.
    pub(super) async fn read_messages_now(self: &Arc<Self>) {
        if self.lease.is_shared() {
            let scheduler = Arc::clone(self);
            let _ = self.tasks.spawn(async move { scheduler.read_messages().await }).await;
        }
    }

    async fn read_messages(&self) -> Left {
        let _inbox = self.inbox.lock().await;
        loop {
            // Counted before the read: an attempt that begins after it may find its messages noted by the end of the last.
            let attempts = self.attempts.load(Ordering::SeqCst);
            let messages = match self.storage.messages(&self.lease.host(), BATCH).await {
                Ok(messages) => messages,
                Err(error) => {
                    tracing::warn!(%error, "could not read the messages to runs");
                    // The hint is used up, and there may be no other.
                    return Left::Some;
                }
            };
            let is_last = messages.len() < BATCH as usize;
            let left = self.apply_messages(messages, attempts).await;
            if is_last || left == Left::Some {
                return left;
            }
        }
    }

    async fn apply_messages(&self, messages: Vec<Message>, attempts: u64) -> Left {
        let mut of_runs: BTreeMap<i64, Vec<Message>> = BTreeMap::new();
        for message in messages {
            of_runs.entry(message.run.no).or_default().push(message);
        }
        let mut left = Left::Nothing;
        let mut applied = Vec::with_capacity(of_runs.len());
        for messages in of_runs.into_values() {
            match self.attempt_of(&messages[0].run.id, attempts) {
                Some(control) => applied.push(self.apply_to(control, messages)),
                None => left = Left::Some,
            }
        }
        // All runs at once: their notes share few commits.
        for (id, result) in join_all(applied).await {
            match result {
                Ok(()) => self.notifier.notify(&Topic::Run(id)),
                // The attempt has ended, and with that storage has noted its messages.
                Err(StorageError::Fenced) => {}
                Err(error) => tracing::warn!(run = %id, %error, "could not note a message to the run"),
            }
        }
        left
    }

    /// The attempt of the run, if it was among the first `attempts` of this host.
    fn attempt_of(&self, id: &RunId, attempts: u64) -> Option<Arc<Control>> {
        self.controls.lock().get(id).filter(|control| control.nth <= attempts).cloned()
    }

    /// Applies messages to one run, in their order.
    async fn apply_to(&self, control: Arc<Control>, messages: Vec<Message>) -> (RunId, Result<()>) {
        let id = control.log.run().id.clone();
        let result = self.apply_in_order(&control, messages).await;
        (id, result)
    }

    async fn apply_in_order(&self, control: &Control, messages: Vec<Message>) -> Result<()> {
        let mut resumes = false;
        for message in &messages {
            match message.kind {
                MessageKind::Cancel => control.cancel(),
                // No event of the run may come between its two events, `paused` and `resumed`.
                MessageKind::Pause => {
                    resumes = false;
                    control.pause();
                    if self.stopping.is_cancelled() {
                        self.cut_off_paused();
                    }
                }
                MessageKind::Resume => resumes = true,
                MessageKind::Signal(_) | MessageKind::Parameter(..) => {}
            }
            control.log.note(message.kind.note(), message.no).await?;
        }
        control.log.flush().await?;
        // Not before it is logged: the guest may act on it and end the run.
        for message in messages {
            match message.kind {
                MessageKind::Signal(_) => control.mailbox.arrived(),
                MessageKind::Parameter(name, value) => control.mailbox.set(name, value),
                MessageKind::Cancel | MessageKind::Pause | MessageKind::Resume => {}
            }
        }
        if resumes {
            control.gate.resume();
        }
        Ok(())
    }

    /// Wakes the owner of the run, which has a message. Without a hint it finds the message a little later.
    pub(super) fn notify_owner(&self, run: &RunId) {
        self.notifier.notify(&Topic::Messages(self.lease.host()));
        if !self.controls.lock().contains_key(run) {
            for host in self.lease.peers() {
                self.notifier.notify(&Topic::Messages(host));
            }
        }
    }

    /// Waits for some time until the owner of the run has noted the message. If it has, there is none in the outcome.
    pub(super) async fn noted(&self, outcome: MessageOutcome) -> MessageOutcome {
        let MessageOutcome::Owner { run, message } = outcome else { return outcome };
        if message == 0 {
            return MessageOutcome::Owner { run, message };
        }
        let changes = self.notifier.listen(Topic::Run(run.key.id.clone()));
        self.notify_owner(&run.key.id);
        let noted = async {
            let [mut pause, longest] = NOTED_PAUSES;
            // It is durable in any case, so an error only means that the sender learns less.
            loop {
                // The owner hints at the run when it has noted the message.
                let _ = tokio::time::timeout(pause, changes.heard()).await;
                if self.storage.is_noted(message).await? {
                    return Ok::<_, StorageError>(());
                }
                pause = (2 * pause).min(longest);
            }
        };
        let is_noted = matches!(tokio::time::timeout(NOTED_WITHIN, noted).await, Ok(Ok(())));
        MessageOutcome::Owner { run, message: if is_noted { 0 } else { message } }
    }
}
