//! `GET /api/runs` as a stream: the current list, then each change of a run in it.
//!
//! For dashboards. It has no positions: a client that reconnects gets the current list. The list is read again when runs
//! change, once for all clients with the same filter, so the cost does not grow with the number of events or of clients.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

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
use super::list_reads::{ListRead, Snapshot};
use super::live_stream::{LiveStream, Source};
use super::problem::Problem;
use super::request::Query;
use super::stream;
use crate::model::{Run, RunId, RunStatus, Timestamp};
use crate::storage::RunFilter;

/// Bytes of the list that are encoded at once. The rest stays in storage until these are sent.
const PIECE_BYTES: usize = 64 << 10;

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
    let asked = Instant::now();
    let mut list = LiveList {
        api: Arc::clone(api),
        brief: filter.brief,
        limit: filter.limit as usize,
        list: api.list_reads.of(api, filter),
        version: 0,
        known: HashMap::new(),
        pending: VecDeque::new(),
        format,
        out: BytesMut::new(),
    };
    // Before the response, so that a list that can't be read is an error of the request.
    list.begin(asked).await?;
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
    State(Arc<Run>),
    Removed(RunId),
    /// The end of the initial list, with its length.
    Complete(usize),
}

/// The content of one client's live list.
struct LiveList {
    api: Arc<Api>,
    /// Whether inputs and results are left out.
    brief: bool,
    /// Most runs in the list.
    limit: usize,
    list: Arc<ListRead>,
    /// The list that was compared last.
    version: u64,
    /// The runs in the client's list, by number.
    known: HashMap<i64, Fingerprint>,
    /// Messages to send. Their runs have neither input nor result.
    pending: VecDeque<Change>,
    format: Format,
    /// Bytes to send next.
    out: BytesMut,
}

impl LiveList {
    async fn begin(&mut self, asked: Instant) -> Result<(), Problem> {
        let Snapshot { version, runs, .. } = self.list.current(asked).await;
        let runs = runs?;
        self.version = version;
        self.out.extend_from_slice(&self.format.preamble());
        self.known.extend(runs.iter().map(|run| (run.key.no, Fingerprint::of(run))));
        self.pending.extend(runs.iter().map(|run| Change::State(Arc::clone(run))));
        self.pending.push_back(Change::Complete(runs.len()));
        Ok(())
    }

    async fn put(&mut self, change: Change) -> Result<(), Broken> {
        match change {
            Change::State(run) if self.brief => self.message("run.state", &RunJson::brief(&run)),
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

    /// Queue messages about the differences to a newer list.
    fn compare(&mut self, runs: &[Arc<Run>]) {
        let oldest = runs.last().filter(|_| runs.len() == self.limit).map(|run| run.key.no);
        let mut gone = std::mem::take(&mut self.known);
        for run in runs.iter().rev() {
            let fingerprint = Fingerprint::of(run);
            let is_known = gone.remove(&run.key.no).as_ref() == Some(&fingerprint);
            self.known.insert(run.key.no, fingerprint);
            if !is_known {
                self.pending.push_back(Change::State(Arc::clone(run)));
            }
        }
        for (no, fingerprint) in gone {
            // Older runs were not removed: newer ones have taken their places in the list.
            if oldest.is_none_or(|oldest| no >= oldest) {
                self.pending.push_back(Change::Removed(fingerprint.id));
            }
        }
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

impl Source for LiveList {
    type Item = Snapshot;

    async fn bytes(&mut self) -> Result<Option<Bytes>, Broken> {
        while self.out.len() < PIECE_BYTES
            && let Some(change) = self.pending.pop_front()
        {
            self.put(change).await?;
        }
        // Not split off, which would keep the memory of both parts.
        Ok((!self.out.is_empty()).then(|| std::mem::take(&mut self.out).freeze()))
    }

    async fn wait(&mut self) -> Result<Snapshot, Broken> {
        Ok(self.list.after(self.version).await)
    }

    async fn take(&mut self, newest: Snapshot) -> Result<(), Broken> {
        self.version = newest.version;
        self.compare(&newest.runs?);
        Ok(())
    }

    fn add_heartbeat(&mut self) {
        self.out.extend_from_slice(self.format.heartbeat().as_bytes());
    }

    fn add_closing(&mut self) {
        self.message("run.stream-closing", &json!({ "reason": "the host is stopping" }));
    }
}
