//! Reads of the list of runs, shared by all live lists with the same filter.
//!
//! A dashboard is opened on many screens. Each filter has one task as long as it has a live list: it reads the list when a
//! hint says that runs changed, at most five times a second, and all live lists compare that with what they have sent.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::Api;
use crate::model::Run;
use crate::notifier::{Listener, Topic};
use crate::storage::{Result, RunFilter};

/// Shortest interval between two reads of one list, however often runs change. People can't read faster.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// Longest interval between two reads of one list, in case a wake-up was lost.
const POLL: Duration = Duration::from_secs(5);

/// The lists that are read now, by filter.
#[derive(Default)]
pub struct ListReads(Mutex<HashMap<RunFilter, Weak<ListRead>>>);

impl ListReads {
    /// The reads of the list that matches `filter`. Large parts of the runs are left out.
    pub(super) fn of(&self, api: &Api, filter: RunFilter) -> Arc<ListRead> {
        let filter = RunFilter { brief: true, ..filter };
        let mut lists = self.0.lock();
        // The task of one that has panicked answers nobody.
        let current = lists.get(&filter).and_then(Weak::upgrade);
        if let Some(list) = current.filter(|list| !list.reading.is_finished()) {
            return list;
        }
        lists.retain(|_, list| list.strong_count() > 0);
        let (storage, read) = (Arc::clone(&api.storage), filter.clone());
        let read = move || -> BoxFuture<'static, Result<Vec<Run>>> {
            let (storage, filter) = (Arc::clone(&storage), read.clone());
            Box::pin(async move { storage.runs(filter).await })
        };
        let list = Arc::new(ListRead::new(api.notifier.listen(Topic::Runs), read));
        lists.insert(filter, Arc::downgrade(&list));
        list
    }
}

/// A list that is read again when runs change.
pub(super) struct ListRead {
    results: Arc<Results>,
    /// The task that reads, stopped with the last live list.
    reading: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Results {
    newest: Mutex<Option<Snapshot>>,
    /// Notified when there is a new one.
    changed: Notify,
    /// Notified when someone needs one that is read from now on.
    wanted: Notify,
}

/// The result of one read.
#[derive(Clone)]
pub(super) struct Snapshot {
    /// Counts the reads of this list.
    pub(super) version: u64,
    /// The runs, newest first.
    pub(super) runs: Result<Arc<[Arc<Run>]>>,
    began: Instant,
}

impl ListRead {
    fn new<R>(listener: Listener, read: R) -> Self
    where
        R: Fn() -> BoxFuture<'static, Result<Vec<Run>>> + Send + Sync + 'static,
    {
        let results = Arc::<Results>::default();
        let reading = tokio::spawn(read_again(Arc::clone(&results), listener, read));
        Self { results, reading: AbortOnDropHandle::new(reading) }
    }

    /// The list as it is now. It may have been read since `asked`.
    pub(super) async fn current(&self, asked: Instant) -> Snapshot {
        self.results.when(|newest| newest.began >= asked, true).await
    }

    /// The next list after one of that version. Cancel-safe.
    pub(super) async fn after(&self, version: u64) -> Snapshot {
        self.results.when(|newest| newest.version > version, false).await
    }
}

impl Results {
    /// The newest list, once it is accepted.
    async fn when(&self, accepts: impl Fn(&Snapshot) -> bool, wants_read: bool) -> Snapshot {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Register before the check: the next list may come in between.
            changed.as_mut().enable();
            let newest = self.newest.lock().clone();
            // The first read has begun by itself.
            let is_outdated = newest.is_some();
            if let Some(newest) = newest.filter(&accepts) {
                return newest;
            }
            if wants_read && is_outdated {
                self.wanted.notify_one();
            }
            changed.await;
        }
    }
}

/// Reads a list whenever it may have changed, for as long as it is shown.
async fn read_again<R>(results: Arc<Results>, listener: Listener, read: R)
where
    R: Fn() -> BoxFuture<'static, Result<Vec<Run>>>,
{
    for version in 1.. {
        let began = Instant::now();
        let runs = read().await.map(|runs| runs.into_iter().map(Arc::new).collect());
        *results.newest.lock() = Some(Snapshot { version, runs, began });
        results.changed.notify_waiters();
        // One read covers all changes of this time.
        sleep_until(began + MIN_INTERVAL).await;
        let hint = async {
            tokio::select! {
                biased;
                () = listener.heard() => {}
                () = results.wanted.notified() => {}
            }
        };
        let _ = timeout_at(began + POLL, hint).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;
    use crate::notifier::{LocalNotifier, Notifier as _};
    use crate::storage::StorageError;

    /// A list whose reads are counted, and fail from the tenth on.
    struct Counted {
        list: Arc<ListRead>,
        reads: Arc<AtomicU64>,
        notifier: LocalNotifier,
    }

    impl Counted {
        fn new() -> Self {
            let (reads, notifier) = (Arc::<AtomicU64>::default(), LocalNotifier::new());
            let count = Arc::clone(&reads);
            let read = move || -> BoxFuture<'static, Result<Vec<Run>>> {
                let nth = count.fetch_add(1, SeqCst) + 1;
                let read = if nth < 10 { Ok(Vec::new()) } else { Err(StorageError::Closed) };
                Box::pin(async move { read })
            };
            let list = Arc::new(ListRead::new(notifier.listen(Topic::Runs), read));
            Self { list, reads, notifier }
        }

        fn reads(&self) -> u64 {
            self.reads.load(SeqCst)
        }

        fn change(&self) {
            self.notifier.notify(&Topic::Runs);
        }
    }

    async fn after_ms(ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_live_lists_cost_one_read_of_each_change() {
        let counted = Counted::new();
        let lists: Vec<_> = (0..1_000)
            .map(|_| {
                let list = Arc::clone(&counted.list);
                tokio::spawn(async move {
                    let first = list.current(Instant::now()).await;
                    list.after(first.version).await.version
                })
            })
            .collect();
        after_ms(250).await;
        let before = counted.reads();
        assert!(before <= 2, "{before} reads for lists that were opened at once");
        counted.change();
        for list in lists {
            assert_eq!(list.await.unwrap(), before + 1);
        }
        assert_eq!(counted.reads(), before + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_read_at_most_five_times_a_second_and_none_is_missed() {
        let counted = Counted::new();
        let began = Instant::now();
        let mut seen = counted.list.current(began).await.version;
        for _ in 0..100 {
            counted.change();
            after_ms(10).await;
        }
        assert!((5..=6).contains(&counted.reads()), "{}", counted.reads());
        // The last change comes within the interval of the last read.
        while seen < 6 {
            seen = counted.list.after(seen).await.version;
        }
        assert!(began.elapsed() < Duration::from_millis(1_300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_hint_delays_a_change_by_five_seconds() {
        let counted = Counted::new();
        let began = Instant::now();
        let first = counted.list.current(began).await;
        counted.list.after(first.version).await;
        assert_eq!(began.elapsed().as_secs(), POLL.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_is_opened_later_is_not_older_than_that() {
        let counted = Counted::new();
        counted.list.current(Instant::now()).await;
        after_ms(50).await;
        let opened = Instant::now();
        let second = counted.list.current(opened).await;
        assert!(second.began >= opened && opened.elapsed() < MIN_INTERVAL);
        assert_eq!((second.version, counted.reads()), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_read_is_reported_to_all_and_nothing_is_read_without_a_live_list() {
        let counted = Counted::new();
        let mut seen = 0;
        while seen < 10 {
            counted.change();
            let next = counted.list.after(seen).await;
            seen = next.version;
            assert_eq!(next.runs.is_err(), seen == 10);
        }
        drop(counted.list);
        counted.notifier.notify(&Topic::Runs);
        after_ms(10_000).await;
        assert_eq!(counted.reads.load(SeqCst), 10);
    }
}
