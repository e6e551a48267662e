//! Commands for the writer, and the group of commands in one transaction.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::schema::MAX_SEQ;
use super::state::{Applied, NotApplied, Tx};
use super::{events, messages};
use crate::model::Event;
use crate::storage::{Batch, Outbox, Result, StorageError};

/// A command for the writer.
pub(super) enum Command {
    /// Append the events of an outbox.
    Append(Append),
    /// Make one change.
    Operation(Box<dyn Operation>),
    /// Commit, then end.
    Close,
}

impl Command {
    /// Rejects the command.
    pub(super) fn refuse(self, error: &StorageError) {
        match self {
            Self::Append(append) => append.outbox.done(Err(error.clone())),
            Self::Operation(operation) => operation.refuse(error),
            Self::Close => {}
        }
    }

    /// Whether the writer has to retry the command, because the caller won't.
    fn must_be_done(&self) -> bool {
        match self {
            Self::Append(_) => true,
            Self::Operation(operation) => operation.must_be_done(),
            Self::Close => false,
        }
    }
}

/// Append of the events of one run. Keeps the taken events until they are committed.
pub(super) struct Append {
    outbox: Arc<dyn Outbox>,
    batch: Option<Batch>,
    /// The number of the first event.
    outcome: Option<Result<u64>>,
}

impl Append {
    pub(super) fn new(outbox: Arc<dyn Outbox>) -> Self {
        Self { outbox, batch: None, outcome: None }
    }

    fn apply(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<usize> {
        if self.batch.is_none() {
            self.batch = self.outbox.take();
        }
        let Some(batch) = &self.batch else { return Ok(0) };
        self.outcome = Some(unless_failed(append(tx, batch))?);
        Ok(batch.events.len())
    }

    fn committed(self) {
        let (Some(batch), Some(outcome)) = (self.batch, self.outcome) else { return };
        let numbered = |first_seq| {
            let attempt = batch.attempt;
            (first_seq..).zip(batch.events).map(|(seq, what)| Event { seq, attempt, what }).collect()
        };
        self.outbox.done(outcome.map(numbered));
    }
}

/// Appends a batch of a run's owner. Returns the number of the first event.
fn append(tx: &mut Tx<'_>, batch: &Batch) -> Applied<u64> {
    let live = tx.owned(batch.run, batch.fence)?;
    let first = live.last_seq + 1;
    let last = live.last_seq + batch.events.len() as u64;
    if last >= MAX_SEQ {
        return Err(StorageError::Limit(format!("a run can have {MAX_SEQ} events")).into());
    }
    live.last_seq = last;
    events::insert(tx.db, batch.run, first, batch.attempt, &batch.events)?;
    messages::heard(tx, batch.run, &batch.heard)?;
    Ok(first)
}

/// The outcome for the caller, unless the transaction failed.
fn unless_failed<T>(applied: Applied<T>) -> rusqlite::Result<Result<T>> {
    match applied {
        Ok(value) => Ok(Ok(value)),
        Err(NotApplied::Rejected(error)) => Ok(Err(error)),
        Err(NotApplied::Failed(error)) => Err(error),
    }
}

/// A write with a result.
pub(super) trait Operation: Send {
    /// Makes the write. Called again if the transaction was rolled back.
    fn apply(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()>;
    /// Sends the result, after the commit.
    fn committed(self: Box<Self>);
    /// Sends an error as the result.
    fn refuse(self: Box<Self>, error: &StorageError);
    /// See [`Command::must_be_done`].
    fn must_be_done(&self) -> bool;
    /// Whether it is a deletion, which is also made on a full disk.
    fn makes_room(&self) -> bool;
}

/// Handling of a write that the disk does not accept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// It is rejected.
    Once,
    /// It is retried until it succeeds.
    UntilDone,
    /// It is a deletion, and goes before all others if the disk is full.
    MakesRoom,
}

/// An [`Operation`] made of a closure.
pub(super) struct Call<T, F> {
    work: F,
    outcome: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
    urgency: Urgency,
}

impl<T, F> Call<T, F> {
    pub(super) fn new(work: F, answer: oneshot::Sender<Result<T>>, urgency: Urgency) -> Self {
        Self { work, outcome: None, answer, urgency }
    }
}

impl<T, F> Operation for Call<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Applied<T> + Send + 'static,
{
    fn apply(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()> {
        self.outcome = Some(unless_failed((self.work)(tx))?);
        Ok(())
    }

    fn committed(self: Box<Self>) {
        // The caller may be gone; the write stands.
        let _ = self.answer.send(self.outcome.unwrap_or(Err(StorageError::Closed)));
    }

    fn refuse(self: Box<Self>, error: &StorageError) {
        let _ = self.answer.send(Err(error.clone()));
    }

    fn must_be_done(&self) -> bool {
        self.urgency == Urgency::UntilDone
    }

    fn makes_room(&self) -> bool {
        self.urgency == Urgency::MakesRoom
    }
}

/// The commands of one transaction, in the order of their arrival.
#[derive(Default)]
pub(super) struct Group {
    commands: Vec<Command>,
    closing: bool,
}

impl Group {
    pub(super) fn of(first: Command) -> Self {
        let mut group = Self::default();
        group.add(first);
        group
    }

    pub(super) fn add(&mut self, command: Command) {
        self.closing |= matches!(command, Command::Close);
        self.commands.push(command);
    }

    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Whether a close is among the commands.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Applies one command. Returns how many events it wrote.
    pub(super) fn apply(&mut self, at: usize, tx: &mut Tx<'_>) -> rusqlite::Result<usize> {
        match &mut self.commands[at] {
            Command::Append(append) => append.apply(tx),
            Command::Operation(operation) => operation.apply(tx).map(|()| 0),
            Command::Close => Ok(0),
        }
    }

    /// Sends all results, after the commit. Returns false if a close was among the commands.
    pub(super) fn complete(self) -> bool {
        for command in self.commands {
            match command {
                Command::Append(append) => append.committed(),
                Command::Operation(operation) => operation.committed(),
                Command::Close => {}
            }
        }
        !self.closing
    }

    /// Takes out the deletions, in their order.
    pub(super) fn take_deletions(&mut self) -> Vec<Box<dyn Operation>> {
        let mut taken = Vec::new();
        for command in std::mem::take(&mut self.commands) {
            match command {
                Command::Operation(operation) if operation.makes_room() => taken.push(operation),
                other => self.commands.push(other),
            }
        }
        taken
    }

    /// Rejects one command.
    pub(super) fn refuse(&mut self, at: usize, error: &StorageError) {
        self.commands.remove(at).refuse(error);
    }

    /// Rejects all commands.
    pub(super) fn refuse_all(self, error: &StorageError) {
        self.commands.into_iter().for_each(|command| command.refuse(error));
    }

    /// Rejects the commands that callers can retry themselves, and keeps the others in order. When closing, there is no
    /// later try: rejects all and returns false.
    pub(super) fn keep_what_must_be_done(&mut self, error: &StorageError) -> bool {
        for command in std::mem::take(&mut self.commands) {
            if command.must_be_done() && !self.closing {
                self.commands.push(command);
            } else {
                command.refuse(error);
            }
        }
        !self.closing
    }
}
