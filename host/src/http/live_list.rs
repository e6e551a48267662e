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
use super::format::{Format, Layout, lines};
use super::json::RunJson;
use super::live_stream::{LiveStream, Source};
use super::problem::Problem;
use super::request::Query;
use super::stream;
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
    let layout = Layout { named: true, ..Layout::default() };
    let format = Format::of(media, layout).expect("offered formats are in the table");
    let heartbeat = stream::heartbeat(&api.config(), query, format.has_default_heartbeat())?;
    let mut list = LiveList {
        api: Arc::clone(api),
        filter,
        known: HashMap::new(),
        pending: VecDeque::new(),
        format,
        out: BytesMut::new(),
        // Before the list is read, so that no change is missed.
        listener: api.notifier.listen(Topic::Runs),
        last_read: Instant::now(),
    };
    // Before the response, so that a list that can't be read is an error of the request.
    list.begin().await?;
    let stream = LiveStream::new(list, heartbeat, api.stream_ends.of_one());
    Ok(coding::streamed(api, headers, media, stream.into_body()))
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

/// The content of one client's live list.
struct LiveList {
    api: Arc<Api>,
    filter: RunFilter,
    /// The runs in the client's list, by number.
    known: HashMap<i64, Fingerprint>,
    /// Messages to send. Their runs have neither input nor result.
    pending: VecDeque<Change>,
    format: Format,
    /// Bytes to send next.
    out: BytesMut,
    listener: Listener,
    last_read: Instant,
}

impl LiveList {
    async fn begin(&mut self) -> Result<(), Problem> {
        let runs = self.read().await?;
        self.out.extend_from_slice(&self.format.preamble());
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

    async fn put(&mut self, change: Change) -> Result<(), Broken> {
        match change {
            Change::State(run) if self.filter.brief => self.message("run.state", &RunJson::brief(&run)),
            Change::State(run) => {
                // If the run has been removed, the next read of the list reports that.
                if let Some(run) = self.api.storage.run(&run.key.id).await? {
                    self.message("run.state", &RunJson::from(&run));
                }
            }
            Change::Removed(id) => self.message("run.removed", &json!({ "id": id.as_str() })),
            Change::Complete(count) => self.message("run.list-complete", &json!({ "runs": count })),
        }
        Ok(())
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

    /// Add a message of the host.
    fn message<T: Serialize + ?Sized>(&mut self, event_type: &'static str, data: &T) {
        #[derive(Serialize)]
        struct Message<'a, T: ?Sized> {
            r#type: &'static str,
            data: &'a T,
        }
        let frame = self.format.frame(None, event_type);
        self.out.extend_from_slice(frame.head.as_bytes());
        self.out.extend_from_slice(&lines::line(&Message { r#type: event_type, data }));
        self.out.extend_from_slice(frame.end.as_bytes());
    }
}

/// Runs may have changed.
struct Changed;

impl Source for LiveList {
    type Item = Changed;

    async fn bytes(&mut self) -> Result<Option<Bytes>, Broken> {
        while self.out.len() < PIECE_BYTES
            && let Some(change) = self.pending.pop_front()
        {
            self.put(change).await?;
        }
        // Not split off, which would keep the memory of both parts.
        Ok((!self.out.is_empty()).then(|| std::mem::take(&mut self.out).freeze()))
    }

    async fn wait(&mut self) -> Result<Changed, Broken> {
        // One read covers all changes of this time, and changes of other runs cause no more reads than this.
        tokio::time::sleep_until(self.last_read + MIN_INTERVAL).await;
        // From the last read on, because heartbeats end this wait.
        let _ = tokio::time::timeout_at(self.last_read + POLL, self.listener.heard()).await;
        Ok(Changed)
    }

    async fn take(&mut self, Changed: Changed) -> Result<(), Broken> {
        self.refresh().await
    }

    fn add_heartbeat(&mut self) {
        self.out.extend_from_slice(self.format.heartbeat().as_bytes());
    }

    fn add_closing(&mut self) {
        self.message("run.stream-closing", &json!({ "reason": "the host is stopping" }));
    }
}
