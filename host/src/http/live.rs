//! `GET /api/runs` as a stream: the list as it is, then each change of a run that is in it.
//!
//! For dashboards. It has no positions: who comes back gets the list as it is then, and that is all that counts. The
//! list is read again when something moves, so what it costs does not grow with what the runs say.

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
use super::format::{HEARTBEAT, SSE, lines, preamble};
use super::json::RunJson;
use super::problem::Problem;
use super::request::Query;
use super::stream::{heartbeat, silence};
use super::stream_ends::StreamEnd;
use crate::model::{Run, RunId, RunStatus, Timestamp};
use crate::notifier::{Listener, Topic};
use crate::storage::{RunFilter, StorageError};

/// Bytes of the list that are put together; what follows waits in storage until these are sent.
const PIECE_BYTES: usize = 64 << 10;
/// The list is not read more often, however much moves: people can't read faster.
const PACE: Duration = Duration::from_millis(200);
/// How often it is read when nothing seems to move, in case a hint was lost.
const POLL: Duration = Duration::from_secs(5);

/// Answers with the list of `filter`, live.
pub(super) async fn open(
    api: &Arc<Api>,
    headers: &HeaderMap,
    query: &Query,
    media: &'static str,
    filter: RunFilter,
) -> Result<Response, Problem> {
    let heartbeat = heartbeat(&api.config(), query, media)?;
    let listener = api.notifier.listen(Topic::Runs);
    let mut list = List {
        api: Arc::clone(api),
        filter,
        known: HashMap::new(),
        pending: VecDeque::new(),
        out: Out { bytes: BytesMut::new(), is_sse: media == SSE },
        listener,
        heartbeat,
        spoke: Instant::now(),
        looked: Instant::now(),
        end: api.stream_ends.of_one(),
        over: false,
    };
    // Before the answer: a list that can't be read is an error of the request.
    list.begin().await?;
    let stream = futures_util::stream::unfold(list, |mut list| async {
        let next = list.next().await;
        next.map(|bytes| (bytes, list))
    });
    Ok(coding::streamed(api, headers, media, stream))
}

/// What a change of a run changes.
#[derive(PartialEq)]
struct Mark {
    id: RunId,
    status: RunStatus,
    attempt: u32,
    times: [Option<Timestamp>; 4],
    waits_for: Option<String>,
}

impl Mark {
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

/// Something to be told.
enum Change {
    State(Box<Run>),
    Removed(RunId),
    /// So many runs were in the list at the beginning, and all have been told.
    Complete(usize),
}

struct List {
    api: Arc<Api>,
    filter: RunFilter,
    /// Runs that the client has in its list, by number.
    known: HashMap<i64, Mark>,
    /// What the client has still to be told, in this order. No run in it has its input or its result.
    pending: VecDeque<Change>,
    out: Out,
    listener: Listener,
    heartbeat: Option<Duration>,
    spoke: Instant,
    /// When the list was read last.
    looked: Instant,
    end: StreamEnd,
    over: bool,
}

impl List {
    async fn begin(&mut self) -> Result<(), Problem> {
        let runs = self.read().await?;
        if self.out.is_sse {
            self.out.bytes.extend_from_slice(&preamble());
        }
        self.known.extend(runs.iter().map(|run| (run.key.no, Mark::of(run))));
        let count = runs.len();
        self.pending.extend(runs.into_iter().map(|run| Change::State(Box::new(run))));
        self.pending.push_back(Change::Complete(count));
        Ok(())
    }

    /// The list without what can be large, of which most is known to the client already.
    async fn read(&self) -> Result<Vec<Run>, StorageError> {
        self.api.storage.runs(RunFilter { brief: true, ..self.filter.clone() }).await
    }

    /// The next bytes; none when the host stops.
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        loop {
            while self.out.bytes.len() < PIECE_BYTES
                && let Some(change) = self.pending.pop_front()
            {
                if let Err(error) = self.put(change).await {
                    self.over = true;
                    return Some(Err(error));
                }
            }
            if !self.out.bytes.is_empty() {
                self.spoke = Instant::now();
                return Some(Ok(self.out.bytes.split().freeze()));
            }
            if self.over {
                return None;
            }
            if let Err(error) = self.wait().await {
                self.over = true;
                return Some(Err(error));
            }
        }
    }

    async fn put(&mut self, change: Change) -> Result<(), Broken> {
        match change {
            Change::State(run) if self.filter.brief => self.out.put("run.state", &RunJson::brief(&run)),
            Change::State(run) => {
                // One that was removed meanwhile is told to be so at the next look.
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
        let moved = async {
            // What moves meanwhile is seen together, and what moves elsewhere costs no more than this.
            tokio::time::sleep_until(self.looked + PACE).await;
            let _ = tokio::time::timeout(POLL, self.listener.heard()).await;
        };
        tokio::select! {
            biased;
            () = &mut self.end => {
                self.over = true;
                self.out.put("run.stream-closing", &json!({ "reason": "the host is stopping" }));
                Ok(())
            }
            () = silence(self.heartbeat, self.spoke) => {
                let sign = if self.out.is_sse { HEARTBEAT } else { "\n" };
                self.out.bytes.extend_from_slice(sign.as_bytes());
                Ok(())
            }
            () = moved => self.look().await,
        }
    }

    /// Reads the list again and tells what is different.
    async fn look(&mut self) -> Result<(), Broken> {
        let runs = self.read().await?;
        self.looked = Instant::now();
        let oldest = runs.last().filter(|_| runs.len() == self.filter.limit as usize).map(|run| run.key.no);
        let mut gone = std::mem::take(&mut self.known);
        for run in runs.into_iter().rev() {
            let mark = Mark::of(&run);
            let is_told = gone.remove(&run.key.no).as_ref() == Some(&mark);
            self.known.insert(run.key.no, mark);
            if !is_told {
                self.pending.push_back(Change::State(Box::new(run)));
            }
        }
        for (no, mark) in gone {
            // Those that newer ones have pushed out of the list are where they were.
            if oldest.is_none_or(|oldest| no >= oldest) {
                self.pending.push_back(Change::Removed(mark.id));
            }
        }
        Ok(())
    }
}

struct Out {
    bytes: BytesMut,
    is_sse: bool,
}

impl Out {
    fn put<T: Serialize + ?Sized>(&mut self, kind: &'static str, data: &T) {
        #[derive(Serialize)]
        struct Line<'a, T: ?Sized> {
            r#type: &'static str,
            data: &'a T,
        }
        if self.is_sse {
            self.bytes.extend_from_slice(b"event: ");
            self.bytes.extend_from_slice(kind.as_bytes());
            self.bytes.extend_from_slice(b"\ndata: ");
        }
        let line = Line { r#type: kind, data };
        self.bytes.extend_from_slice(&lines::line(&line));
        self.bytes.extend_from_slice(if self.is_sse { b"\n\n" } else { b"\n" });
    }
}
