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

/// Who reads a page.
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

    /// Reads a page, or waits for the one who reads it now.
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
mod tests {
    use async_trait::async_trait;
    use futures_util::FutureExt as _;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::model::{Event, EventType, Fence, NewEvent, RunKey, RunStatus};
    use crate::storage::{Condition, Outbox, StorageError};

    /// The number of the terminal event, if the log is that long.
    const LAST: u64 = 1_300;

    /// The log of a run, whose reads are recorded.
    struct Recorded {
        /// Number of events, each with this many bytes of data.
        count: AtomicU64,
        bytes: usize,
        /// Where the recorded reads began.
        reads: Mutex<Vec<u64>>,
        /// Whether a read that begins there waits for a permit.
        waits: fn(u64) -> bool,
        permits: Semaphore,
    }

    impl Recorded {
        fn new(count: u64, bytes: usize, waits: fn(u64) -> bool) -> (Arc<Self>, Pages) {
            let (reads, permits) = (Mutex::default(), Semaphore::new(0));
            let log = Arc::new(Self { count: AtomicU64::new(count), bytes, reads, waits, permits });
            let pages = Pages::new(Arc::clone(&log) as Arc<dyn Log>);
            (log, pages)
        }

        fn event(&self, seq: u64) -> Event {
            let mut what = NewEvent::of_host("test", &"x".repeat(self.bytes));
            if seq == LAST {
                what.event_type = EventType::terminal(RunStatus::Completed);
            }
            Event { seq, attempt: 1, what }
        }

        fn reads(&self) -> Vec<u64> {
            self.reads.lock().clone()
        }
    }

    #[async_trait]
    impl Log for Recorded {
        async fn events(&self, _run: i64, after: u64, limit: u32) -> Result<Vec<Event>> {
            self.reads.lock().push(after);
            if (self.waits)(after) {
                self.permits.acquire().await.map_err(|_| StorageError::Closed)?.forget();
            }
            let (mut events, mut bytes) = (Vec::new(), 0);
            for seq in (after + 1..=self.count.load(Ordering::SeqCst)).take(limit as usize) {
                events.push(self.event(seq));
                bytes += self.bytes;
                if bytes >= 1 << 20 {
                    break;
                }
            }
            Ok(events)
        }

        async fn events_of_runs(
            &self,
            _after: Vec<(i64, u64)>,
            _limit: u32,
        ) -> Result<(Vec<(i64, Vec<Event>)>, bool)> {
            unreachable!("a page is of one run")
        }

        fn append(&self, _outbox: Arc<dyn Outbox>) {
            unreachable!("pages only read")
        }

        async fn events_of_types(
            &self,
            _run: i64,
            _after: u64,
            _to: u64,
            _types: &'static [&'static str],
        ) -> Result<(Vec<Event>, u64)> {
            unreachable!("pages have all types")
        }

        async fn last_seq(&self, _run: i64) -> Result<u64> {
            unreachable!("pages need no end")
        }

        async fn save_checkpoint(
            &self,
            _run: &RunKey,
            _fence: Fence,
            _key: String,
            _value: Option<Vec<u8>>,
        ) -> Result<()> {
            unreachable!("pages only read")
        }

        async fn load_checkpoint(&self, _run: i64, _key: String) -> Result<Option<Vec<u8>>> {
            unreachable!("pages have events only")
        }

        fn health(&self) -> Result<()> {
            Ok(())
        }

        fn condition(&self) -> Condition {
            unreachable!("pages don't ask")
        }

        async fn close(&self) {}
    }

    /// Whether reads wait for permits.
    fn always(_: u64) -> bool {
        true
    }

    fn never(_: u64) -> bool {
        false
    }

    /// Reads at `after`, and checks what it gets. Returns the number of the last event.
    async fn read(pages: &Pages, after: u64, page: &mut u64, ahead_to: u64) -> u64 {
        let found = pages.read(1, after, page, ahead_to).await.unwrap();
        let seqs: Vec<u64> =
            found.iter().flat_map(|segment| segment.events()).map(|event| event.seq).collect();
        let Some(last) = seqs.last() else { return after };
        assert!(seqs.contains(&(after + 1)), "{after}: {seqs:?}");
        *last
    }

    /// Lets all tasks run until they wait.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_next_page_is_read_while_the_last_one_is_sent_and_no_page_is_read_twice() {
        let (log, pages) = Recorded::new(LAST, 10, never);
        let (mut after, mut page) = (0, 0);
        for ahead in [512, 1_024, 1_024, 1_024] {
            after = read(&pages, after, &mut page, u64::MAX).await;
            settle().await;
            assert_eq!(log.reads().last(), Some(&ahead));
        }
        assert_eq!((after, log.reads()), (LAST, vec![0, 512, 1_024]), "the end was read ahead too");
    }

    #[tokio::test]
    async fn a_subscriber_waits_for_the_page_that_is_being_read_ahead_for_it() {
        let (log, pages) = Recorded::new(LAST, 10, always);
        let mut page = 0;
        log.permits.add_permits(1);
        assert_eq!(read(&pages, 0, &mut page, u64::MAX).await, 512);
        settle().await;
        assert_eq!(log.reads(), [0, 512]);
        let (last, ()) = tokio::join!(read(&pages, 512, &mut page, u64::MAX), async {
            settle().await;
            log.permits.add_permits(1);
        });
        settle().await;
        assert_eq!((last, log.reads()), (1_024, vec![0, 512, 1_024]));
        // One that no longer waits changes nothing for the next.
        assert!(read(&pages, 1_024, &mut page, u64::MAX).now_or_never().is_none());
        log.permits.add_permits(1);
        assert_eq!(read(&pages, 1_024, &mut page, u64::MAX).await, LAST);
        assert_eq!(log.reads(), [0, 512, 1_024]);
    }

    #[tokio::test]
    async fn a_subscriber_that_stops_reading_has_one_page_read_ahead_and_no_more() {
        let (log, pages) = Recorded::new(100_000, 10, never);
        for _ in 0..3 {
            read(&pages, 0, &mut 0, u64::MAX).await;
            settle().await;
        }
        assert_eq!(log.reads(), [0, 512]);
    }

    #[tokio::test]
    async fn pages_of_which_a_window_has_a_part_are_not_read_ahead() {
        let (log, pages) = Recorded::new(100_000, 10, never);
        read(&pages, 0, &mut 0, 1_023).await;
        settle().await;
        assert_eq!(log.reads(), [0]);
        read(&pages, 0, &mut 0, 1_024).await;
        settle().await;
        assert_eq!(log.reads(), [0, 512]);
    }

    #[tokio::test]
    async fn few_pages_are_read_ahead_at_once_and_they_are_given_up_with_the_cache() {
        let (log, pages) = Recorded::new(100_000, 10, |before| !before.is_multiple_of(5_120));
        for nth in 0..10 {
            read(&pages, nth * 5_120, &mut 0, u64::MAX).await;
            settle().await;
        }
        assert_eq!(log.reads().len(), 10 + READS_AHEAD);
        drop(pages);
        settle().await;
        assert_eq!(Arc::strong_count(&log), 1);
    }

    #[tokio::test]
    async fn each_page_of_large_events_is_read_once() {
        // 32 in a page, of which each read takes one.
        let (log, pages) = Recorded::new(LAST, 32 << 10, never);
        let (mut after, mut page) = (0, 0);
        while after < LAST {
            let found = pages.read(1, after, &mut page, u64::MAX).await.unwrap();
            let next = found[0].last_seq();
            assert!(found[0].first_seq() <= after + 1 && next > after);
            after = next;
            settle().await;
        }
        let mut reads = log.reads();
        let count = reads.len();
        reads.sort_unstable();
        reads.dedup();
        assert_eq!(reads.len(), count, "{reads:?}");
        assert!(count <= LAST as usize / 32 + 3, "{reads:?}");
        assert!(reads.contains(&512) && reads.contains(&1_024), "subscribers meet again: {reads:?}");
    }

    /// The last events that subscribers after event 80 get when they all read at once.
    async fn read_by_many(pages: &Pages, subscribers: usize) -> Vec<u64> {
        let reads = (0..subscribers).map(|_| async { read(pages, 80, &mut 0, u64::MAX).await });
        futures_util::future::join_all(reads).await
    }

    #[tokio::test]
    async fn a_page_that_is_not_full_is_read_once_for_all_who_wait_and_never_kept() {
        let (log, pages) = Recorded::new(88, 10, always);
        log.permits.add_permits(1);
        assert_eq!(read_by_many(&pages, 1_000).await, [88; 1_000]);
        assert_eq!(log.reads(), [0]);
        log.count.store(90, Ordering::SeqCst);
        log.permits.add_permits(1);
        assert_eq!(read_by_many(&pages, 1_000).await, [90; 1_000]);
        assert_eq!(log.reads(), [0, 0]);
    }

    #[tokio::test]
    async fn nobody_takes_a_read_that_began_before_for_the_news_that_they_were_woken_for() {
        let (log, pages) = Recorded::new(80, 10, always);
        let early = read_by_many(&pages, 1_000);
        let late = async {
            settle().await;
            // The first read has begun, and does not see this event.
            assert_eq!(log.reads(), [0]);
            log.permits.add_permits(1);
            settle().await;
            log.count.store(81, Ordering::SeqCst);
            log.permits.add_permits(1);
        };
        let (found, ()) = tokio::join!(early, late);
        assert!(found.iter().all(|last| [80, 81].contains(last)), "{found:?}");
        assert_eq!(found.iter().filter(|last| **last == 80).count(), 1, "only the one that began the read");
        assert_eq!(log.reads(), [0, 0], "one more read for all others");
    }
}
