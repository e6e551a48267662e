//! Pages of events read from storage, shared by all subscribers.
//!
//! When a run outpaces its subscribers, they fall out of its window at different positions and then all read the same
//! history. Pages begin at fixed numbers, so subscribers share them: each page is read once and encoded once, and while one
//! subscriber reads it, the others wait.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::window::{Segment, segments};
use crate::storage::{Result, Storage};

/// Events in a page: enough to amortize the query, few enough to need little memory.
const PAGE_EVENTS: u64 = 512;
/// Most bytes of events in all cached pages together, without their encoded forms.
const CACHE_BYTES: u64 = 32 << 20;
/// Expected number of cached pages, for sizing the cache's tables.
const EXPECTED_PAGES: usize = 1024;

/// Bytes of events from which a page is cached although it has fewer than [`PAGE_EVENTS`]. Without this, each subscriber
/// would hold megabytes of large events of its own.
const LARGE_PAGE_BYTES: usize = 64 << 10;

/// The run, and the number of the event before the page.
type Key = (i64, u64);

/// A cached page. Events are immutable, so it is valid until they are removed.
type Page = Arc<[Arc<Segment>]>;

/// Cache of recently read pages.
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

/// Why a page was not cached.
enum NotCached {
    Failed(crate::storage::StorageError),
    /// The page is not full yet, and small.
    Unfinished(Vec<Arc<Segment>>),
}

impl Pages {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, cache: Cache::with_weighter(EXPECTED_PAGES, CACHE_BYTES, Weight) }
    }

    /// The next events of a run after `after`; empty if there are none. The first segment may begin before.
    pub(super) async fn read(&self, run: i64, after: u64) -> Result<Vec<Arc<Segment>>> {
        let begin = after - after % PAGE_EVENTS;
        let rest = self.page(run, begin, after).await?;
        if !rest.is_empty() || begin == after {
            return Ok(rest);
        }
        // A page of large events ends early, and the events after a gap may be several pages ahead. The next page begins
        // where this one ended, for all subscribers at this position.
        self.page(run, after, after).await
    }

    /// Segments after `after` in the page that begins after `before`.
    async fn page(&self, run: i64, before: u64, after: u64) -> Result<Vec<Arc<Segment>>> {
        let page = self.cache.get_or_insert_async(&(run, before), self.fetch(run, before)).await;
        let follows = |segment: &Arc<Segment>| segment.last_seq() > after;
        match page {
            Ok(page) => Ok(page.iter().filter(|segment| follows(segment)).cloned().collect()),
            Err(NotCached::Unfinished(page)) => Ok(page.into_iter().filter(follows).collect()),
            Err(NotCached::Failed(error)) => Err(error),
        }
    }

    /// Drops the pages of these runs. A page that is being read now may stay: its subscribers get the events that existed when
    /// they asked.
    pub(super) fn forget(&self, runs: &[i64]) {
        self.cache.retain(|(run, _), _| !runs.contains(run));
    }

    async fn fetch(&self, run: i64, before: u64) -> Result<Page, NotCached> {
        // Saturating, because a subscriber may wait for any number.
        let last = before.saturating_add(PAGE_EVENTS);
        let events = self.storage.events(run, before, PAGE_EVENTS as u32).await.map_err(NotCached::Failed)?;
        let full = events.len() as u64 == PAGE_EVENTS && events.last().is_some_and(|event| event.seq == last);
        let large = events.iter().map(|event| event.what.cost()).sum::<usize>() >= LARGE_PAGE_BYTES;
        let page = segments(events);
        if full || large { Ok(page.collect()) } else { Err(NotCached::Unfinished(page.collect())) }
    }
}
