//! History, read from storage in pages that all subscribers share.
//!
//! When a run outpaces its subscribers, they fall out of its window at different
//! places and then all read the same stretch of history. Pages begin at fixed
//! numbers, so they find each other's: a page is read once and encoded once,
//! however many read it, and while one reader fetches it the others wait.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::window::{Segment, segments};
use crate::storage::{Result, Storage};

/// Events in a page: enough to make the query's cost small, few enough to be a
/// small piece of memory.
const PAGE_EVENTS: u64 = 512;
/// Bytes of events that all pages together keep; their encoded forms come on top.
const CACHE_BYTES: u64 = 32 << 20;
/// Pages that the cache expects, to size its tables.
const EXPECTED_PAGES: usize = 1024;

/// Bytes of events from which on a page is kept that is not full, because its events are large: without it, each
/// reader of the same stretch would have megabytes of its own.
const LARGE_PAGE_BYTES: usize = 64 << 10;

/// Which run, and the event that the page follows.
type Key = (i64, u64);

/// A page that others will ask for. Events are never changed, so it is true until they are removed.
type Page = Arc<[Arc<Segment>]>;

/// Pages that were read lately.
pub(super) struct Pages {
    storage: Arc<dyn Storage>,
    cache: Cache<Key, Page, Weight>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Page> for Weight {
    fn weight(&self, _: &Key, page: &Page) -> u64 {
        page.iter().map(|segment| segment.cost() as u64).sum()
    }
}

/// Why a page was not kept.
enum NotKept {
    Failed(crate::storage::StorageError),
    /// A page that is small and not full yet, as far as it goes.
    Unfinished(Vec<Arc<Segment>>),
}

impl Pages {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, cache: Cache::with_weighter(EXPECTED_PAGES, CACHE_BYTES, Weight) }
    }

    /// Events of a run that follow `after`, some of them; empty if there are none.
    /// The first segment may begin before.
    pub(super) async fn read(&self, run: i64, after: u64) -> Result<Vec<Arc<Segment>>> {
        let begin = after - after % PAGE_EVENTS;
        let rest = self.page(run, begin, after).await?;
        if !rest.is_empty() || begin == after {
            return Ok(rest);
        }
        // A page of large events ends before its last number, and what follows a gap may lie pages ahead. The next one
        // begins where that one ended, for every reader who comes from there.
        self.page(run, after, after).await
    }

    /// What follows `after` in the page that begins after `before`.
    async fn page(&self, run: i64, before: u64, after: u64) -> Result<Vec<Arc<Segment>>> {
        let page = self.cache.get_or_insert_async(&(run, before), self.fetch(run, before)).await;
        let follows = |segment: &Arc<Segment>| segment.last_seq() > after;
        match page {
            Ok(page) => Ok(page.iter().filter(|segment| follows(segment)).cloned().collect()),
            Err(NotKept::Unfinished(page)) => Ok(page.into_iter().filter(follows).collect()),
            Err(NotKept::Failed(error)) => Err(error),
        }
    }

    /// Keeps nothing of these runs. A page that is being read just now may stay: who
    /// gets it reads what was there when he asked.
    pub(super) fn forget(&self, runs: &[i64]) {
        self.cache.retain(|(run, _), _| !runs.contains(run));
    }

    async fn fetch(&self, run: i64, before: u64) -> Result<Page, NotKept> {
        // A reader may wait for any number there is.
        let last = before.saturating_add(PAGE_EVENTS);
        let events = self.storage.events(run, before, PAGE_EVENTS as u32).await.map_err(NotKept::Failed)?;
        let full = events.len() as u64 == PAGE_EVENTS && events.last().is_some_and(|event| event.seq == last);
        let large = events.iter().map(|event| event.what.cost()).sum::<usize>() >= LARGE_PAGE_BYTES;
        let page = segments(events);
        if full || large { Ok(page.collect()) } else { Err(NotKept::Unfinished(page.collect())) }
    }
}
