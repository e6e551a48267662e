//! `GET /api/runs/{run}/progress`: how far a run is, as a tree.
//!
//! A log can have millions of events, and who asks asks again. So what was read of a run's
//! log is kept, and the next one who asks reads on from there.

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

/// Bytes of what is known of runs that are kept. A run with some items has a kilobyte; one
/// that does its worst 3 MB.
const CACHE_BYTES: u64 = 16 << 20;
/// Runs that the cache expects, to size its tables.
const EXPECTED_RUNS: usize = 1_000;
/// Numbers of a log that one read looks at. Measured at 10 ms, and 25 ms where events have
/// 2 kB, so that others who read wait no longer.
const SPAN: u64 = 10_000;
/// Time after which a request reads no further; the next one reads on.
const READ_TIME: Duration = Duration::from_secs(2);
/// Levels of the answer's tree; what is deeper stands at the last. Each is two of JSON's, of
/// which many parsers take no more than 127.
const MAX_LEVELS: usize = 40;

/// What is known of the runs that were asked for lately, by their numbers.
pub struct ProgressCache(Cache<i64, Known, Weight>);

impl Default for ProgressCache {
    fn default() -> Self {
        Self(Cache::with_weighter(EXPECTED_RUNS, CACHE_BYTES, Weight))
    }
}

/// What is known of one run.
#[derive(Clone, Default)]
struct Known {
    read: Arc<Mutex<Read>>,
    /// What it cost to keep when it was put into the cache, which relies on this to stay.
    cost: u64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<i64, Known> for Weight {
    fn weight(&self, _: &i64, known: &Known) -> u64 {
        known.cost.max(1)
    }
}

/// How far a log was read.
#[derive(Default)]
struct Read {
    log: ProgressLog,
    /// The last number that was looked at.
    seq: u64,
    /// Whether it was read to the end of a run that has ended.
    whole: bool,
    /// Whether its beginning was removed before it was read.
    pruned: bool,
}

/// `GET /api/runs/{run}/progress`.
pub(super) async fn get(api: &Api, id: &str) -> Result<Response, Problem> {
    let run = runs::find(api, id).await?;
    let fresh = || Ok::<_, Infallible>(Known::default());
    let Ok(Known { read: shared, cost: before }) = api.progress.0.get_or_insert_with(&run.key.no, fresh);
    // Of two who ask for the same run at once, one reads and the other finds it read.
    let mut read = shared.lock().await;
    let behind = read.read_on(api, &run).await?;
    let response = json::response(StatusCode::OK, &Answer::of(&run, &read, behind));
    let cost = read.log.cost();
    drop(read);
    if cost != before {
        api.progress.0.insert(run.key.no, Known { read: shared, cost });
    }
    Ok(response)
}

impl Read {
    /// Reads what has come. Returns how many events are still to be read.
    async fn read_on(&mut self, api: &Api, run: &Run) -> Result<u64, StorageError> {
        let end = match run.last_seq {
            Some(last) => last,
            None => api.log.head(&run.key).await?,
        };
        let began = Instant::now();
        while self.seq < end && began.elapsed() < READ_TIME {
            let to = end.min(self.seq + SPAN);
            let found = api.storage.events_of_types(run.key.no, self.seq, to, ProgressLog::TYPES).await?;
            // Nothing is awaited from here on: who asked may go away at any other place.
            found.0.iter().for_each(|event| self.log.take(event));
            self.seq = found.1;
        }
        if run.last_seq.is_some() && self.seq >= end && !self.whole {
            // Events are removed from the first one on, perhaps while they were read here.
            let first = api.storage.events(run.key.no, 0, 1).await?;
            self.whole = true;
            self.pruned = first.first().is_none_or(|event| event.seq > 1);
            if self.pruned {
                // Of a tree of which a part is missing, nothing is right.
                self.log = ProgressLog::default();
            }
        }
        Ok(end.saturating_sub(self.seq))
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    run: &'a str,
    app: &'a str,
    task: &'a str,
    status: RunStatus,
    waits_for: Option<&'a str>,
    /// From 0 to 1; null if nothing is known.
    fraction: Option<f64>,
    /// Time under way until all is done; null if it can't be said.
    remaining_ms: Option<u64>,
    done: Option<u64>,
    total: Option<u64>,
    message: Option<&'a str>,
    counts: Counts,
    items: Vec<Node<'a>>,
    /// The event up to which this is told.
    seq: u64,
    /// How many events follow that one.
    behind: u64,
    /// Whether the events were removed that would tell.
    pruned: bool,
}

/// How many items are in each status.
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

impl<'a> Answer<'a> {
    fn of(run: &'a Run, read: &'a Read, behind: u64) -> Self {
        let progress = read.log.progress();
        let tree = progress.tree();
        let whole = progress.whole().map(|place| &progress.items()[place]);
        let roots: Vec<usize> =
            tree.roots.iter().copied().filter(|root| Some(*root) != progress.whole()).collect();
        // A run with one root is about what that is about.
        let speaker = whole.or(match roots[..] {
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
                read.log.remaining_ms(tree.fraction, Timestamp::now())
            },
            done: whole.and_then(|item| item.done),
            total: whole.and_then(|item| item.total),
            message: speaker.and_then(message),
            counts: Counts::of(progress),
            items: nodes(progress, &tree, &roots, 1),
            seq: read.seq,
            behind,
            pruned: read.pruned,
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

fn nodes<'a>(progress: &'a Progress, tree: &ProgressTree, places: &[usize], level: usize) -> Vec<Node<'a>> {
    let node = |place: &usize| {
        let item = &progress.items()[*place];
        let children = match level {
            MAX_LEVELS.. => Vec::new(),
            _ if level == MAX_LEVELS - 1 => nodes(progress, tree, &below(tree, *place), level + 1),
            _ => nodes(progress, tree, &tree.parts[*place], level + 1),
        };
        Node {
            id: &item.id,
            parent: item.parent.as_deref(),
            status: item.status.as_str(),
            weight: item.weight.unwrap_or(1.0),
            fraction: tree.fractions[*place],
            done: item.done,
            total: item.total,
            message: message(item),
            children,
        }
    };
    places.iter().map(node).collect()
}

/// All that is below an item.
fn below(tree: &ProgressTree, place: usize) -> Vec<usize> {
    let mut below = tree.parts[place].clone();
    let mut at = 0;
    while let Some(&next) = below.get(at) {
        below.extend_from_slice(&tree.parts[next]);
        at += 1;
    }
    below
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Json;

    #[test]
    fn a_tree_of_any_depth_is_told_in_a_form_that_every_parser_reads() {
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
