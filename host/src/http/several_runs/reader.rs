use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use super::MAX_OPEN_RUNS;
use super::cursor::Cursor;
use super::queries::Queries;
use crate::event_log::{Delivery, Position, Subscription};
use crate::http::Api;
use crate::http::body::Broken;
use crate::http::format::{Envelope, Format, Names, Notice};
use crate::http::live_stream::Source;
use crate::http::pieces::{PIECE_BYTES, Pieces};
use crate::http::presence::Registration;
use crate::http::stream::{Filter, MAX_COALESCED_SEGMENTS, coalesce};
use crate::model::{Event, Run};
use crate::notifier::Topic;
use crate::storage::{RunFilter, StorageError};

/// Size of coalesced events after which the remaining runs wait for the next interval. All runs at once would take 16 MiB
/// for each client.
const COALESCED_BYTES: usize = 256 << 10;

/// The runs to read.
pub(super) enum Selection {
    /// These runs, oldest first.
    Named(Vec<Run>),
    /// All runs that match, including later ones.
    Matching(RunFilter),
}

/// The options of a subscriber of several runs.
pub(super) struct Options {
    pub(super) format: Format,
    pub(super) envelope: Envelope,
    pub(super) filter: Filter,
    /// Time for which events are coalesced. `None` to send each at once.
    pub(super) interval: Option<Duration>,
    /// The client's `client_id`.
    pub(super) client: Option<Box<str>>,
    /// Whether its disconnect can cancel a run.
    pub(super) is_client: bool,
}

/// One of the runs.
struct Member {
    no: i64,
    names: Names,
    subscription: Subscription,
    registration: Registration,
}

/// The next delivery of a run.
pub(super) struct Read {
    member: Member,
    next: Result<Delivery, StorageError>,
}

async fn read(mut member: Member) -> Read {
    let next = member.subscription.next().await;
    Read { member, next }
}

/// The content of one client's stream of several runs.
pub(super) struct Reader {
    api: Arc<Api>,
    selection: Selection,
    cursor: Cursor,
    options: Options,
    /// Encodes events for the frames that this stream makes of them.
    lines: Format,
    /// One task for each run. A read must progress while the stream waits for another one, because it may hold resources
    /// that the other one waits for.
    reading: JoinSet<Read>,
    /// Deliveries that wait for the end of the interval. Until then their runs are not read: the log keeps new events.
    pending: Vec<Read>,
    /// Bytes to send next.
    out: Pieces,
    queries: Queries,
}

/// What a wait results in.
pub(super) enum Item {
    Read(Read),
    /// There may be more runs.
    Runs,
}

async fn find_by_number(api: &Api, selection: &Selection, no: i64) -> Result<Option<Run>, StorageError> {
    if let Selection::Named(runs) = selection {
        return Ok(runs.iter().find(|run| run.key.no == no).cloned());
    }
    let filter = RunFilter { since: Some(no - 1), limit: 1, brief: true, ..RunFilter::default() };
    Ok(api.storage.runs(filter).await?.pop().filter(|run| run.key.no == no))
}

impl Reader {
    /// Open a stream that resumes at `cursor`.
    pub(super) async fn open(
        api: &Arc<Api>,
        selection: Selection,
        cursor: Cursor,
        options: Options,
    ) -> Result<Self, StorageError> {
        let mut reader = Self {
            queries: Queries::new(api.notifier.listen(Topic::Runs)),
            api: Arc::clone(api),
            selection,
            cursor,
            lines: Format::ndjson(options.envelope),
            options,
            reading: JoinSet::new(),
            pending: Vec::new(),
            out: Pieces::default(),
        };
        reader.out.add(&reader.options.format.preamble());
        let resumed: Vec<i64> = reader.cursor.open.keys().copied().collect();
        for no in resumed {
            match find_by_number(&reader.api, &reader.selection, no).await? {
                Some(run) => reader.add_run(&run).await?,
                // The run has been removed since.
                None => drop(reader.cursor.open.remove(&no)),
            }
        }
        reader.add_runs().await?;
        Ok(reader)
    }

    /// Whether no event will follow those that were read.
    pub(super) fn has_read_all(&self) -> bool {
        matches!(self.selection, Selection::Named(_)) && self.reading.is_empty() && self.pending.is_empty()
    }

    /// The number of further runs that can be read at once.
    fn room(&self) -> usize {
        MAX_OPEN_RUNS.saturating_sub(self.cursor.open.len())
    }

    /// A run was read to its end, so that another one can take its place.
    async fn replace_ended(&mut self) -> Result<(), StorageError> {
        match self.selection {
            Selection::Named(_) => self.add_runs().await,
            // Not for each run that ends: the next wait makes one query for several.
            Selection::Matching(_) => Ok(()),
        }
    }

    /// Start to read further runs, as many as the limit allows.
    async fn add_runs(&mut self) -> Result<(), StorageError> {
        let room = self.room();
        let newest = self.cursor.newest;
        let more: Vec<Run> = match &self.selection {
            Selection::Named(runs) => {
                runs.iter().filter(|run| run.key.no > newest).take(room).cloned().collect()
            }
            Selection::Matching(_) if room == 0 => Vec::new(),
            Selection::Matching(filter) => {
                let limit = u32::try_from(room).unwrap_or(u32::MAX);
                let filter = RunFilter { since: Some(newest), limit, ..filter.clone() };
                self.api.storage.runs(filter).await?
            }
        };
        self.queries.record(more.len() == room);
        for run in more {
            self.cursor.newest = run.key.no;
            self.cursor.open.insert(run.key.no, 0);
            self.add_run(&run).await?;
        }
        Ok(())
    }

    async fn add_run(&mut self, run: &Run) -> Result<(), StorageError> {
        let no = run.key.no;
        let after = self.cursor.open.get(&no).copied().unwrap_or(0);
        let subscription = self.api.log.subscribe(run.key.clone(), Position::After(after)).await?;
        let Options { format, client, is_client, .. } = &self.options;
        let registration = self.api.presence.register(run, client.clone(), format.name(), after, *is_client);
        self.reading.spawn(read(Member { no, names: Names::of(run), subscription, registration }));
        Ok(())
    }

    /// Add all pending deliveries and those that are ready by now, with their events coalesced.
    async fn add_coalesced(&mut self) -> Result<(), StorageError> {
        let mut pending = std::mem::take(&mut self.pending).into_iter();
        while self.out.len() < COALESCED_BYTES
            && let Some(Read { mut member, next }) = pending.next()
        {
            let mut deliveries = vec![next?];
            while deliveries.len() < MAX_COALESCED_SEGMENTS
                && !matches!(deliveries.last(), Some(Delivery::End))
            {
                // Stops at the first delivery that is not ready. The task that reads the run gets an error again.
                let Some(Ok(next)) = member.subscription.next().now_or_never() else { break };
                deliveries.push(next);
            }
            if self.add_deliveries(&member, &deliveries) {
                self.replace_ended().await?;
            } else {
                self.reading.spawn(read(member));
            }
        }
        self.pending = pending.collect();
        Ok(())
    }

    /// Add a delivery of a run and all that are ready, up to a size.
    async fn add_ready(&mut self, Read { mut member, next }: Read) -> Result<(), StorageError> {
        let mut delivery = Some(next?);
        while let Some(next) = delivery {
            if self.add_deliveries(&member, std::slice::from_ref(&next)) {
                return self.replace_ended().await;
            }
            // The last delivery is added whole, and numbers and names make it twice as large as it is in the log.
            delivery = if self.out.len() < PIECE_BYTES / 2 { member.subscription.next_ready() } else { None };
        }
        self.reading.spawn(read(member));
        Ok(())
    }

    /// Add deliveries of a run. Returns whether they include its end.
    fn add_deliveries(&mut self, member: &Member, deliveries: &[Delivery]) -> bool {
        let lines = self.lines;
        let (before, mut events, mut ended) = (self.out.len(), Vec::new(), false);
        for delivery in deliveries {
            let notice = match delivery {
                Delivery::Events(segment, from) => {
                    events.extend(lines.events(&member.names, segment, *from));
                    continue;
                }
                Delivery::Gap { from, to } => Some((Notice::Gap { from: *from, to: *to }, Some(*to))),
                Delivery::Removed { from } => Some((Notice::Removed { from: *from }, None)),
                Delivery::End => None,
            };
            self.add_events(member, std::mem::take(&mut events));
            match notice {
                Some((notice, seq)) => {
                    self.advance(member.no, seq);
                    self.add_notice(&member.names, &notice);
                }
                None => {
                    self.advance(member.no, None);
                    ended = true;
                }
            }
        }
        self.add_events(member, events);
        member.registration.record_sent(self.out.len() - before, member.subscription.position());
        ended
    }

    fn add_events(&mut self, member: &Member, mut events: Vec<(&Event, Bytes)>) {
        let seq_after = |event: &Event| (!event.is_terminal()).then_some(event.seq);
        let last = events.last().map(|(event, _)| seq_after(event));
        events.retain(|(event, _)| self.options.filter.passes(event));
        if self.options.interval.is_some() {
            events = coalesce(events, &member.names, self.lines);
        }
        for (event, line) in events {
            self.advance(member.no, seq_after(event));
            self.add_line(event.what.event_type.as_str(), &line);
        }
        if let Some(seq) = last {
            self.advance(member.no, seq);
        }
    }

    /// Record that a run was read up to the event `seq`. `None` if it was read to its end.
    fn advance(&mut self, no: i64, seq: Option<u64>) {
        match seq {
            Some(seq) => drop(self.cursor.open.insert(no, seq)),
            None => drop(self.cursor.open.remove(&no)),
        }
    }

    fn add_notice(&mut self, names: &Names, notice: &Notice) {
        let line = self.lines.notice(names, notice, 0);
        self.add_line(notice.event_type(), &line);
    }

    /// Add a line of NDJSON in the format of this stream, with the cursor: as the id, or as a member of the envelope.
    fn add_line(&mut self, event_type: &str, line: &Bytes) {
        let without = |end: &[u8]| line.strip_suffix(end).map(|rest| line.slice(..rest.len()));
        let cursor = self.cursor.text();
        let frame = self.options.format.frame(Some(&cursor), event_type);
        self.out.add(frame.head.as_bytes());
        let has_member = !frame.has_id && self.options.envelope == Envelope::Full;
        match without(b"}\n").filter(|_| has_member) {
            Some(members) => {
                self.out.share(members);
                self.out.add(format!(",\"cursor\":\"{cursor}\"}}").as_bytes());
            }
            None => self.out.share(without(b"\n").unwrap_or_else(|| line.clone())),
        }
        self.out.add(frame.end.as_bytes());
    }
}

impl Source for Reader {
    type Item = Item;

    async fn bytes(&mut self) -> Result<Option<Bytes>, Broken> {
        Ok(self.out.next())
    }

    fn has_ended(&self) -> bool {
        self.has_read_all()
    }

    async fn wait(&mut self) -> Result<Item, Broken> {
        let room = match self.selection {
            Selection::Matching(_) => self.room(),
            // These are all known.
            Selection::Named(_) => 0,
        };
        if self.queries.is_overdue(room) {
            return Ok(Item::Runs);
        }
        tokio::select! {
            biased;
            Some(read) = self.reading.join_next() => match read {
                Ok(read) => Ok(Item::Read(read)),
                Err(_panicked) => Err(Broken::Incomplete("a run can't be read")),
            },
            () = self.queries.due(room) => Ok(Item::Runs),
        }
    }

    async fn take(&mut self, item: Item) -> Result<(), Broken> {
        match item {
            Item::Read(read) if self.options.interval.is_some() => self.pending.push(read),
            Item::Read(read) => self.add_ready(read).await?,
            Item::Runs => self.add_runs().await?,
        }
        Ok(())
    }

    fn coalescing(&self) -> Option<Duration> {
        self.options.interval.filter(|_| !self.pending.is_empty())
    }

    async fn coalesce(&mut self) -> Result<(), Broken> {
        Ok(self.add_coalesced().await?)
    }

    fn add_heartbeat(&mut self) {
        self.out.add(self.options.format.heartbeat().as_bytes());
    }

    fn add_closing(&mut self) {
        self.add_notice(&Names::none(), &Notice::Closing);
    }
}
