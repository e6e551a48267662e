use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::notifier::Listener;

/// Shortest interval between two queries, however often runs change. Every change of any run is a hint to every client, so
/// without it a busy host would make a query for each client and change.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// Longest interval between two queries, in case a hint was lost.
const POLL: Duration = Duration::from_secs(1);
/// Free places that are filled at once while more runs wait. Reading a history of many short runs then takes one query for
/// so many of them, and never waits for the interval.
const BATCH: usize = 16;

/// Decides when new runs are looked for.
pub(super) struct Queries {
    listener: Listener,
    last: Instant,
    /// Whether more runs may wait than there was room for.
    more: bool,
}

impl Queries {
    /// Hints of a change of any run come from `listener`.
    pub(super) fn new(listener: Listener) -> Self {
        Self { listener, last: Instant::now(), more: true }
    }

    /// Records that a query was made. `filled`: whether it found as many runs as there was room for.
    pub(super) fn record(&mut self, filled: bool) {
        self.last = Instant::now();
        self.more = filled;
    }

    /// Whether a query with this room is due now, whatever else there is to do: runs whose events are always ready, as for
    /// a slow client, would postpone it forever.
    pub(super) fn is_overdue(&self, room: usize) -> bool {
        room > 0 && (self.fills_places(room) || self.last + POLL <= Instant::now())
    }

    /// Waits until a query with this room is due. Cancel-safe: times count from the last query on, because events and
    /// heartbeats end the wait.
    pub(super) async fn due(&self, room: usize) {
        if room == 0 {
            return pending().await;
        }
        if self.fills_places(room) {
            return;
        }
        sleep_until(self.last + MIN_INTERVAL).await;
        if !self.more {
            let _ = timeout_at(self.last + POLL, self.listener.heard()).await;
        }
    }

    fn fills_places(&self, room: usize) -> bool {
        self.more && room >= BATCH
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::notifier::{LocalNotifier, Notifier as _, Topic};

    /// A notifier, and queries that have just found everything.
    fn quiet() -> (LocalNotifier, Queries) {
        let notifier = LocalNotifier::new();
        let mut queries = Queries::new(notifier.listen(Topic::Runs));
        queries.record(false);
        (notifier, queries)
    }

    /// Milliseconds until a query is due.
    async fn due_in(queries: &Queries, room: usize) -> u128 {
        let begun = Instant::now();
        queries.due(room).await;
        begun.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn changes_without_a_pause_cause_few_queries() {
        let (notifier, mut queries) = quiet();
        let (begun, mut made) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(2) {
            notifier.notify(&Topic::Runs);
            tokio::select! {
                () = queries.due(60) => {
                    queries.record(false);
                    made += 1;
                }
                // Another change.
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
        assert!((9..=10).contains(&made), "{made}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_after_a_pause_is_noticed_at_once_and_a_lost_hint_soon() {
        let (notifier, mut queries) = quiet();
        assert_eq!(due_in(&queries, 60).await, 1000);
        queries.record(false);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert!(queries.due(60).now_or_never().is_none() && !queries.is_overdue(60));
        notifier.notify(&Topic::Runs);
        assert_eq!(due_in(&queries, 60).await, 0);
        queries.record(false);
        notifier.notify(&Topic::Runs);
        assert_eq!(due_in(&queries, 60).await, 200);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(queries.is_overdue(1));
    }

    #[tokio::test(start_paused = true)]
    async fn places_for_runs_that_wait_are_filled_many_at_once_or_soon() {
        let (_notifier, mut queries) = quiet();
        queries.record(true);
        assert!(queries.due(0).now_or_never().is_none() && !queries.is_overdue(0));
        assert!(queries.is_overdue(BATCH));
        assert_eq!(due_in(&queries, BATCH).await, 0);
        assert!(!queries.is_overdue(BATCH - 1));
        assert_eq!(due_in(&queries, 1).await, 200);
    }
}
