//! The end of all streams when the host stops. Spread over time, so that not all clients reconnect at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Time per open stream over which the ends are spread. A few streams end almost at once, so that the stop is not delayed
/// without need.
const TIME_PER_STREAM: Duration = Duration::from_millis(1);
/// Longest time over which the ends are spread. Connections get twice as long to close.
pub(super) const MAX_SPREAD: Duration = Duration::from_secs(1);

/// Ends all streams when the host stops.
#[derive(Default)]
pub struct StreamEnds(Arc<State>);

#[derive(Default)]
struct State {
    begun: CancellationToken,
    /// Set before `begun` is cancelled.
    spread: OnceLock<Duration>,
}

impl StreamEnds {
    /// End all streams soon.
    pub fn begin(&self) {
        // Each open stream has a reference.
        let streams = u32::try_from(Arc::strong_count(&self.0) - 1).unwrap_or(u32::MAX);
        let _ = self.0.spread.set(TIME_PER_STREAM.saturating_mul(streams).min(MAX_SPREAD));
        self.0.begun.cancel();
    }

    /// The end of one stream.
    pub(super) fn of_one(&self) -> StreamEnd {
        let begun = Box::pin(self.0.begun.clone().cancelled_owned());
        StreamEnd { state: Arc::clone(&self.0), begun, delay: None }
    }
}

/// A future that is ready when one stream has to end. Can be polled again afterwards.
pub(super) struct StreamEnd {
    state: Arc<State>,
    begun: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Created when the host stops, because thousands of streams wait until then.
    delay: Option<Pin<Box<Sleep>>>,
}

impl StreamEnd {
    /// Whether the host is stopping. Takes no lock, because streams ask for each item.
    pub(super) fn is_near(&self) -> bool {
        self.state.spread.get().is_some()
    }
}

impl Future for StreamEnd {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        ready!(self.begun.as_mut().poll(context));
        let spread = self.state.spread.get().copied().unwrap_or_default();
        let delay = self.delay.get_or_insert_with(|| Box::pin(sleep(spread.mul_f64(fastrand::f64()))));
        delay.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_streams_end_at_once_and_many_one_after_another() {
        for (streams, longest) in [(0, 0), (3, 4), (1500, 1001)] {
            let ends = StreamEnds::default();
            let mut all: Vec<_> = (0..streams).map(|_| ends.of_one()).collect();
            assert!(all.iter_mut().all(|end| end.now_or_never().is_none()));
            ends.begin();
            let began = Instant::now();
            let ended = futures_util::future::join_all(all.into_iter().map(async |end| {
                end.await;
                began.elapsed().as_millis()
            }));
            let mut in_each_tenth = [0; 11];
            for after in ended.await {
                assert!(after <= longest, "{after}");
                in_each_tenth[after as usize / 100] += 1;
            }
            assert!(
                streams < 1500 || in_each_tenth[..10].iter().all(|ended| *ended > 75),
                "{in_each_tenth:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_can_be_polled_again() {
        let ends = StreamEnds::default();
        let mut end = ends.of_one();
        ends.begin();
        (&mut end).await;
        assert!((&mut end).now_or_never().is_some() && ends.of_one().now_or_never().is_none());
        ends.of_one().await;
    }
}
