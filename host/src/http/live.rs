//! `GET /api/runs` as a stream: the current list, then each change of a run in it.
//!
//! For dashboards. It has no positions: a client that reconnects gets the current list. The list is read again when runs
//! change, so the cost does not grow with the number of events.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::header::HeaderMap;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::Api;
use super::body::{Broken, Response};
use super::coding;
use super::format::{FRAME_END, Format, Layout, SSE, frame_head, lines};
use super::json::RunJson;
use super::problem::Problem;
use super::request::Query;
use super::stream::{heartbeat, heartbeat_due};
use super::stream_ends::StreamEnd;
use crate::model::{Run, RunId, RunStatus, Timestamp};
use crate::notifier::{Listener, Topic};
use crate::storage::{RunFilter, StorageError};

/// Bytes of the list that are encoded at once. The rest stays in storage until these are sent.
const PIECE_BYTES: usize = 64 << 10;
/// Shortest interval between two reads of the list, however often runs change. People can't read faster.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// Longest interval between two reads of the list, in case a wake-up was lost.
const POLL: Duration = Duration::from_secs(5);

/// Open a live list of the runs that match `filter`.
pub(super) async fn open(
    api: &Arc<Api>,
    headers: &HeaderMap,
    query: &Query,
    media: &'static str,
    filter: RunFilter,
) -> Result<Response, Problem> {
    let format = Format::of(media, Layout::default()).expect("offered formats are in the table");
    let heartbeat = heartbeat(&api.config(), query, format.has_default_heartbeat())?;
    let listener = api.notifier.listen(Topic::Runs);
    let mut list = LiveList {
        api: Arc::clone(api),
        filter,
        known: HashMap::new(),
        pending: VecDeque::new(),
        format,
        out: MessageWriter { bytes: BytesMut::new(), is_sse: media == SSE },
        listener,
        heartbeat,
        last_sent: Instant::now(),
        last_read: Instant::now(),
        end: api.stream_ends.of_one(),
        ended: false,
    };
    // Before the response, so that a list that can't be read is an error of the request.
    list.begin().await?;
    let stream = futures_util::stream::unfold(list, |mut list| async {
        let next = list.next().await;
        next.map(|bytes| (bytes, list))
    });
    Ok(coding::streamed(api, headers, media, stream))
}

/// The parts of a run that differ after each change of it.
#[derive(PartialEq)]
struct Fingerprint {
    id: RunId,
    status: RunStatus,
    attempt: u32,
    times: [Option<Timestamp>; 4],
    waits_for: Option<String>,
}

impl Fingerprint {
    fn of(run: &Run) -> Self {
        Self {
            id: run.key.id.clone(),
            status: run.status,
            attempt: run.attempt,
            times: [run.started_at, run.finished_at, run.cancel_requested_at, run.not_before],
            waits_for: run.waits_for.clone(),
        }
    }
}

/// A message of the stream.
enum Change {
    State(Box<Run>),
    Removed(RunId),
    /// The end of the initial list, with its length.
    Complete(usize),
}

/// The live list of one client.
struct LiveList {
    api: Arc<Api>,
    filter: RunFilter,
    /// The runs in the client's list, by number.
    known: HashMap<i64, Fingerprint>,
    /// Messages to send. Their runs have neither input nor result.
    pending: VecDeque<Change>,
    format: Format,
    out: MessageWriter,
    listener: Listener,
    heartbeat: Option<Duration>,
    last_sent: Instant,
    last_read: Instant,
    end: StreamEnd,
    ended: bool,
}

impl LiveList {
    async fn begin(&mut self) -> Result<(), Problem> {
        let runs = self.read().await?;
        self.out.bytes.extend_from_slice(&self.format.preamble());
        self.known.extend(runs.iter().map(|run| (run.key.no, Fingerprint::of(run))));
        let count = runs.len();
        self.pending.extend(runs.into_iter().map(|run| Change::State(Box::new(run))));
        self.pending.push_back(Change::Complete(count));
        Ok(())
    }

    /// Read the list without inputs and results, which can be large and which the client mostly has.
    async fn read(&self) -> Result<Vec<Run>, StorageError> {
        self.api.storage.runs(RunFilter { brief: true, ..self.filter.clone() }).await
    }

    /// Return the next bytes, or `None` when the host stops.
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        loop {
            while self.out.bytes.len() < PIECE_BYTES
                && let Some(change) = self.pending.pop_front()
            {
                if let Err(error) = self.put(change).await {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
            if !self.out.bytes.is_empty() {
                self.last_sent = Instant::now();
                return Some(Ok(self.out.bytes.split().freeze()));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.wait().await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    async fn put(&mut self, change: Change) -> Result<(), Broken> {
        match change {
            Change::State(run) if self.filter.brief => self.out.put("run.state", &RunJson::brief(&run)),
            Change::State(run) => {
                // If the run has been removed, the next read of the list reports that.
                if let Some(run) = self.api.storage.run(&run.key.id).await? {
                    self.out.put("run.state", &RunJson::from(&run));
                }
            }
            Change::Removed(id) => self.out.put("run.removed", &json!({ "id": id.as_str() })),
            Change::Complete(count) => self.out.put("run.list-complete", &json!({ "runs": count })),
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), Broken> {
        let changed = async {
            // One read covers all changes of this time, and changes of other runs cause no more reads than this.
            tokio::time::sleep_until(self.last_read + MIN_INTERVAL).await;
            let _ = tokio::time::timeout(POLL, self.listener.heard()).await;
        };
        tokio::select! {
            biased;
            () = &mut self.end => {
                self.ended = true;
                self.out.put("run.stream-closing", &json!({ "reason": "the host is stopping" }));
                Ok(())
            }
            () = heartbeat_due(self.heartbeat, self.last_sent) => {
                self.out.bytes.extend_from_slice(self.format.heartbeat().as_bytes());
                Ok(())
            }
            () = changed => self.refresh().await,
        }
    }

    /// Read the list again and queue messages about the differences.
    async fn refresh(&mut self) -> Result<(), Broken> {
        let runs = self.read().await?;
        self.last_read = Instant::now();
        let oldest = runs.last().filter(|_| runs.len() == self.filter.limit as usize).map(|run| run.key.no);
        let mut gone = std::mem::take(&mut self.known);
        for run in runs.into_iter().rev() {
            let fingerprint = Fingerprint::of(&run);
            let is_known = gone.remove(&run.key.no).as_ref() == Some(&fingerprint);
            self.known.insert(run.key.no, fingerprint);
            if !is_known {
                self.pending.push_back(Change::State(Box::new(run)));
            }
        }
        for (no, fingerprint) in gone {
            // Older runs were not removed: newer ones have taken their places in the list.
            if oldest.is_none_or(|oldest| no >= oldest) {
                self.pending.push_back(Change::Removed(fingerprint.id));
            }
        }
        Ok(())
    }
}

/// Writes messages of the host.
struct MessageWriter {
    bytes: BytesMut,
    is_sse: bool,
}

impl MessageWriter {
    fn put<T: Serialize + ?Sized>(&mut self, event_type: &'static str, data: &T) {
        #[derive(Serialize)]
        struct Message<'a, T: ?Sized> {
            r#type: &'static str,
            data: &'a T,
        }
        if self.is_sse {
            self.bytes.extend_from_slice(frame_head(None, Some(event_type)).as_bytes());
        }
        self.bytes.extend_from_slice(&lines::line(&Message { r#type: event_type, data }));
        self.bytes.extend_from_slice(if self.is_sse { FRAME_END } else { "\n" }.as_bytes());
    }
}
