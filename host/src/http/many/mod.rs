//! `GET /api/events`: what several runs say, over one connection.
//!
//! Which runs, a request says by id, or by task and label, and then those that begin later belong to them too. A
//! position is that of all of them together: the number of the newest run that was taken up, and how far each is read
//! that has not ended. It goes with every event, so whoever comes back with it misses nothing and gets nothing twice.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::StatusCode;
use hyper::header::HeaderMap;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::body::{Body, Broken, Response};
use super::coding;
use super::format::{Envelope, Format, HEARTBEAT, NDJSON, Names, Notice, PREAMBLE, SSE};
use super::problem::Problem;
use super::request::{Query, invalid};
use super::stream::{self, Filter};
use super::{Api, runs};
use crate::event_log::{Delivery, Position, Subscription};
use crate::model::{Event, Run, RunStatus};
use crate::notifier::{Listener, Topic};
use crate::storage::{RunFilter, StorageError};

/// Runs that are read at once, and that a request can name. More wait until one of these has ended. It bounds the
/// position, which goes with every event.
const MAX_OPEN: usize = 64;
/// How often new runs are looked for, in case a hint was lost.
const POLL: Duration = Duration::from_secs(1);
/// Longest position: a number and a place for each run, in decimal.
const MAX_POSITION_BYTES: usize = 32 * (MAX_OPEN + 1);
/// Bytes put together for one write.
const GATHER_BYTES: usize = 32 << 10;

/// How far each run is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Places {
    /// The newest run that was taken up; older ones that are not open have ended.
    taken: i64,
    /// The last event of each run that has not ended.
    open: BTreeMap<i64, u64>,
}

impl Places {
    /// `TAKEN`, and `-RUN.SEQ` for each that is open.
    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_POSITION_BYTES {
            return None;
        }
        let mut parts = text.split('-');
        let taken = parts.next()?.parse().ok().filter(|taken| *taken >= 0)?;
        let mut open = BTreeMap::new();
        for part in parts {
            let (run, seq) = part.split_once('.')?;
            let run = run.parse().ok().filter(|run| (1..=taken).contains(run))?;
            open.insert(run, seq.parse().ok()?);
        }
        (open.len() <= MAX_OPEN).then_some(Self { taken, open })
    }

    fn text(&self) -> String {
        let mut text = self.taken.to_string();
        for (run, seq) in &self.open {
            write!(text, "-{run}.{seq}").expect("writing to memory can't fail");
        }
        text
    }
}

/// Which runs.
enum Selection {
    /// These, oldest first.
    Named(Vec<Run>),
    /// Those that match, also later.
    Matching(RunFilter),
}

/// `GET /api/events`.
pub(super) async fn get(api: &Arc<Api>, headers: &HeaderMap, query: &Query) -> Result<Response, Problem> {
    let media = stream::media(headers, query, &[SSE, NDJSON], "events of several runs")?;
    let named = query.parse("named", "`true` or `false`")?.unwrap_or(true);
    let selection = selection(api, query).await?;
    let places = begin(api, headers, query, &selection).await?;
    let mut reader = ManyReader {
        envelope: stream::envelope(query)?,
        filter: Filter::of(query, Format::Ndjson { envelope: Envelope::Full })?,
        heartbeat: stream::heartbeat(&api.config, query, media)?,
        is_sse: media == SSE,
        named,
        listener: api.notifier.listen(Topic::Runs),
        api: Arc::clone(api),
        selection,
        places,
        reading: JoinSet::new(),
        spoke: Instant::now(),
        opening: true,
        over: false,
    };
    reader.take_up().await?;
    if reader.is_done() {
        // An EventSource that is told so does not come back.
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let stream = futures_util::stream::unfold(reader, |mut reader| async {
        let next = reader.next().await;
        next.map(|bytes| (bytes, reader))
    });
    Ok(coding::streamed(api, headers, media, stream))
}

async fn selection(api: &Api, query: &Query) -> Result<Selection, Problem> {
    let ids: Vec<&str> = query.all("run").flat_map(|ids| ids.split(',')).collect();
    if ids.is_empty() {
        let RunFilter { task, label, parent, .. } = runs::filter(query)?;
        return Ok(Selection::Matching(RunFilter {
            task,
            label,
            parent,
            brief: true,
            ..RunFilter::default()
        }));
    }
    if ids.len() > MAX_OPEN {
        let detail = format!("{} runs are named; at most {MAX_OPEN} can be read at once", ids.len());
        return Err(Problem::bad_request("invalid-parameter", detail).with("parameter", "run"));
    }
    let mut named = BTreeMap::new();
    for id in ids {
        let run = runs::find(api, id).await?;
        named.insert(run.key.no, run);
    }
    Ok(Selection::Named(named.into_values().collect()))
}

/// Where the reader wants to begin.
async fn begin(
    api: &Api,
    headers: &HeaderMap,
    query: &Query,
    selection: &Selection,
) -> Result<Places, Problem> {
    let header = headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()));
    if let Some(id) = header.as_deref().or(query.get("after")) {
        let what = "the `id` of an event of the same request";
        return Places::parse(id.trim()).ok_or_else(|| invalid("after", id, what));
    }
    match query.get("from") {
        None | Some("start") => Ok(Places::default()),
        Some("now") => now(api, selection).await,
        Some(other) => Err(invalid("from", other, "`start` or `now`")),
    }
}

/// After all that there is: runs that have not ended from their newest event on. If these are more than can be read at
/// once, those that were started last are read from their beginning, so that nothing is missed.
async fn now(api: &Api, selection: &Selection) -> Result<Places, Problem> {
    let newest = RunFilter { limit: 1, ..RunFilter::default() };
    let newest = api.storage.runs(newest).await?;
    let mut places = Places { taken: newest.first().map_or(0, |run| run.key.no), ..Places::default() };
    let mut active = match selection {
        Selection::Named(runs) => runs.clone(),
        Selection::Matching(filter) => {
            let mut active = Vec::new();
            for status in RunStatus::ALL.into_iter().filter(|status| !status.is_terminal()) {
                let limit = MAX_OPEN as u32 + 1;
                let filter = RunFilter { status: Some(status), since: Some(0), limit, ..filter.clone() };
                active.extend(api.storage.runs(filter).await?);
            }
            active
        }
    };
    active.retain(|run| !run.status.is_terminal() && run.key.no <= places.taken);
    // One that moved on meanwhile may have been found in two states.
    active.sort_by_key(|run| run.key.no);
    active.dedup_by_key(|run| run.key.no);
    if active.len() > MAX_OPEN {
        active.truncate(MAX_OPEN);
        places.taken = active[MAX_OPEN - 1].key.no;
    }
    for run in active {
        places.open.insert(run.key.no, api.log.head(&run.key).await?);
    }
    Ok(places)
}

/// One of the runs.
struct Member {
    no: i64,
    names: Names,
    subscription: Subscription,
}

/// What comes next of it.
async fn read(mut member: Member) -> (Member, Result<Delivery, StorageError>) {
    let delivery = member.subscription.next().await;
    (member, delivery)
}

struct ManyReader {
    api: Arc<Api>,
    selection: Selection,
    places: Places,
    /// Tasks, for each must go on while this waits for something else: it may hold what that needs.
    reading: JoinSet<(Member, Result<Delivery, StorageError>)>,
    listener: Listener,
    envelope: Envelope,
    filter: Filter,
    heartbeat: Option<Duration>,
    is_sse: bool,
    named: bool,
    spoke: Instant,
    opening: bool,
    over: bool,
}

enum Waited {
    Delivery(Member, Result<Delivery, StorageError>),
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

impl ManyReader {
    /// Whether nothing will come any more.
    fn is_done(&self) -> bool {
        matches!(self.selection, Selection::Named(_)) && self.reading.is_empty()
    }

    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        let mut out = BytesMut::new();
        if std::mem::take(&mut self.opening) && self.is_sse {
            out.extend_from_slice(PREAMBLE.as_bytes());
            return Some(Ok(out.freeze()));
        }
        while !self.over && out.is_empty() {
            let told = match self.wait().await {
                Waited::Delivery(member, delivery) => self.deliver(member, delivery, &mut out).await,
                Waited::Runs => self.take_up().await,
                Waited::Silence => {
                    out.extend_from_slice(if self.is_sse { HEARTBEAT } else { "\n" }.as_bytes());
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
        (!out.is_empty()).then(|| Ok(out.freeze()))
    }

    async fn wait(&mut self) -> Waited {
        let silence = self.heartbeat.map(|time| self.spoke + time);
        let silent = async {
            match silence {
                Some(silence) => tokio::time::sleep_until(silence).await,
                None => std::future::pending().await,
            }
        };
        let has_room = matches!(self.selection, Selection::Matching(_)) && self.places.open.len() < MAX_OPEN;
        let (listener, end) = (&self.listener, self.api.end_streams.clone());
        let more = async {
            match has_room {
                true => drop(tokio::time::timeout(POLL, listener.heard()).await),
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(read) = self.reading.join_next() => match read {
                Ok((member, delivery)) => Waited::Delivery(member, delivery),
                Err(_) => Waited::Lost,
            },
            () = end.cancelled() => Waited::Closing,
            () = silent => Waited::Silence,
            () = more => Waited::Runs,
        }
    }

    /// Begins to read the runs that are not read yet, as many as can be.
    async fn take_up(&mut self) -> Result<(), StorageError> {
        let resumed: Vec<i64> = match self.reading.is_empty() {
            true => self.places.open.keys().copied().collect(),
            false => Vec::new(),
        };
        for no in resumed {
            match numbered(&self.api, &self.selection, no).await? {
                Some(run) => self.open(run).await?,
                // It was removed meanwhile.
                None => drop(self.places.open.remove(&no)),
            }
        }
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
            self.open(run).await?;
        }
        Ok(())
    }

    async fn open(&mut self, run: Run) -> Result<(), StorageError> {
        let after = self.places.open.get(&run.key.no).copied().unwrap_or(0);
        let names = Names::of(&run);
        let no = run.key.no;
        let subscription = self.api.log.subscribe(run.key, Position::After(after)).await?;
        self.reading.spawn(read(Member { no, names, subscription }));
        Ok(())
    }

    async fn deliver(
        &mut self,
        mut member: Member,
        delivery: Result<Delivery, StorageError>,
        out: &mut BytesMut,
    ) -> Result<(), StorageError> {
        let mut delivery = Some(delivery?);
        while let Some(next) = delivery {
            match next {
                Delivery::Events(segment, from) => {
                    let form = Format::Ndjson { envelope: self.envelope };
                    let encoded = form.segment(&member.names, &segment);
                    let mut begin = from.checked_sub(1).map_or(0, |before| encoded.ends[before] as usize);
                    for (event, &end) in segment.events().iter().zip(&encoded.ends).skip(from) {
                        self.event(&member, event, &encoded.bytes[begin..end as usize], out);
                        begin = end as usize;
                    }
                }
                Delivery::Gap { from, to } => {
                    self.places.open.insert(member.no, to);
                    self.notice(&member.names, &Notice::Gap { from, to }, out);
                }
                Delivery::Removed { from } => {
                    self.places.open.remove(&member.no);
                    self.notice(&member.names, &Notice::Removed { from }, out);
                }
                Delivery::End => {
                    self.places.open.remove(&member.no);
                    return self.take_up().await;
                }
            }
            delivery = if out.len() < GATHER_BYTES { member.subscription.next_ready() } else { None };
        }
        self.reading.spawn(read(member));
        Ok(())
    }

    fn event(&mut self, member: &Member, event: &Event, line: &[u8], out: &mut BytesMut) {
        if event.is_terminal() {
            self.places.open.remove(&member.no);
        } else {
            self.places.open.insert(member.no, event.seq);
        }
        if self.filter.passes(event) {
            self.put(event.what.event_type.as_str(), line, out);
        }
    }

    fn notice(&self, names: &Names, notice: &Notice, out: &mut BytesMut) {
        let line = Format::Ndjson { envelope: self.envelope }.notice(names, notice, 0);
        self.put(notice.kind(), &line, out);
    }

    /// A line of NDJSON, with its position.
    fn put(&self, kind: &str, line: &[u8], out: &mut BytesMut) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let position = self.places.text();
        let mut text = |text: &str| out.extend_from_slice(text.as_bytes());
        if self.is_sse {
            text("id: ");
            text(&position);
            if self.named {
                text("\nevent: ");
                text(kind);
            }
            text("\ndata: ");
            out.extend_from_slice(line);
            out.extend_from_slice(b"\n\n");
            return;
        }
        match line.strip_suffix(b"}").filter(|_| self.envelope == Envelope::Full) {
            Some(members) => {
                out.extend_from_slice(members);
                out.extend_from_slice(format!(",\"position\":\"{position}\"}}\n").as_bytes());
            }
            None => {
                out.extend_from_slice(line);
                out.extend_from_slice(b"\n");
            }
        }
    }
}

/// Positions that clients send, for the fuzzer.
pub(super) fn positions(headers: &HeaderMap, query: &Query) {
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    for text in header.into_iter().chain(query.all("after")) {
        if let Some(places) = Places::parse(text) {
            assert!(places.open.len() <= MAX_OPEN && places.open.keys().all(|run| *run <= places.taken));
            assert_eq!(Places::parse(&places.text()), Some(places));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let open = BTreeMap::from([(3, 0), (7, u64::MAX)]);
        for places in
            [Places::default(), Places { taken: 9, open }, Places { taken: i64::MAX, ..Places::default() }]
        {
            assert_eq!(Places::parse(&places.text()), Some(places));
        }
    }

    #[test]
    fn what_is_no_position_is_none() {
        let long = "9".to_owned() + &"-1.1".repeat(2000);
        for text in
            ["", "-", "x", "-1", "5-", "5-6.1", "5-0.1", "5-1", "5-1.-1", "5-1.1.1", "5-1.x", "5 -1.1", &long]
        {
            assert_eq!(Places::parse(text), None, "{text}");
        }
    }
}
