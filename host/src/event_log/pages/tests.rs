use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::sync::Semaphore;

use super::*;
use crate::model::{Event, EventType, Fence, NewEvent, RunKey, RunStatus};
use crate::storage::{Condition, EventsOfRuns, Outbox, StorageError};

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

    async fn events_of_runs(&self, _after: Vec<(i64, u64)>, _limit: u32) -> Result<EventsOfRuns> {
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
    let seqs: Vec<u64> = found.iter().flat_map(|segment| segment.events()).map(|event| event.seq).collect();
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
    for (count, reads) in [(88, 1), (90, 2)] {
        log.count.store(count, Ordering::SeqCst);
        let (found, ()) = tokio::join!(read_by_many(&pages, 1_000), async {
            settle().await;
            log.permits.add_permits(1);
        });
        assert_eq!((found, log.reads()), (vec![count; 1_000], vec![0; reads]));
    }
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
