//! Pages of events read from storage, shared by all subscribers.
//!
//! When a run outpaces its subscribers, they fall out of its window at different positions and then all read the same
//! history. Pages begin at fixed numbers, so subscribers share them: each page is read once and encoded once, and while one
//! subscriber reads it, the others wait. A page that is not full yet goes to those who wait for it, and is not kept.
//!
//! While a subscriber encodes and sends a page, the next one is read into the cache, so a single subscriber of a long log
//! keeps both its own thread and storage busy. It holds nothing of that page: if it stalls, the cache may drop the page.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio_util::task::AbortOnDropHandle;

use super::window::{Segment, segments};
use crate::storage::{Log, Result};

/// Events in a page: enough to amortize the query, few enough to need little memory.
const PAGE_EVENTS: u64 = 512;
/// Most bytes of events in all cached pages together, without their encoded forms.
const CACHE_BYTES: u64 = 32 << 20;
/// Parts of the cache, each with its own lock and its share of [`CACHE_BYTES`]. The library's own number grows with the
/// machine's cores, until the largest page, about 2 MiB, fits into no part and is never cached.
const CACHE_PARTS: usize = 4;
/// Share of the cache for pages that several subscribers read. The library's own leaves 3 % for all others, where a page
/// that was read ahead is dropped before its subscriber comes for it.
const POPULAR_SHARE: f64 = 0.5;
/// Expected number of cached pages, for sizing the cache's tables.
const EXPECTED_PAGES: usize = 1024;

/// Bytes of events from which a page is cached although it has fewer than [`PAGE_EVENTS`]. Without this, each subscriber
/// would hold megabytes of large events of its own.
const LARGE_PAGE_BYTES: usize = 64 << 10;

/// Most pages that are read ahead at once. With more subscribers than that, the reads of some overlap with the encoding of
/// others anyway, and pages read ahead for all would drop each other from the cache.
const READS_AHEAD: usize = 4;

/// The run, and the number of the event before the page.
type Key = (i64, u64);

/// A page. Its events are immutable, so it is valid until they are removed.
#[derive(Clone)]
struct Page {
    segments: Arc<[Arc<Segment>]>,
    /// Whether it stays in the cache. Otherwise it is small and may grow, and is only for those who wait for it.
    is_kept: bool,
    /// When its read began, by [`Cached::clock`].
    begun: u64,
}

/// Cache of recently read pages.
pub(super) struct Pages {
    cached: Arc<Cached>,
    /// Pages that are being read ahead.
    ahead: Mutex<Vec<(Key, AbortOnDropHandle<()>)>>,
}

struct Cached {
    storage: Arc<dyn Log>,
    cache: Cache<Key, Page, Weight>,
    /// Counts the reads that have begun.
    clock: AtomicU64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Page> for Weight {
    fn weight(&self, _: &Key, page: &Page) -> u64 {
        let cost = |segment: &Arc<Segment>| segment.cost() as u64;
        // The cache never drops what weighs nothing.
        page.segments.iter().map(cost).sum::<u64>().max(1)
    }
}

/// The reader of a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Subscriber,
    /// Nobody yet: a subscriber will soon need the page.
    Ahead,
}

/// The part of a page after a position.
struct Rest {
    segments: Vec<Arc<Segment>>,
    /// The number before the next page; none if the log had no further events when the page was read.
    next: Option<u64>,
}

/// The number of the event before the page that has the event after `after`.
pub(super) fn begin(after: u64) -> u64 {
    after - after % PAGE_EVENTS
}

impl Pages {
    pub(super) fn new(storage: Arc<dyn Log>) -> Self {
        let options = OptionsBuilder::new()
            .shards(CACHE_PARTS)
            .hot_allocation(POPULAR_SHARE)
            .estimated_items_capacity(EXPECTED_PAGES)
            .weight_capacity(CACHE_BYTES)
            .build()
            .expect("both capacities are set");
        let (hashes, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let cache = Cache::with_options(options, Weight, hashes, lifecycle);
        let cached = Cached { storage, cache, clock: AtomicU64::new(0) };
        Self { cached: Arc::new(cached), ahead: Mutex::default() }
    }

    /// The next events of a run after `after`; empty if there are none. The first segment may begin before.
    ///
    /// `page` is where the caller's last page began, 0 at first. Pages whose last event has a number above `ahead_to` are not
    /// read ahead.
    pub(super) async fn read(
        &self,
        run: i64,
        after: u64,
        page: &mut u64,
        ahead_to: u64,
    ) -> Result<Vec<Arc<Segment>>> {
        let begin = begin(after);
        // A page of large events ends early, and the events after a gap may be several pages ahead. The next page begins
        // where this one ended, for all subscribers that come from it.
        let known = if (begin..=after).contains(page) { *page } else { begin };
        let mut rest = self.cached.rest(run, known, after).await?;
        *page = known;
        if rest.segments.is_empty() && rest.next.is_some() && known != after {
            rest = self.cached.rest(run, after, after).await?;
            *page = after;
        }
        if let Some(next) = rest.next.filter(|next| next.saturating_add(PAGE_EVENTS) <= ahead_to) {
            self.read_ahead((run, next));
        }
        Ok(rest.segments)
    }

    /// Reads a page into the cache if it is not there. The caller does not wait, and its end ends nothing.
    fn read_ahead(&self, key: Key) {
        if self.cached.cache.contains_key(&key) {
            return;
        }
        let mut ahead = self.ahead.lock();
        ahead.retain(|(_, read)| !read.is_finished());
        if ahead.len() < READS_AHEAD && !ahead.iter().any(|(other, _)| *other == key) {
            let cached = Arc::clone(&self.cached);
            // An error is left to the subscriber, which reads the page again.
            let read = async move { drop(cached.get(key, Reader::Ahead).await) };
            ahead.push((key, AbortOnDropHandle::new(tokio::spawn(read))));
        }
    }

    /// Drops the pages of these runs. A page that is being read now may stay: its subscribers get the events that existed when
    /// they asked.
    pub(super) fn forget(&self, runs: &[i64]) {
        self.cached.cache.retain(|(run, _), _| !runs.contains(run));
    }

    /// Drops all pages, also those that are being read now.
    pub(super) fn clear(&self) {
        self.cached.cache.clear();
    }
}

impl Cached {
    /// The part after `after` of the page that begins after `before`.
    async fn rest(&self, run: i64, before: u64, after: u64) -> Result<Rest> {
        let asked = self.clock.load(Ordering::SeqCst);
        loop {
            let page = self.get((run, before), Reader::Subscriber).await?;
            let follows = |segment: &&Arc<Segment>| segment.last_seq() > after;
            let segments: Vec<_> = page.segments.iter().filter(follows).cloned().collect();
            // A page without news may have been read before there were any, and the caller is not told of those again.
            if segments.is_empty() && !page.is_kept && page.begun <= asked {
                self.drop_unfinished((run, before));
                continue;
            }
            let goes_on = |last: &&Arc<Segment>| page.is_kept && !last.is_end();
            let next = page.segments.last().filter(goes_on).map(|last| last.last_seq());
            return Ok(Rest { segments, next });
        }
    }

    /// Reads a page, or waits for a read of it that is under way.
    async fn get(&self, key: Key, reader: Reader) -> Result<Page> {
        match self.cache.get_value_or_guard_async(&key).await {
            Ok(page) => Ok(page),
            Err(guard) => {
                let page = self.fetch(key, reader).await?;
                // Fails if the page was removed meanwhile.
                let _ = guard.insert(page.clone());
                if !page.is_kept {
                    self.drop_unfinished(key);
                }
                Ok(page)
            }
        }
    }

    fn drop_unfinished(&self, key: Key) {
        self.cache.remove_if(&key, |page| !page.is_kept);
    }

    async fn fetch(&self, (run, before): Key, reader: Reader) -> Result<Page> {
        let begun = self.clock.fetch_add(1, Ordering::SeqCst) + 1;
        // Up to the next fixed number, from which on all subscribers share pages again.
        let limit = PAGE_EVENTS - before % PAGE_EVENTS;
        let events = self.storage.events(run, before, limit as u32).await?;
        // Saturating, because a subscriber may wait for any number.
        let last = before.saturating_add(limit);
        let full = events.len() as u64 == limit && events.last().is_some_and(|event| event.seq == last);
        let large = events.iter().map(|event| event.what.cost()).sum::<usize>() >= LARGE_PAGE_BYTES;
        // The end of a log is kept for the subscriber for which it was read ahead. Other small pages would fill the cache
        // with runs that nobody reads again.
        let awaited = reader == Reader::Ahead && events.last().is_some_and(|event| event.is_terminal());
        Ok(Page { segments: segments(events).collect(), is_kept: full || large || awaited, begun })
    }
}

#[cfg(test)]
mod tests;
