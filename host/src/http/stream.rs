//! `GET /stream/{app}/{task}/{run}`: a run's log, from some position on, live.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::body::{Body, Response};
use super::format::{Envelope, Format, NDJSON, Names, Notice, SSE};
use super::json::RunJson;
use super::position::Wish;
use super::problem::Problem;
use super::request::{Query, header_list, invalid};
use super::{Api, Config, accept, json};
use crate::event_log::{Delivery, Position, Segment, Subscription};
use crate::model::{Event, Run, RunId, TaskRef};
use crate::storage::StorageError;

/// Small pieces that are there at once are put together up to this size, so that
/// one system call carries many of them.
const GATHER_BYTES: usize = 32 << 10;
/// Most seconds between two signs of life; more would be none.
const MAX_HEARTBEAT_SECS: u64 = 3600;

/// How one reader wants to read.
pub(super) struct Options {
    format: Format,
    wish: Wish,
    filter: Filter,
    /// None: no signs of life.
    heartbeat: Option<Duration>,
    /// Whether to wait for what comes.
    live: bool,
}

/// In place of a media type: lines of NDJSON, each a message, with signs of life.
pub(super) const WEBSOCKET: &str = "websocket";

/// Which events a reader wants. The terminal event always passes.
#[derive(Default)]
struct Filter {
    types: Vec<String>,
    /// The empty name is the default channel.
    channels: Vec<String>,
}

impl Filter {
    fn of(query: &Query) -> Self {
        let list = |name| query.all(name).flat_map(|names| names.split(',')).map(str::to_owned).collect();
        Self { types: list("types"), channels: list("channel") }
    }

    fn is_empty(&self) -> bool {
        self.types.is_empty() && self.channels.is_empty()
    }

    fn passes(&self, event: &Event) -> bool {
        let channel = event.what.channel.as_ref().map_or("", |channel| channel.as_str());
        let wanted =
            |list: &[String], name: &str| list.is_empty() || list.iter().any(|wanted| wanted == name);
        event.is_terminal()
            || wanted(&self.types, event.what.event_type.as_str()) && wanted(&self.channels, channel)
    }
}

impl Options {
    /// From a request for the media type `media`.
    pub(super) fn of(
        config: &Config,
        headers: &HeaderMap,
        query: &Query,
        media: &str,
    ) -> Result<Self, Problem> {
        let envelope = match query.get("envelope") {
            None | Some("full") => Envelope::Full,
            Some("data") => Envelope::Data,
            Some(other) => return Err(invalid("envelope", other, "`full` or `data`")),
        };
        let named = query.parse("named", "`true` or `false`")?.unwrap_or(true);
        let format = if media == SSE { Format::Sse { envelope, named } } else { Format::Ndjson { envelope } };
        let heartbeat = match query.parse::<u64>("heartbeat", "seconds, or 0 for none")? {
            Some(seconds) => Some(Duration::from_secs(seconds.min(MAX_HEARTBEAT_SECS))),
            // Not every reader of lines skips empty ones.
            None => (media != NDJSON).then_some(config.heartbeat),
        };
        // Always due, it would leave no time for events.
        let heartbeat = heartbeat.filter(|time| !time.is_zero());
        let live = query.parse("live", "`true` or `false`")?.unwrap_or(true);
        Ok(Self { format, wish: Wish::of(headers, query)?, filter: Filter::of(query), heartbeat, live })
    }
}

/// `GET /stream/{app}/{task}/{run}`.
pub(super) async fn get(
    api: &Arc<Api>,
    headers: &HeaderMap,
    query: &Query,
    path: [&str; 3],
) -> Result<Response, Problem> {
    let run = find(api, path).await?;
    let offers = [SSE, NDJSON, "application/json"];
    let Some(media) = accept::best(header_list(headers, header::ACCEPT).as_deref(), &offers) else {
        let detail = format!("this stream can be had as {}", offers.join(", "));
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", detail));
    };
    if media == "application/json" {
        return Ok(json::response(StatusCode::OK, &RunJson::from(&run)));
    }
    let options = Options::of(&api.config, headers, query, media)?;
    open(api, &run, options).await
}

pub(super) async fn find(api: &Api, [app, task, id]: [&str; 3]) -> Result<Run, Problem> {
    let unknown =
        || Problem::not_found("unknown-run", format!("there is no run {id:?} of a task {app}/{task}"));
    let (Ok(name), Ok(id)) = (TaskRef::parse(app, task), RunId::parse(id)) else { return Err(unknown()) };
    let run = api.storage.run(&id).await?;
    run.filter(|run| run.task == name).ok_or_else(unknown)
}

/// A response that follows `run`.
pub(super) async fn open(api: &Arc<Api>, run: &Run, options: Options) -> Result<Response, Problem> {
    let format = options.format;
    let reader = Reader::open(api, run, options).await?;
    if run.last_seq.is_some_and(|last| reader.subscription.position() >= last) {
        // An EventSource that is told so does not come back.
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let stream = futures_util::stream::unfold(reader, |mut reader| async {
        let next = reader.next().await;
        next.map(|item| (item, reader))
    });
    Ok(response(format, Body::Stream(Box::pin(stream))))
}

fn response(format: Format, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // nginx would hold events back until its buffer is full.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One reader's stream. All it owns is a position.
pub(super) struct Reader {
    subscription: Subscription,
    names: Names,
    format: Format,
    filter: Filter,
    heartbeat: Option<Duration>,
    /// The last event that it wants; none: all that come.
    until: Option<u64>,
    end: CancellationToken,
    /// Not opened yet; with what to tell first.
    opening: Option<Option<Notice>>,
    /// When the last bytes were given out: a stream of which the filter lets
    /// nothing pass is silent.
    spoke: Instant,
    over: bool,
    cut_short: bool,
}

impl Reader {
    pub(super) async fn open(api: &Api, run: &Run, options: Options) -> Result<Self, Problem> {
        let head = match run.last_seq {
            Some(last) => last,
            None => api.log.head(&run.key).await?,
        };
        let (position, notice) = match options.wish.resolve(head) {
            Ok(position) => (position, None),
            Err(requested) => (Position::After(0), Some(Notice::UnknownPosition { requested })),
        };
        Ok(Self {
            subscription: api.log.subscribe(run.key.clone(), position).await?,
            names: Names::of(run),
            format: options.format,
            filter: options.filter,
            heartbeat: options.heartbeat,
            until: (!options.live).then_some(head),
            end: api.end_streams.clone(),
            opening: Some(notice),
            spoke: Instant::now(),
            over: false,
            cut_short: false,
        })
    }

    /// Whether the stream is over although the log goes on.
    pub(super) fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    /// The next bytes; none when the stream is over. Nothing is lost if it is not awaited to
    /// the end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, StorageError>> {
        let opening = self.begin();
        if !opening.is_empty() {
            return Some(Ok(opening));
        }
        while !self.over && self.until.is_none_or(|until| self.subscription.position() < until) {
            let bytes = match self.wait().await {
                Waited::Delivery(Ok(delivery)) => self.gather(delivery),
                Waited::Delivery(Err(error)) => {
                    self.over = true;
                    return Some(Err(error));
                }
                Waited::Silence => Bytes::from_static(self.format.heartbeat().as_bytes()),
                Waited::Closing => {
                    self.over = true;
                    self.cut_short = true;
                    self.format.notice(&self.names, &Notice::Closing, self.subscription.position())
                }
            };
            if !bytes.is_empty() {
                self.spoke = Instant::now();
                return Some(Ok(bytes));
            }
        }
        None
    }

    /// What comes before all events, the first time.
    fn begin(&mut self) -> Bytes {
        let Some(notice) = self.opening.take() else { return Bytes::new() };
        let mut opening = BytesMut::from(self.format.preamble().unwrap_or_default());
        if let Some(notice) = notice {
            opening.extend_from_slice(&self.format.notice(&self.names, &notice, 0));
        }
        opening.freeze()
    }

    async fn wait(&mut self) -> Waited {
        let silence = self.heartbeat.map(|time| self.spoke + time);
        if silence.is_some_and(|silence| silence <= Instant::now()) {
            return Waited::Silence;
        }
        let silent = async {
            match silence {
                Some(silence) => tokio::time::sleep_until(silence).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            delivery = self.subscription.next() => Waited::Delivery(delivery),
            () = self.end.cancelled() => Waited::Closing,
            () = silent => Waited::Silence,
        }
    }

    /// The bytes of a delivery and of all that is there already, up to a size. A
    /// single piece is shared, not copied.
    fn gather(&mut self, first: Delivery) -> Bytes {
        let first = self.bytes(first);
        let mut gathered = BytesMut::new();
        while gathered.len().max(first.len()) < GATHER_BYTES
            && let Some(delivery) = self.subscription.next_ready()
        {
            let piece = self.bytes(delivery);
            if gathered.is_empty() {
                gathered.reserve(GATHER_BYTES + piece.len());
                gathered.extend_from_slice(&first);
            }
            gathered.extend_from_slice(&piece);
        }
        if gathered.is_empty() { first } else { gathered.freeze() }
    }

    fn bytes(&mut self, delivery: Delivery) -> Bytes {
        match delivery {
            Delivery::Events(segment, from) => self.events(&segment, from),
            Delivery::Gap { from, to } => self.format.notice(&self.names, &Notice::Gap { from, to }, to),
            Delivery::Removed { from } => {
                let notice = Notice::Removed { from };
                self.format.notice(&self.names, &notice, self.subscription.position())
            }
            Delivery::End => {
                self.over = true;
                Bytes::new()
            }
        }
    }

    fn events(&self, segment: &Segment, from: usize) -> Bytes {
        let encoded = self.format.segment(&self.names, segment);
        let start = |nth: usize| if nth == 0 { 0 } else { encoded.ends[nth - 1] as usize };
        if self.filter.is_empty() {
            return encoded.bytes.slice(start(from)..);
        }
        let mut passed = BytesMut::new();
        for (nth, event) in segment.events().iter().enumerate().skip(from) {
            if self.filter.passes(event) {
                passed.extend_from_slice(&encoded.bytes[start(nth)..encoded.ends[nth] as usize]);
            }
        }
        passed.freeze()
    }
}

/// What a reader waited for.
enum Waited {
    Delivery(Result<Delivery, StorageError>),
    Silence,
    Closing,
}
