//! The loop that every open stream runs: the events of a run, over HTTP or a WebSocket; those of several runs; the live
//! list of runs.
//!
//! A [`Source`] has the content and its encoding. The loop decides what happens when: it waits for the next item, sends
//! heartbeats while there is none, lets a source coalesce items for an interval, and ends the stream when the host stops.
//!
//! It has no queue: a source is asked for the next item when all its bytes are sent, so a slow client slows its source.
//! Source and loop are compiled together, because the stream of one run is the hot path: an item costs no dynamic call
//! and no allocation here.

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::body::Broken;
use super::stream_ends::{MAX_SPREAD, StreamEnd};

/// Time that a stream gets, from when it notices that the host stops, to send what its source has ready. A client that
/// reads slowly, or far behind, then learns that the host is stopping while its connection still has time to bring it.
/// After it, the client resumes at its own position. One that reads nothing at all can't be told.
const CATCH_UP: Duration = MAX_SPREAD;

/// The content of a stream.
pub(super) trait Source: Send {
    /// What a wait results in.
    type Item: Send;

    /// Return the bytes to send next, if there are any.
    fn bytes(&mut self) -> impl Future<Output = Result<Option<Bytes>, Broken>> + Send;

    /// Whether nothing follows the bytes that are there.
    fn has_ended(&self) -> bool {
        false
    }

    /// Wait for the next item. Cancel-safe, because the loop stops waiting when a heartbeat is due.
    fn wait(&mut self) -> impl Future<Output = Result<Self::Item, Broken>> + Send;

    /// Turn an item into bytes, or keep it for the end of the interval.
    fn take(&mut self, item: Self::Item) -> impl Future<Output = Result<(), Broken>> + Send;

    /// The interval at whose end [`coalesce`](Self::coalesce) is due, while items are kept for it.
    fn coalescing(&self) -> Option<Duration> {
        None
    }

    /// Turn the kept items into bytes.
    fn coalesce(&mut self) -> impl Future<Output = Result<(), Broken>> + Send {
        ready(Ok(()))
    }

    /// Add bytes that clients skip.
    fn add_heartbeat(&mut self);

    /// Add the notice that the host is stopping.
    fn add_closing(&mut self);

    /// Return the bytes that end the body, if there are any.
    fn finish(&mut self) -> impl Future<Output = Result<Option<Bytes>, Broken>> + Send {
        ready(Ok(None))
    }
}

/// A stream to one client, which stays open until its source or the host ends it.
pub(super) struct LiveStream<S> {
    source: S,
    /// The heartbeat interval and its timer. The timer and `end` are kept from one wait to the next: thousands of
    /// subscribers would contend if each entered and left their queues for each event.
    heartbeat: Option<(Duration, Pin<Box<Sleep>>)>,
    /// When the last bytes were sent. Items without bytes, such as events that a filter drops, do not count.
    last_sent: Instant,
    end: StreamEnd,
    /// When this stream first saw that the host is stopping.
    stopping_since: Option<Instant>,
    /// Whether the host has ended the stream, although its content continues.
    closed: bool,
    /// Whether the last bytes or an error were returned.
    finished: bool,
}

/// The reason why a wait is over.
enum Wakeup<I> {
    Item(I),
    IntervalEnd,
    HeartbeatDue,
    /// The host is stopping.
    Closing,
}

impl<S: Source> LiveStream<S> {
    /// A stream with heartbeats in this interval, or with none, that lasts until `end` at most.
    pub(super) fn new(source: S, heartbeat: Option<Duration>, end: StreamEnd) -> Self {
        Self {
            source,
            heartbeat: heartbeat.map(|time| (time, Box::pin(sleep(time)))),
            last_sent: Instant::now(),
            end,
            stopping_since: None,
            closed: false,
            finished: false,
        }
    }

    /// Whether the stream has ended because the host is stopping, although its content continues.
    pub(super) fn is_closed_by_host(&self) -> bool {
        self.closed
    }

    /// The stream as the body of a response.
    pub(super) fn into_body(self) -> impl futures_core::Stream<Item = Result<Bytes, Broken>> {
        futures_util::stream::unfold(self, |mut stream| async {
            let next = stream.next().await;
            next.map(|bytes| (bytes, stream))
        })
    }

    /// Return the next bytes, or `None` at the end of the stream. Nothing follows an error. Cancel-safe if the source's
    /// methods besides `wait` never wait.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        while !self.finished {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(bytes)) => return Some(Ok(bytes)),
                Err(error) => {
                    self.finished = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// Return bytes, or let the source make some.
    async fn step(&mut self) -> Result<Option<Bytes>, Broken> {
        if let Some(bytes) = self.source.bytes().await? {
            self.last_sent = Instant::now();
            if let Some((time, timer)) = &mut self.heartbeat {
                timer.as_mut().reset(self.last_sent + *time);
            }
            return Ok(Some(bytes));
        }
        if self.closed || self.source.has_ended() {
            self.finished = true;
            return self.source.finish().await;
        }
        if self.is_late() {
            // What is kept was read, so the position of the client must be after it.
            if self.source.coalescing().is_some() {
                self.source.coalesce().await?;
            }
            self.close();
            return Ok(None);
        }
        let wakeup = match self.source.coalescing() {
            Some(interval) => self.wait_for_interval(interval).await?,
            None => self.wait().await?,
        };
        match wakeup {
            Wakeup::Item(item) => self.source.take(item).await?,
            Wakeup::IntervalEnd => self.source.coalesce().await?,
            Wakeup::HeartbeatDue => self.source.add_heartbeat(),
            Wakeup::Closing => self.close(),
        }
        Ok(None)
    }

    fn close(&mut self) {
        self.closed = true;
        self.source.add_closing();
    }

    /// Whether the stream ends although its source may have more.
    fn is_late(&mut self) -> bool {
        self.end.is_near() && self.stopping_since.get_or_insert_with(Instant::now).elapsed() >= CATCH_UP
    }

    /// Wait for the end of the interval, which also the host's stop brings. No heartbeat is due: the kept items will soon
    /// show that the stream is alive.
    async fn wait_for_interval(&mut self, interval: Duration) -> Result<Wakeup<S::Item>, Broken> {
        tokio::select! {
            biased;
            () = sleep_until(self.last_sent + interval) => Ok(Wakeup::IntervalEnd),
            item = self.source.wait() => item.map(Wakeup::Item),
            () = &mut self.end => Ok(Wakeup::IntervalEnd),
        }
    }

    /// Wait for anything. What the source has comes first, so that a client gets it before the end.
    async fn wait(&mut self) -> Result<Wakeup<S::Item>, Broken> {
        let Self { source, heartbeat, last_sent, end, .. } = self;
        // Items without bytes would postpone it forever.
        if heartbeat.as_ref().is_some_and(|(time, _)| *last_sent + *time <= Instant::now()) {
            return Ok(Wakeup::HeartbeatDue);
        }
        let heartbeat_due = async {
            match heartbeat {
                Some((_, timer)) => timer.as_mut().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            item = source.wait() => item.map(Wakeup::Item),
            () = end => Ok(Wakeup::Closing),
            () = heartbeat_due => Ok(Wakeup::HeartbeatDue),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::http::stream_ends::StreamEnds;

    /// Has items at planned times.
    struct Planned {
        start: Instant,
        /// Each with its time in milliseconds since the start.
        items: VecDeque<(u64, &'static str)>,
        interval: Option<Duration>,
        kept: String,
        out: String,
    }

    impl Source for Planned {
        type Item = &'static str;

        async fn bytes(&mut self) -> Result<Option<Bytes>, Broken> {
            let out = std::mem::take(&mut self.out);
            Ok((!out.is_empty()).then(|| out.into()))
        }

        fn has_ended(&self) -> bool {
            self.items.is_empty() && self.kept.is_empty()
        }

        async fn wait(&mut self) -> Result<&'static str, Broken> {
            let Some(&(at, item)) = self.items.front() else { return pending().await };
            if at > 0 {
                sleep_until(self.start + Duration::from_millis(at)).await;
            }
            self.items.pop_front();
            if item == "error" { Err(Broken::Incomplete("planned")) } else { Ok(item) }
        }

        async fn take(&mut self, item: &'static str) -> Result<(), Broken> {
            if item == "busy" {
                sleep(Duration::from_millis(20)).await;
                return Ok(());
            }
            let to = if self.interval.is_some() { &mut self.kept } else { &mut self.out };
            to.push_str(item);
            Ok(())
        }

        fn coalescing(&self) -> Option<Duration> {
            self.interval.filter(|_| !self.kept.is_empty())
        }

        async fn coalesce(&mut self) -> Result<(), Broken> {
            self.out.push_str(&std::mem::take(&mut self.kept));
            Ok(())
        }

        fn add_heartbeat(&mut self) {
            self.out.push('.');
        }

        fn add_closing(&mut self) {
            self.out.push_str("closing");
        }

        async fn finish(&mut self) -> Result<Option<Bytes>, Broken> {
            Ok(Some("end".into()))
        }
    }

    fn stream(
        ends: &StreamEnds,
        heartbeat_ms: u64,
        interval: Option<Duration>,
        items: &[(u64, &'static str)],
    ) -> LiveStream<Planned> {
        let items = items.iter().copied().collect();
        let source =
            Planned { start: Instant::now(), items, interval, kept: String::new(), out: String::new() };
        LiveStream::new(source, Some(Duration::from_millis(heartbeat_ms)), ends.of_one())
    }

    async fn rest(stream: &mut LiveStream<Planned>) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(next) = stream.next().await {
            all.push(
                next.map_or_else(|error| error.to_string(), |bytes| String::from_utf8_lossy(&bytes).into()),
            );
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn heartbeats_come_while_items_have_no_bytes() {
        let items = [(40, ""), (80, ""), (120, ""), (160, "x"), (400, "y")];
        let mut stream = stream(&StreamEnds::default(), 100, None, &items);
        assert_eq!(rest(&mut stream).await, [".", "x", ".", ".", "y", "end"]);
        assert!(!stream.is_closed_by_host());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_is_always_ready_and_has_no_bytes_postpones_no_heartbeat() {
        let mut stream = stream(&StreamEnds::default(), 100, None, &[(0, "busy"); 10]);
        assert_eq!(rest(&mut stream).await, [".", "end"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_comes_before_the_end_that_the_host_makes() {
        let ends = StreamEnds::default();
        let mut stream = stream(&ends, 100, None, &[(0, "a"), (0, "b"), (50, "late")]);
        ends.begin();
        assert_eq!(rest(&mut stream).await, ["a", "b", "closing", "end"]);
        assert!(stream.is_closed_by_host());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_learns_of_the_stop_before_all_that_is_ready() {
        for interval in [None, Some(Duration::from_millis(50))] {
            let ends = StreamEnds::default();
            // Faster than they are read.
            let items: Vec<_> = (0..1000).map(|nth| (10 * nth, "a")).collect();
            let mut stream = stream(&ends, 100_000, interval, &items);
            ends.begin();
            let (begun, mut read) = (Instant::now(), String::new());
            while let Some(Ok(bytes)) = stream.next().await {
                read.push_str(std::str::from_utf8(&bytes).unwrap());
                sleep(Duration::from_millis(100)).await;
            }
            assert!(read.len() < 300 && read.ends_with("aclosingend"), "{read}");
            assert!(begun.elapsed() < 2 * CATCH_UP && stream.is_closed_by_host());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn kept_items_are_coalesced_at_the_end_of_the_interval_without_heartbeats_before() {
        let interval = Some(Duration::from_millis(100));
        let items = [(10, "a"), (20, "b"), (150, "c")];
        let mut stream = stream(&StreamEnds::default(), 60, interval, &items);
        assert_eq!(rest(&mut stream).await, ["ab", "c", "end"]);
    }

    #[tokio::test(start_paused = true)]
    async fn kept_items_are_sent_before_the_end_that_the_host_makes() {
        let ends = StreamEnds::default();
        let mut stream = stream(&ends, 60, Some(Duration::from_secs(10)), &[(0, "a"), (50, "late")]);
        ends.begin();
        assert_eq!(rest(&mut stream).await, ["a", "closing", "end"]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_follows_an_error() {
        let mut stream = stream(&StreamEnds::default(), 100, None, &[(0, "a"), (0, "error"), (0, "b")]);
        assert_eq!(rest(&mut stream).await, ["a", "planned"]);
    }
}
