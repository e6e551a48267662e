//! The end of all streams when the host stops. Not in one instant, or all their clients would come back in one.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// For each open stream the ends are spread over so much time: a few end at once, and no stop waits for nothing.
const TIME_PER_STREAM: Duration = Duration::from_millis(1);
/// At most over this; connections get twice as long to close.
const MAX_SPREAD: Duration = Duration::from_secs(1);

/// Ends streams.
#[derive(Default)]
pub struct StreamEnds(Arc<Ends>);

#[derive(Default)]
struct Ends {
    begun: CancellationToken,
    /// Set before they begin.
    spread: OnceLock<Duration>,
}

impl StreamEnds {
    /// Lets all streams end, soon.
    pub fn begin(&self) {
        // Each open stream has a handle.
        let streams = u32::try_from(Arc::strong_count(&self.0) - 1).unwrap_or(u32::MAX);
        let _ = self.0.spread.set(TIME_PER_STREAM.saturating_mul(streams).min(MAX_SPREAD));
        self.0.begun.cancel();
    }

    /// That of one stream.
    pub(super) fn of_one(&self) -> StreamEnd {
        let begun = Box::pin(self.0.begun.clone().cancelled_owned());
        StreamEnd { ends: Arc::clone(&self.0), begun, pause: None }
    }
}

/// Ready when one stream has to end, and whenever it is asked again.
pub(super) struct StreamEnd {
    ends: Arc<Ends>,
    begun: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Made when it is needed: thousands wait.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Future for StreamEnd {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        ready!(self.begun.as_mut().poll(context));
        let spread = self.ends.spread.get().copied().unwrap_or_default();
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(spread.mul_f64(fastrand::f64()))));
        pause.as_mut().poll(context)
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
    async fn what_has_ended_has_ended_whenever_it_is_asked() {
        let ends = StreamEnds::default();
        let mut end = ends.of_one();
        ends.begin();
        (&mut end).await;
        assert!((&mut end).now_or_never().is_some() && ends.of_one().now_or_never().is_none());
        ends.of_one().await;
    }
}
