//! The commands that wait for a lane, and which of them make the next statement.

use std::collections::{HashSet, VecDeque};

use super::group::{Command, Plain, Submit};
use super::log_group::{Added, LogGroup, NextSeqs};
use super::statement::Group;
use crate::storage::StorageError;

/// New runs in one statement. They hold the number lock together, which all hosts wait for.
const MAX_SUBMITS: usize = 64;
/// Bytes of inputs in one statement: the server needs several times as much memory.
const MAX_SUBMIT_BYTES: usize = 8 << 20;

/// What a lane was asked to write, and what it knows for that of the runs' logs.
#[derive(Default)]
pub(super) struct LaneQueue {
    /// In the order in which they have arrived.
    commands: VecDeque<Command>,
    /// Commands at the front to be sent one by one, because together they were refused.
    alone: usize,
    seqs: NextSeqs,
}

/// The commands of the next statement.
pub(super) enum Next {
    Group(Group),
    Plain(Plain),
}

impl LaneQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(super) fn push(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    /// Puts a command before all others.
    pub(super) fn push_front(&mut self, command: Command) {
        self.commands.push_front(command);
    }

    /// The numbers of events that are known.
    pub(super) fn seqs(&mut self) -> &mut NextSeqs {
        &mut self.seqs
    }

    /// Forgets the numbers of events: another host may have written meanwhile, or numbers were given and not used.
    pub(super) fn forget_seqs(&mut self) {
        self.seqs.clear();
    }

    /// Puts the commands of a group that has written nothing back to the front of the queue, in their order.
    pub(super) fn put_back(&mut self, group: Group) {
        // Numbers of events were given to the group.
        self.seqs.clear();
        for command in group.into_commands().into_iter().rev() {
            self.commands.push_front(command);
        }
    }

    /// The same, to be sent one by one.
    pub(super) fn put_back_alone(&mut self, group: Group) {
        self.alone = group.len();
        self.put_back(group);
    }

    /// Rejects commands that callers can repeat themselves, and keeps the others in order.
    pub(super) fn refuse_what_can_come_again(&mut self, error: &StorageError, closing: bool) {
        let mut alone = 0;
        for (at, command) in std::mem::take(&mut self.commands).into_iter().enumerate() {
            if command.must_be_done() && !closing {
                alone += usize::from(at < self.alone);
                self.commands.push_back(command);
            } else {
                command.refuse(error);
            }
        }
        self.alone = alone;
    }

    /// The commands of the next statement.
    pub(super) fn next(&mut self) -> Option<Next> {
        let is_alone = self.alone > 0;
        self.alone = self.alone.saturating_sub(1);
        match self.commands.pop_front()? {
            Command::Plain(plain) => Some(Next::Plain(plain)),
            Command::Call(call) => Some(Next::Group(Group::Call(call))),
            Command::Submit(submit) => {
                let mut submits = vec![submit];
                if !is_alone {
                    self.gather_submits(&mut submits);
                }
                Some(Next::Group(Group::Submits(submits)))
            }
            first @ (Command::Append(_) | Command::End(_)) => self.log_group(first, is_alone),
            Command::Close => None,
        }
    }

    /// All pending submits of the same host. They have no order.
    fn gather_submits(&mut self, submits: &mut Vec<Submit>) {
        let host = submits[0].host;
        let mut bytes = submits[0].input.len();
        for command in std::mem::take(&mut self.commands) {
            match command {
                Command::Submit(submit)
                    if submit.host == host
                        && submits.len() < MAX_SUBMITS
                        && bytes + submit.input.len() <= MAX_SUBMIT_BYTES =>
                {
                    bytes += submit.input.len();
                    submits.push(submit);
                }
                other => self.commands.push_back(other),
            }
        }
    }

    /// All pending writes to logs, as far as they keep the order of each run.
    fn log_group(&mut self, first: Command, is_alone: bool) -> Option<Next> {
        let host = match &first {
            Command::End(end) => end.fence.owner(),
            Command::Append(append) => match &append.batch {
                Some(batch) => batch.fence.owner(),
                None => return self.take_events(first, is_alone),
            },
            _ => return None,
        };
        let mut group = LogGroup::new(host);
        // Runs of which a command was left for later, and all after it must be.
        let mut left = HashSet::new();
        let rest = std::mem::take(&mut self.commands);
        for (at, command) in [first].into_iter().chain(rest).enumerate() {
            let is_left = command.run().is_some_and(|run| left.contains(&run));
            let is_over = at > 0 && (is_alone || group.is_full());
            let added = match command {
                command if is_left || is_over => Added::Later(command),
                Command::Append(append) => group.append(append, &mut self.seqs),
                Command::End(end) => group.end(end),
                command => Added::Later(command),
            };
            if let Added::Later(command) = added {
                left.extend(command.run());
                self.commands.push_back(command);
            }
        }
        (group.len() > 0).then_some(Next::Group(Group::Log(group)))
    }

    /// Takes the events of an outbox, which tell whose they are.
    fn take_events(&mut self, command: Command, is_alone: bool) -> Option<Next> {
        let Command::Append(mut append) = command else { return None };
        append.batch = append.outbox.take();
        match append.batch {
            Some(_) => self.log_group(Command::Append(append), is_alone),
            None => None,
        }
    }

    /// Rejects all commands.
    pub(super) fn refuse_all(self, error: &StorageError) {
        self.commands.into_iter().for_each(|command| command.refuse(error));
    }
}
