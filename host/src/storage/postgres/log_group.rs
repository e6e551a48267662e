//! The writes of owners of runs: events, ends and requeues, as one statement.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::events::MAX_SEQ;
use super::group::{Append, Command, End, Ending, unreadable};
use super::run_row::status_code;
use crate::model::{
    Channel, Content, ContentType, Event, EventType, Fence, Json, NewEvent, Outcome, Timestamp,
};
use crate::postgres::{Result as Sent, Session};
use crate::storage::{Batch, StorageError};

/// Events after which a group is closed even if more are pending. Limits to a few milliseconds how long one flood delays
/// all other commits of the lane.
const MAX_EVENTS: usize = 4096;
/// Other operations after which a group is closed, for the same reason.
const MAX_ENDS: usize = 512;
/// Bytes after which a group is closed: the server needs several times as much memory for a statement.
const MAX_BYTES: usize = 8 << 20;

/// The next numbers of the runs that this lane writes to, so that the server need not look for them. Only what this host
/// owns is in it, and it is dropped whenever a connection is lost.
pub(super) type NextSeqs = HashMap<i64, NextSeq>;

#[derive(Clone, Copy, Debug)]
pub(super) struct NextSeq {
    fence: Fence,
    next: u64,
}

/// The row of `lanes` through which a statement passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    pub(super) host: i64,
    pub(super) lane: i32,
    /// The number of the statement.
    pub(super) n: i64,
}

/// The commands of one statement, in their order: the events first, then the ends.
pub(super) struct LogGroup {
    pub(super) host: i64,
    appends: Vec<Appended>,
    ends: Vec<End>,
    events: usize,
    bytes: usize,
    /// Runs that the group has events of without knowing their numbers, and runs that it ends.
    unknown: HashSet<i64>,
    ended: HashSet<i64>,
}

struct Appended {
    append: Append,
    /// The number of the first event; 0 if it is not known.
    first: u64,
}

impl Appended {
    fn batch(&self) -> &Batch {
        self.append.batch.as_ref().expect("it was taken before it was added")
    }
}

/// What became of a command that was offered to a group.
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart at once, and a box would cost each command an allocation"
)]
pub(super) enum Added {
    Yes,
    /// There was nothing to do.
    Nothing,
    /// It is for a later group.
    Later(Command),
}

impl LogGroup {
    pub(super) fn new(host: i64) -> Self {
        let (unknown, ended) = Default::default();
        Self { host, appends: Vec::new(), ends: Vec::new(), events: 0, bytes: 0, unknown, ended }
    }

    pub(super) fn len(&self) -> usize {
        self.appends.len() + self.ends.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.events >= MAX_EVENTS || self.ends.len() >= MAX_ENDS || self.bytes >= MAX_BYTES
    }

    /// Adds the events of an outbox. After the end of their run, they are for another group, which will reject them.
    pub(super) fn append(&mut self, mut append: Append, seqs: &mut NextSeqs) -> Added {
        let run = append.outbox.run();
        if self.ended.contains(&run) || self.unknown.contains(&run) {
            return Added::Later(Command::Append(append));
        }
        if append.batch.is_none() {
            append.batch = append.outbox.take();
        }
        let Some(batch) = &append.batch else { return Added::Nothing };
        if batch.fence.owner() != self.host {
            return Added::Later(Command::Append(append));
        }
        let count = batch.events.len();
        let first = match seqs.get_mut(&run) {
            Some(seq) if seq.fence == batch.fence => {
                if seq.next + count as u64 > MAX_SEQ {
                    append.outbox.done(Err(full()));
                    return Added::Nothing;
                }
                let first = seq.next;
                seq.next += count as u64;
                first
            }
            _ => {
                self.unknown.insert(run);
                0
            }
        };
        self.events += count;
        self.bytes += batch.events.iter().map(NewEvent::cost).sum::<usize>();
        self.appends.push(Appended { append, first });
        Added::Yes
    }

    /// Adds the end of an attempt.
    pub(super) fn end(&mut self, end: End) -> Added {
        if end.fence.owner() != self.host || !self.ended.insert(end.run) {
            return Added::Later(Command::End(end));
        }
        self.bytes += end.event.cost();
        self.ends.push(end);
        Added::Yes
    }

    /// Sends the statement. The answer is none if the gate was closed.
    pub(super) async fn send(&self, session: &Session, gate: Gate) -> Sent<Option<String>> {
        let batches: Vec<&Batch> = self.appends.iter().map(Appended::batch).collect();
        let of_batches =
            |column: fn(&Batch) -> i64| batches.iter().map(|batch| column(batch)).collect::<Vec<i64>>();
        let runs = of_batches(|batch| batch.run);
        let fences: Vec<i32> = batches.iter().map(|batch| batch.fence.number() as i32).collect();
        let firsts: Vec<i64> = self.appends.iter().map(|append| append.first as i64).collect();
        let attempts: Vec<i32> = batches.iter().map(|batch| batch.attempt as i32).collect();
        let events = EventColumns::of(&batches, self.events);
        let (mut heard_by, mut heard) = (Vec::<i32>::new(), Vec::<i64>::new());
        for (at, batch) in (1_i32..).zip(&batches) {
            heard_by.extend(batch.heard.iter().map(|_| at));
            heard.extend(&batch.heard);
        }
        let ends = EndColumns::of(&self.ends);
        let row = session
            .query_one(
                "SELECT write_log_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
                 $20, $21, $22)",
                &[
                    &gate.host,
                    &gate.lane,
                    &gate.n,
                    &runs,
                    &fences,
                    &firsts,
                    &attempts,
                    &events.batch,
                    &events.offset,
                    &events.time,
                    &events.event_type,
                    &events.channel,
                    &events.content_type,
                    &events.data,
                    &events.bytes,
                    &heard_by,
                    &heard,
                    &ends.ends,
                    &ends.data,
                    &ends.value,
                    &ends.error,
                    &ends.error_more,
                ],
            )
            .await?;
        row.try_get(0).map_err(Into::into)
    }

    pub(super) fn into_commands(self) -> Vec<Command> {
        let appends = self.appends.into_iter().map(|append| Command::Append(append.append));
        appends.chain(self.ends.into_iter().map(Command::End)).collect()
    }

    /// Sends the results, after the commit. Returns ends that have to be made in another way.
    pub(super) fn complete(self, answer: &str, seqs: &mut NextSeqs) -> Vec<Command> {
        let answer: LogAnswer = match answer {
            "" => LogAnswer::default(),
            answer => match serde_json::from_str(answer) {
                Ok(answer) => answer,
                Err(_) => {
                    self.into_commands().into_iter().for_each(|command| command.refuse(&unreadable()));
                    return Vec::new();
                }
            },
        };
        for (at, append) in self.appends.into_iter().enumerate() {
            let first = answer.batches.get(at).copied().unwrap_or(append.first as i64);
            append_done(append.append, first, seqs);
        }
        let mut again = Vec::new();
        for (at, end) in self.ends.into_iter().enumerate() {
            again.extend(end_done(end, answer.ends.get(at), seqs).map(Command::End));
        }
        again
    }
}

/// Reports to the outbox. The first number is 0 or less if the events were refused.
fn append_done(append: Append, first: i64, seqs: &mut NextSeqs) {
    let Some(batch) = append.batch else { return };
    let Some(first) = u64::try_from(first).ok().filter(|first| *first > 0) else {
        seqs.remove(&batch.run);
        append.outbox.done(Err(if first == 0 { StorageError::Fenced } else { full() }));
        return;
    };
    let next = first + batch.events.len() as u64;
    let known = seqs.entry(batch.run).or_insert(NextSeq { fence: batch.fence, next });
    if known.fence != batch.fence {
        *known = NextSeq { fence: batch.fence, next };
    }
    let attempt = batch.attempt;
    let numbered = (first..).zip(batch.events).map(|(seq, what)| Event { seq, attempt, what });
    append.outbox.done(Ok(numbered.collect()));
}

/// Answers the caller. Returns the end if its run has to end as cancelled.
fn end_done(end: End, answer: Option<&EndAnswer>, seqs: &mut NextSeqs) -> Option<End> {
    let result = match answer {
        Some(EndAnswer::Done { seq, attempt, notes }) => {
            let first = seq - notes.len() as u64;
            let notes = notes.iter().map(Note::event).chain([end.event.clone()]);
            let event = |(seq, what)| Event { seq, attempt: *attempt, what };
            Ok((first..).zip(notes).map(event).collect())
        }
        Some(EndAnswer::Cancelled) => return Some(end.into_cancelled()),
        Some(EndAnswer::Fenced) => Err(StorageError::Fenced),
        None => Err(unreadable()),
    };
    seqs.remove(&end.run);
    // The caller may be gone; the end stands.
    let _ = end.answer.send(result);
    None
}

fn full() -> StorageError {
    StorageError::Limit(format!("a run can have {MAX_SEQ} events"))
}

/// The answer of `write_log_1`.
#[derive(Default, Deserialize)]
struct LogAnswer {
    batches: Vec<i64>,
    ends: Vec<EndAnswer>,
}

#[derive(Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum EndAnswer {
    Done { seq: u64, attempt: u32, notes: Vec<Note> },
    Fenced,
    Cancelled,
}

/// An event that notes a message.
#[derive(Deserialize)]
struct Note {
    #[serde(rename = "type")]
    event_type: String,
    data: String,
    time: i64,
}

impl Note {
    fn event(&self) -> NewEvent {
        NewEvent {
            event_type: EventType::from_stored(self.event_type.as_str()),
            channel: None,
            content: Content::Json(Json::from_valid(self.data.clone())),
            time: Timestamp::from_millis(self.time),
        }
    }
}

/// Events of several batches as columns.
struct EventColumns<'a> {
    batch: Vec<i32>,
    offset: Vec<i32>,
    time: Vec<i64>,
    event_type: Vec<&'a str>,
    channel: Vec<Option<&'a str>>,
    content_type: Vec<Option<&'a str>>,
    data: Vec<Option<&'a str>>,
    bytes: Vec<Option<&'a [u8]>>,
}

impl<'a> EventColumns<'a> {
    fn of(batches: &[&'a Batch], count: usize) -> Self {
        let mut columns = Self {
            batch: Vec::with_capacity(count),
            offset: Vec::with_capacity(count),
            time: Vec::with_capacity(count),
            event_type: Vec::with_capacity(count),
            channel: Vec::with_capacity(count),
            content_type: Vec::with_capacity(count),
            data: Vec::with_capacity(count),
            bytes: Vec::with_capacity(count),
        };
        for (at, batch) in (1..).zip(batches) {
            for (offset, event) in (0..).zip(&batch.events) {
                columns.batch.push(at);
                columns.offset.push(offset);
                columns.add(event);
            }
        }
        columns
    }

    fn add(&mut self, event: &'a NewEvent) {
        let (content_type, data, bytes) = match &event.content {
            Content::Json(json) => (None, Some(json.as_str()), None),
            Content::Bytes(content_type, bytes) => {
                (Some(ContentType::as_str(content_type)), None, Some(&**bytes))
            }
        };
        self.time.push(event.time.as_millis());
        self.event_type.push(event.event_type.as_str());
        self.channel.push(event.channel.as_ref().map(Channel::as_str));
        self.content_type.push(content_type);
        self.data.push(data);
        self.bytes.push(bytes);
    }
}

/// An end as the database takes it.
#[derive(Serialize)]
struct EndRow<'a> {
    run: i64,
    fence: u32,
    status: Option<i16>,
    time: i64,
    #[serde(rename = "type")]
    event_type: &'a str,
    not_before: Option<i64>,
}

/// Ends as columns.
struct EndColumns<'a> {
    ends: String,
    data: Vec<&'a str>,
    value: Vec<Option<&'a str>>,
    error: Vec<Option<String>>,
    error_more: Vec<Option<String>>,
}

impl<'a> EndColumns<'a> {
    fn of(ends: &'a [End]) -> Self {
        let rows: Vec<EndRow<'_>> = ends.iter().map(EndRow::of).collect();
        let mut columns = Self {
            ends: Json::of(&rows).into_string(),
            data: Vec::new(),
            value: Vec::new(),
            error: Vec::new(),
            error_more: Vec::new(),
        };
        for end in ends {
            let outcome = match &end.ending {
                Ending::Finish(outcome) => Some(outcome),
                Ending::Requeue(_) => None,
            };
            // An event of the host has JSON.
            columns.data.push(match &end.event.content {
                Content::Json(json) => json.as_str(),
                Content::Bytes(..) => "null",
            });
            columns.value.push(outcome.and_then(Outcome::final_value).map(Json::as_str));
            let error = outcome.and_then(Outcome::error).map(super::run_error::columns);
            let (error, more) = error.unzip();
            columns.error.push(error);
            columns.error_more.push(more.flatten());
        }
        columns
    }
}

impl<'a> EndRow<'a> {
    fn of(end: &'a End) -> Self {
        let (status, not_before) = match &end.ending {
            Ending::Finish(outcome) => (Some(status_code(outcome.status())), None),
            Ending::Requeue(not_before) => (None, not_before.map(Timestamp::as_millis)),
        };
        Self {
            run: end.run,
            fence: end.fence.number(),
            status,
            time: end.event.time.as_millis(),
            event_type: end.event.event_type.as_str(),
            not_before,
        }
    }
}
