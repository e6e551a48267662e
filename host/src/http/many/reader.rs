use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::MAX_OPEN;
use super::places::Places;
use crate::event_log::{Delivery, Position, Subscription};
use crate::http::Api;
use crate::http::body::Broken;
use crate::http::format::{Envelope, Format, HEARTBEAT, Names, Notice, preamble};
use crate::http::pieces::{PIECE_BYTES, Pieces};
use crate::http::presence::Registration;
use crate::http::stream::{Filter, MAX_HELD, gathered, silence};
use crate::http::stream_ends::StreamEnd;
use crate::model::{Event, Run};
use crate::notifier::{Listener, Topic};
use crate::storage::{RunFilter, StorageError};

/// How often new runs are looked for, in case a hint was lost.
const POLL: Duration = Duration::from_secs(1);
/// Bytes of a frame after which the other runs wait for the next: all at once they would be 16 MiB for each client.
const FRAME_BYTES: usize = 256 << 10;

/// Which runs.
pub(super) enum Selection {
    /// These, oldest first.
    Named(Vec<Run>),
    /// Those that match, also later.
    Matching(RunFilter),
}

/// How a client wants to read.
pub(super) struct Wanted {
    pub(super) envelope: Envelope,
    pub(super) filter: Filter,
    pub(super) heartbeat: Option<Duration>,
    /// For how long to gather; none: not at all.
    pub(super) interval: Option<Duration>,
    /// What the client calls itself.
    pub(super) client: Option<Box<str>>,
    /// Whether it is one that a run can be lost with.
    pub(super) is_client: bool,
    pub(super) is_sse: bool,
    pub(super) named: bool,
}

/// One of the runs.
struct Member {
    no: i64,
    names: Names,
    subscription: Subscription,
    registration: Registration,
}

/// What comes next of a run.
struct Read {
    member: Member,
    next: Result<Delivery, StorageError>,
}

async fn read(mut member: Member) -> Read {
    let next = member.subscription.next().await;
    Read { member, next }
}

/// One client's stream of several runs.
pub(super) struct Reader {
    api: Arc<Api>,
    selection: Selection,
    places: Places,
    wanted: Wanted,
    /// Tasks, for each must go on while this waits for something else: it may hold what that needs.
    reading: JoinSet<Read>,
    /// Read, and gathered for a frame. No more of these runs is read meanwhile: the log keeps what comes.
    held: Vec<Read>,
    /// Bytes that have not been given out.
    out: Pieces,
    listener: Listener,
    spoke: Instant,
    opening: bool,
    end: StreamEnd,
    over: bool,
}

enum Waited {
    Read(Read),
    /// It is time to send what was gathered.
    Frame,
    /// There may be more runs.
    Runs,
    Silence,
    Closing,
    /// A run can't be read, by a fault of the host.
    Lost,
}

async fn numbered(api: &Api, selection: &Selection, no: i64) -> Result<Option<Run>, StorageError> {
    if let Selection::Named(runs) = selection {
        return Ok(runs.iter().find(|run| run.key.no == no).cloned());
    }
    let filter = RunFilter { since: Some(no - 1), limit: 1, brief: true, ..RunFilter::default() };
    Ok(api.storage.runs(filter).await?.pop().filter(|run| run.key.no == no))
}

impl Reader {
    /// Goes on from `places`.
    pub(super) async fn open(
        api: &Arc<Api>,
        selection: Selection,
        places: Places,
        wanted: Wanted,
    ) -> Result<Self, StorageError> {
        let mut reader = Self {
            listener: api.notifier.listen(Topic::Runs),
            api: Arc::clone(api),
            selection,
            places,
            wanted,
            reading: JoinSet::new(),
            held: Vec::new(),
            out: Pieces::default(),
            spoke: Instant::now(),
            opening: true,
            end: api.stream_ends.of_one(),
            over: false,
        };
        let resumed: Vec<i64> = reader.places.open.keys().copied().collect();
        for no in resumed {
            match numbered(&reader.api, &reader.selection, no).await? {
                Some(run) => reader.join(&run).await?,
                // It was removed meanwhile.
                None => drop(reader.places.open.remove(&no)),
            }
        }
        reader.take_up().await?;
        Ok(reader)
    }

    /// Whether nothing will come any more.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.selection, Selection::Named(_)) && self.reading.is_empty() && self.held.is_empty()
    }

    /// The next bytes; none when the stream is over.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        if std::mem::take(&mut self.opening) && self.wanted.is_sse {
            return Some(Ok(preamble()));
        }
        if let Some(piece) = self.out.next() {
            return Some(Ok(piece));
        }
        let mut out = Pieces::default();
        while !self.over && out.is_empty() {
            let told = match self.wait().await {
                Waited::Read(read) if self.wanted.interval.is_some() => {
                    self.held.push(read);
                    Ok(())
                }
                Waited::Read(read) => self.deliver(read, &mut out).await,
                Waited::Frame => self.frame(&mut out).await,
                Waited::Runs => self.take_up().await,
                Waited::Silence => {
                    let sign = if self.wanted.is_sse { HEARTBEAT } else { "\n" };
                    out.add(sign.as_bytes());
                    Ok(())
                }
                Waited::Lost => {
                    self.over = true;
                    return Some(Err(Broken::Incomplete("a run can't be read")));
                }
                Waited::Closing => {
                    self.over = true;
                    self.notice(&Names::none(), &Notice::Closing, &mut out);
                    Ok(())
                }
            };
            if let Err(error) = told {
                self.over = true;
                return Some(Err(error.into()));
            }
            self.over |= self.is_done();
        }
        self.spoke = Instant::now();
        self.out = out;
        self.out.next().map(Ok)
    }

    async fn wait(&mut self) -> Waited {
        let has_room = matches!(self.selection, Selection::Matching(_)) && self.places.open.len() < MAX_OPEN;
        let frame = self.wanted.interval.filter(|_| !self.held.is_empty()).map(|time| self.spoke + time);
        // What is gathered is a sign of life itself, and soon.
        let heartbeat = self.wanted.heartbeat.filter(|_| frame.is_none());
        let listener = &self.listener;
        let more = async {
            match has_room {
                true => drop(tokio::time::timeout(POLL, listener.heard()).await),
                false => std::future::pending().await,
            }
        };
        let frame_is_due = async {
            match frame {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = frame_is_due => Waited::Frame,
            Some(read) = self.reading.join_next() => read.map_or(Waited::Lost, Waited::Read),
            () = &mut self.end => if frame.is_some() { Waited::Frame } else { Waited::Closing },
            () = silence(heartbeat, self.spoke) => Waited::Silence,
            () = more => Waited::Runs,
        }
    }

    /// Begins to read the runs that are not read yet, as many as can be.
    async fn take_up(&mut self) -> Result<(), StorageError> {
        let room = MAX_OPEN.saturating_sub(self.places.open.len());
        let taken = self.places.taken;
        let more: Vec<Run> = match &self.selection {
            Selection::Named(runs) => {
                runs.iter().filter(|run| run.key.no > taken).take(room).cloned().collect()
            }
            Selection::Matching(_) if room == 0 => Vec::new(),
            Selection::Matching(filter) => {
                let limit = u32::try_from(room).unwrap_or(u32::MAX);
                let filter = RunFilter { since: Some(taken), limit, ..filter.clone() };
                self.api.storage.runs(filter).await?
            }
        };
        for run in more {
            self.places.taken = run.key.no;
            self.places.open.insert(run.key.no, 0);
            self.join(&run).await?;
        }
        Ok(())
    }

    async fn join(&mut self, run: &Run) -> Result<(), StorageError> {
        let no = run.key.no;
        let after = self.places.open.get(&no).copied().unwrap_or(0);
        let subscription = self.api.log.subscribe(run.key.clone(), Position::After(after)).await?;
        let form = if self.wanted.is_sse { "sse" } else { "ndjson" };
        let registration =
            self.api.presence.register(run, self.wanted.client.clone(), form, after, self.wanted.is_client);
        self.reading.spawn(read(Member { no, names: Names::of(run), subscription, registration }));
        Ok(())
    }

    /// What was gathered, and what is there of these runs by now.
    async fn frame(&mut self, out: &mut Pieces) -> Result<(), StorageError> {
        let mut held = std::mem::take(&mut self.held).into_iter();
        while out.len() < FRAME_BYTES
            && let Some(Read { mut member, next }) = held.next()
        {
            let mut deliveries = vec![next?];
            while deliveries.len() < MAX_HELD && !matches!(deliveries.last(), Some(Delivery::End)) {
                // Ends at what would have to be waited for. An error comes again, for who waits for it.
                let Some(Ok(next)) = member.subscription.next().now_or_never() else { break };
                deliveries.push(next);
            }
            if self.put_all(&member, &deliveries, out) {
                self.take_up().await?;
            } else {
                self.reading.spawn(read(member));
            }
        }
        self.held = held.collect();
        Ok(())
    }

    /// What was read of a run, and what is there of it already, up to a size.
    async fn deliver(
        &mut self,
        Read { mut member, next }: Read,
        out: &mut Pieces,
    ) -> Result<(), StorageError> {
        let mut delivery = Some(next?);
        while let Some(next) = delivery {
            if self.put_all(&member, std::slice::from_ref(&next), out) {
                return self.take_up().await;
            }
            // The last one comes whole, and twice as large as it is kept: its numbers and names come with each event.
            delivery = if out.len() < PIECE_BYTES / 2 { member.subscription.next_ready() } else { None };
        }
        self.reading.spawn(read(member));
        Ok(())
    }

    /// Puts deliveries of a run; says whether that was all of it.
    fn put_all(&mut self, member: &Member, deliveries: &[Delivery], out: &mut Pieces) -> bool {
        let form = Format::Ndjson { envelope: self.wanted.envelope };
        let (before, mut events, mut ended) = (out.len(), Vec::new(), false);
        for delivery in deliveries {
            let notice = match delivery {
                Delivery::Events(segment, from) => {
                    events.extend(form.events(&member.names, segment, *from));
                    continue;
                }
                Delivery::Gap { from, to } => Some((Notice::Gap { from: *from, to: *to }, Some(*to))),
                Delivery::Removed { from } => Some((Notice::Removed { from: *from }, None)),
                Delivery::End => None,
            };
            self.put_events(member, std::mem::take(&mut events), out);
            match notice {
                Some((notice, place)) => {
                    self.move_to(member.no, place);
                    self.notice(&member.names, &notice, out);
                }
                None => {
                    self.move_to(member.no, None);
                    ended = true;
                }
            }
        }
        self.put_events(member, events, out);
        member.registration.record_sent(out.len() - before, member.subscription.position());
        ended
    }

    fn put_events(&mut self, member: &Member, mut events: Vec<(&Event, Bytes)>, out: &mut Pieces) {
        let place_after = |event: &Event| (!event.is_terminal()).then_some(event.seq);
        let last = events.last().map(|(event, _)| place_after(event));
        events.retain(|(event, _)| self.wanted.filter.passes(event));
        if self.wanted.interval.is_some() {
            events = gathered(events, &member.names, Format::Ndjson { envelope: self.wanted.envelope });
        }
        for (event, line) in events {
            self.move_to(member.no, place_after(event));
            self.put(event.what.event_type.as_str(), &line, out);
        }
        if let Some(place) = last {
            self.move_to(member.no, place);
        }
    }

    /// The run is read up to there; none: to its end.
    fn move_to(&mut self, no: i64, place: Option<u64>) {
        match place {
            Some(seq) => drop(self.places.open.insert(no, seq)),
            None => drop(self.places.open.remove(&no)),
        }
    }

    fn notice(&self, names: &Names, notice: &Notice, out: &mut Pieces) {
        let line = Format::Ndjson { envelope: self.wanted.envelope }.notice(names, notice, 0);
        self.put(notice.kind(), &line, out);
    }

    /// A line of NDJSON, with its position.
    fn put(&self, kind: &str, line: &Bytes, out: &mut Pieces) {
        let without = |end: &[u8]| line.strip_suffix(end).map(|rest| line.slice(..rest.len()));
        let position = self.places.text();
        if self.wanted.is_sse {
            let name = if self.wanted.named { format!("\nevent: {kind}") } else { String::new() };
            out.add(format!("id: {position}{name}\ndata: ").as_bytes());
            out.share(without(b"\n").unwrap_or_else(|| line.clone()));
            return out.add(b"\n\n");
        }
        match without(b"}\n").filter(|_| self.wanted.envelope == Envelope::Full) {
            Some(members) => {
                out.share(members);
                out.add(format!(",\"position\":\"{position}\"}}\n").as_bytes());
            }
            None => out.share(line.clone()),
        }
    }
}
