//! `GET /api/runs/{run}/progress`: the progress of a run, as a tree.
//!
//! A log can have millions of events, and clients poll. So the state of the reading is cached, and the next request
//! continues from there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::Serialize;
use tokio::sync::Mutex;

use super::body::Response;
use super::problem::Problem;
use super::{Api, json, runs};
use crate::model::{
    Progress, ProgressItem, ProgressLog, ProgressStatus, ProgressTree, Run, RunStatus, Timestamp,
};
use crate::storage::StorageError;

/// Size of the cache. A run with a few items takes a kilobyte, a hostile one 3 MB.
const CACHE_BYTES: u64 = 16 << 20;
/// Number of runs that the cache expects, to size its tables.
const EXPECTED_RUNS: usize = 1_000;
/// Numbers of a log that one read covers. Takes 10 ms, or 25 ms with events of 2 kB, so that other readers of the
/// database wait no longer.
const SPAN: u64 = 10_000;
/// Time after which a request stops reading. The next one continues.
const READ_TIME: Duration = Duration::from_secs(2);
/// Most levels of the tree in a response; deeper items are put on the last one. Each takes two levels of JSON, of which
/// many parsers accept no more than 127.
const MAX_LEVELS: usize = 40;

/// A cache of the progress of runs, by run number.
pub struct ProgressCache(Cache<i64, CacheEntry, EntryWeighter>);

impl Default for ProgressCache {
    fn default() -> Self {
        Self(Cache::with_weighter(EXPECTED_RUNS, CACHE_BYTES, EntryWeighter))
    }
}

/// The cached progress of one run.
#[derive(Clone, Default)]
struct CacheEntry {
    reading: Arc<Mutex<LogReading>>,
    /// The size of the entry when it was inserted. The cache requires that it does not change.
    cost: u64,
}

#[derive(Clone)]
struct EntryWeighter;

impl Weighter<i64, CacheEntry> for EntryWeighter {
    fn weight(&self, _: &i64, entry: &CacheEntry) -> u64 {
        entry.cost.max(1)
    }
}

/// The state of reading a log.
#[derive(Default)]
struct LogReading {
    log: ProgressLog,
    /// The last number that was read.
    seq: u64,
    /// Whether the log of an ended run was read to its end.
    complete: bool,
    /// Whether the first events were removed before they were read.
    pruned: bool,
}

/// `GET /api/runs/{run}/progress`.
pub(super) async fn get(api: &Api, id: &str) -> Result<Response, Problem> {
    let run = runs::find(api, id).await?;
    let empty = || Ok::<_, Infallible>(CacheEntry::default());
    let Ok(CacheEntry { reading: shared, cost: before }) =
        api.progress.0.get_or_insert_with(&run.key.no, empty);
    // Of concurrent requests for the same run, the first one reads for all.
    let mut reading = shared.lock().await;
    let lag = reading.advance(api, &run).await?;
    let response = json::response(StatusCode::OK, &ProgressJson::of(&run, &reading, lag));
    let cost = reading.log.cost();
    drop(reading);
    if cost != before {
        api.progress.0.insert(run.key.no, CacheEntry { reading: shared, cost });
    }
    Ok(response)
}

impl LogReading {
    /// Read new events. Returns the number of events that are left.
    async fn advance(&mut self, api: &Api, run: &Run) -> Result<u64, StorageError> {
        let end = match run.last_seq {
            Some(last) => last,
            None => api.log.head(&run.key).await?,
        };
        let began = Instant::now();
        while self.seq < end && began.elapsed() < READ_TIME {
            let to = end.min(self.seq + SPAN);
            let found = api.storage.events_of_types(run.key.no, self.seq, to, ProgressLog::TYPES).await?;
            // No `await` may separate these two steps, because the request can be cancelled at each.
            found.0.iter().for_each(|event| self.log.take(event));
            self.seq = found.1;
        }
        if run.last_seq.is_some() && self.seq >= end && !self.complete {
            // Pruning removes events from the first one on, possibly while they were read.
            let first = api.storage.events(run.key.no, 0, 1).await?;
            self.complete = true;
            self.pruned = first.first().is_none_or(|event| event.seq > 1);
            if self.pruned {
                // A tree with missing parts would be wrong.
                self.log = ProgressLog::default();
            }
        }
        Ok(end.saturating_sub(self.seq))
    }
}

/// The progress of a run as JSON.
#[derive(Serialize)]
struct ProgressJson<'a> {
    run: &'a str,
    app: &'a str,
    task: &'a str,
    status: RunStatus,
    waits_for: Option<&'a str>,
    /// From 0 to 1; null if unknown.
    fraction: Option<f64>,
    /// Estimated running time until the end; null if unknown.
    remaining_ms: Option<u64>,
    done: Option<u64>,
    total: Option<u64>,
    message: Option<&'a str>,
    counts: Counts,
    items: Vec<Node<'a>>,
    /// The last event that was taken into account.
    seq: u64,
    /// The number of later events that are not taken into account yet.
    lag: u64,
    /// Whether events are missing that were removed.
    pruned: bool,
}

/// The number of items in each status.
#[derive(Default, Serialize)]
struct Counts {
    waiting: u32,
    running: u32,
    completed: u32,
    skipped: u32,
    failed: u32,
    cancelled: u32,
}

#[derive(Serialize)]
struct Node<'a> {
    id: &'a str,
    parent: Option<&'a str>,
    status: &'static str,
    weight: f64,
    fraction: Option<f64>,
    done: Option<u64>,
    total: Option<u64>,
    message: Option<&'a str>,
    children: Vec<Node<'a>>,
}

impl<'a> ProgressJson<'a> {
    fn of(run: &'a Run, reading: &'a LogReading, lag: u64) -> Self {
        let progress = reading.log.progress();
        let tree = progress.tree();
        let whole = progress.whole().map(|index| &progress.items()[index]);
        let roots: Vec<usize> =
            tree.roots.iter().copied().filter(|root| Some(*root) != progress.whole()).collect();
        // The message of a single root describes the run.
        let main_item = whole.or(match roots[..] {
            [only] => Some(&progress.items()[only]),
            _ => None,
        });
        let is_done = run.status == RunStatus::Completed;
        Self {
            run: run.key.id.as_str(),
            app: run.task.app.as_str(),
            task: run.task.task.as_str(),
            status: run.status,
            waits_for: run.waits_for.as_deref(),
            fraction: if is_done { Some(1.0) } else { tree.fraction },
            remaining_ms: if run.status.is_terminal() {
                None
            } else {
                reading.log.remaining_ms(tree.fraction, Timestamp::now())
            },
            done: whole.and_then(|item| item.done),
            total: whole.and_then(|item| item.total),
            message: main_item.and_then(message),
            counts: Counts::of(progress),
            items: nodes(progress, &tree, &roots, 1),
            seq: reading.seq,
            lag,
            pruned: reading.pruned,
        }
    }
}

impl Counts {
    fn of(progress: &Progress) -> Self {
        let mut counts = Self::default();
        for item in progress.items().iter().filter(|item| !item.id.is_empty()) {
            *match item.status {
                ProgressStatus::Waiting => &mut counts.waiting,
                ProgressStatus::Running => &mut counts.running,
                ProgressStatus::Completed => &mut counts.completed,
                ProgressStatus::Skipped => &mut counts.skipped,
                ProgressStatus::Failed => &mut counts.failed,
                ProgressStatus::Cancelled => &mut counts.cancelled,
            } += 1;
        }
        counts
    }
}

fn message(item: &ProgressItem) -> Option<&str> {
    Some(item.message.as_str()).filter(|message| !message.is_empty())
}

fn nodes<'a>(progress: &'a Progress, tree: &ProgressTree, indices: &[usize], level: usize) -> Vec<Node<'a>> {
    let node = |index: &usize| {
        let item = &progress.items()[*index];
        let children = match level {
            MAX_LEVELS.. => Vec::new(),
            _ if level == MAX_LEVELS - 1 => nodes(progress, tree, &descendants(tree, *index), level + 1),
            _ => nodes(progress, tree, &tree.parts[*index], level + 1),
        };
        Node {
            id: &item.id,
            parent: item.parent.as_deref(),
            status: item.status.as_str(),
            weight: item.weight.unwrap_or(1.0),
            fraction: tree.fractions[*index],
            done: item.done,
            total: item.total,
            message: message(item),
            children,
        }
    };
    indices.iter().map(node).collect()
}

/// All descendants of an item.
fn descendants(tree: &ProgressTree, index: usize) -> Vec<usize> {
    let mut found = tree.parts[index].clone();
    let mut at = 0;
    while let Some(&next) = found.get(at) {
        found.extend_from_slice(&tree.parts[next]);
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Json;

    #[test]
    fn a_tree_of_any_depth_has_a_depth_that_every_parser_accepts() {
        const ITEMS: usize = 500;
        let mut progress = Progress::default();
        progress.update(&json!({"id":"0"}));
        for nth in 1..ITEMS {
            progress.update(&json!({"id":nth.to_string(),"parent":(nth - 1).to_string()}));
        }
        let tree = progress.tree();
        let nodes = nodes(&progress, &tree, &tree.roots, 1);
        let text = Json::of(&json!({ "items": &nodes })).into_string();
        let mut level: Value = Json::parse(text).unwrap().to_value()["items"].clone();
        for nth in 0..MAX_LEVELS - 1 {
            assert_eq!(level[0]["id"], nth.to_string());
            level = level[0]["children"].clone();
        }
        assert_eq!(level.as_array().unwrap().len(), ITEMS - (MAX_LEVELS - 1));
        assert_eq!(level[5]["parent"], (MAX_LEVELS + 3).to_string());
    }
}
