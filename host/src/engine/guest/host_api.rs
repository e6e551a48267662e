//! The host API: the calls of a guest, independent of the interface by which it makes them. Every argument is
//! checked here. There are two interfaces: the contract (`imports`) and the lines of ordinary programs (`command`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::engine::grants::Mask;
use crate::engine::guest_host::{GuestHost, RunLost};
use crate::engine::limits::Limits;
use crate::engine::timing::{PauseGate, RateLimiter};
use crate::model::{
    Channel, Content, ContentType, EventType, Json, MAX_NAME_BYTES, NewEvent, Refusal, RefusalCode, Signal,
    SignalName, Timestamp,
};

/// Largest checkpoint in bytes. Larger state belongs in a file.
const MAX_CHECKPOINT_BYTES: usize = 1 << 20;
/// A timeout that is never reached in practice.
pub(in crate::engine) const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The host API of one attempt. Clones share its limits.
#[derive(Clone)]
pub(in crate::engine) struct HostApi {
    pub(in crate::engine) host: Arc<dyn GuestHost>,
    pub(in crate::engine) limits: Limits,
    pub(in crate::engine) gate: Arc<PauseGate>,
    /// Masks the task's secrets; none if it has none.
    pub(in crate::engine) mask: Option<Mask>,
    /// Shared with the output that the guest prints; none without a rate limit.
    pub(in crate::engine) rate_limiter: Option<Arc<RateLimiter>>,
    budget: Arc<Budget>,
    /// The deadline if the attempt is never paused.
    deadline: Option<Instant>,
}

/// The number and bytes of events that the guest may still send; none without a limit. A guest makes
/// one call at a time, so nothing changes between a check and a subtraction.
struct Budget {
    events: Option<AtomicU64>,
    bytes: Option<AtomicU64>,
}

/// The result of a call. The inner error is returned to the guest; `RunLost` ends it.
pub(in crate::engine) type ApiResult<T> = Result<Result<T, Refusal>, RunLost>;

impl HostApi {
    pub(in crate::engine) fn new(
        host: Arc<dyn GuestHost>,
        limits: Limits,
        gate: Arc<PauseGate>,
        mask: Option<Mask>,
        rate_limiter: Option<Arc<RateLimiter>>,
    ) -> Self {
        let budget = Budget {
            events: limits.events.map(AtomicU64::new),
            bytes: limits.events_bytes.map(AtomicU64::new),
        };
        let deadline = limits.deadline.map(deadline_in);
        Self { host, limits, gate, mask, rate_limiter, budget: Arc::new(budget), deadline }
    }

    /// The current deadline. It moves on while the attempt is paused.
    pub(in crate::engine) fn deadline(&self) -> Option<Instant> {
        self.deadline.map(|deadline| deadline + self.gate.closed_for())
    }

    pub(in crate::engine) fn remaining_ms(&self) -> Option<u32> {
        let left = self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        left.map(|left| u32::try_from(left.as_millis()).unwrap_or(u32::MAX))
    }
}

/// Bounded, because tokio's clock overflows for longer times.
fn deadline_in(time: Duration) -> Instant {
    Instant::now() + time.min(Duration::from_secs(30 * 365 * 24 * 60 * 60))
}

// The hot path begins here.
impl HostApi {
    pub(in crate::engine) async fn send_event(
        &self,
        channel: Option<String>,
        event_type: String,
        data: String,
    ) -> ApiResult<()> {
        match self.json_event(channel, event_type, data) {
            Ok(event) => self.send(event).await,
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    pub(in crate::engine) async fn send_bytes(
        &self,
        channel: Option<String>,
        event_type: String,
        content_type: String,
        data: Vec<u8>,
    ) -> ApiResult<()> {
        match self.bytes_event(channel, event_type, content_type, data) {
            Ok(event) => self.send(event).await,
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// A JSON event of a guest, if it is valid.
    pub(in crate::engine) fn json_event(
        &self,
        channel: Option<String>,
        event_type: String,
        data: String,
    ) -> Result<NewEvent, Refusal> {
        let channel = self.channel(channel)?;
        let event_type = EventType::of_guest(self.masked(event_type))?;
        self.check_size(data.len())?;
        let data = Json::parse(data).map_err(|error| {
            Refusal::new(RefusalCode::InvalidArgument, format!("the event's data is not valid JSON: {error}"))
        })?;
        Ok(self.event(event_type, channel, Content::Json(data)))
    }

    /// An event with bytes as its data, if it is valid.
    pub(in crate::engine) fn bytes_event(
        &self,
        channel: Option<String>,
        event_type: String,
        content_type: String,
        data: Vec<u8>,
    ) -> Result<NewEvent, Refusal> {
        let channel = self.channel(channel)?;
        let event_type = EventType::of_guest(self.masked(event_type))?;
        let content_type = ContentType::of_guest(self.masked(content_type))?;
        self.check_size(data.len())?;
        Ok(self.event(event_type, channel, Content::Bytes(content_type, data.into_boxed_slice())))
    }

    /// Printed text of an ordinary program as `output` events: several, if one would be too large.
    pub(in crate::engine) fn output_events(
        &self,
        text: String,
        mut take: impl FnMut(Result<NewEvent, Refusal>),
    ) {
        // Before it is split, because half a secret would not be found.
        let text = self.masked(text);
        split(&text, self.limits.event_bytes, &mut |data| {
            let checked = self.check_size(data.as_str().len());
            take(checked.map(|()| self.event(EventType::output(), None, Content::Json(data))));
        });
    }

    fn event(&self, event_type: EventType, channel: Option<Channel>, content: Content) -> NewEvent {
        let content = match &self.mask {
            None => content,
            Some(mask) => mask.content(content),
        };
        NewEvent { event_type, channel, content, time: Timestamp::now() }
    }

    fn channel(&self, channel: Option<String>) -> Result<Option<Channel>, Refusal> {
        channel.map_or(Ok(None), |channel| Channel::of_guest(self.masked(channel)))
    }

    /// The text with secrets masked; unchanged for a task that has none.
    fn masked(&self, text: String) -> String {
        match &self.mask {
            None => text,
            Some(mask) => mask.text(text),
        }
    }

    fn check_size(&self, len: usize) -> Result<(), Refusal> {
        let limit = self.limits.event_bytes;
        if len <= limit { Ok(()) } else { Err(Refusal::too_large("the event's data", len, limit)) }
    }

    /// Charges one event of that many bytes to the limits of the attempt.
    pub(in crate::engine) fn spend(&self, bytes: usize) -> Result<(), Refusal> {
        let over = |what: &str, limit: Option<u64>| {
            let message =
                format!("the attempt has reached its limit of {} {what}", limit.unwrap_or_default());
            Refusal::new(RefusalCode::LimitExceeded, message)
        };
        let Budget { events, bytes: bytes_left } = &*self.budget;
        let left = |of: &Option<AtomicU64>| of.as_ref().map(|left| left.load(Ordering::Relaxed));
        if left(events) == Some(0) {
            return Err(over("events", self.limits.events));
        }
        let bytes = bytes as u64;
        if left(bytes_left).is_some_and(|left| left < bytes) {
            return Err(over("bytes of events", self.limits.events_bytes));
        }
        for (left, spent) in [(events, 1), (bytes_left, bytes)] {
            if let Some(left) = left {
                left.fetch_sub(spent, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Sends the event. Waits while the guest exceeds its rate, and while too many events are
    /// pending for the disk.
    async fn send(&self, mut event: NewEvent) -> ApiResult<()> {
        if let Err(refusal) = self.spend(event.content.len()) {
            return Ok(Err(refusal));
        }
        if let Some(rate_limiter) = &self.rate_limiter {
            rate_limiter.wait(|| self.host.cancelled()).await;
            rate_limiter.record(event.content.len());
            event.time = Timestamp::now();
        }
        while let Some(refused) = self.host.send(event)? {
            event = refused;
            self.host.room().await;
        }
        Ok(Ok(()))
    }
}

impl HostApi {
    /// Sleeps. Returns false at once when the run is cancelled.
    pub(in crate::engine) async fn sleep(&self, ms: u32) -> bool {
        tokio::select! {
            // A cancelled run does not sleep, not even for 0 ms.
            biased;
            () = self.host.cancelled() => false,
            () = sleep(Duration::from_millis(ms.into())) => true,
        }
    }

    pub(in crate::engine) async fn receive_signal(
        &self,
        name: Option<String>,
        timeout_ms: Option<u32>,
    ) -> Result<Option<Signal>, RunLost> {
        let name = match name.map(|name| SignalName::parse(&name)).transpose() {
            Ok(name) => name,
            // No signal can have such a name.
            Err(_) => return Ok(None),
        };
        let time_is_over = sleep(timeout_ms.map_or(FOREVER, |ms| Duration::from_millis(ms.into())));
        tokio::pin!(time_is_over);
        loop {
            // Counted before the check, so that a signal received in between ends the wait.
            let seen = self.host.signals();
            let taken = self.host.take_signal(name.clone()).await?;
            if taken.is_some() {
                return Ok(taken);
            }
            tokio::select! {
                biased;
                () = self.host.more_signals(seen) => {}
                () = self.host.cancelled() => return Ok(None),
                () = &mut time_is_over => return Ok(None),
            }
        }
    }

    pub(in crate::engine) async fn save_checkpoint(
        &self,
        key: String,
        value: Option<Vec<u8>>,
    ) -> Result<(), Refusal> {
        check_key(&key)?;
        if let Some(value) = &value
            && value.len() > MAX_CHECKPOINT_BYTES
        {
            return Err(Refusal::too_large("the checkpoint", value.len(), MAX_CHECKPOINT_BYTES));
        }
        self.host.save_checkpoint(key, value).await
    }

    pub(in crate::engine) async fn load_checkpoint(&self, key: String) -> Result<Option<Vec<u8>>, Refusal> {
        check_key(&key)?;
        self.host.load_checkpoint(key).await
    }
}

/// Halves a text until each part, as JSON, has at most `limit` bytes, or is a single character.
fn split(text: &str, limit: usize, take: &mut impl FnMut(Json)) {
    let json = Json::of(text);
    let middle = text.floor_char_boundary(text.len() / 2);
    if json.as_str().len() <= limit || middle == 0 {
        return take(json);
    }
    let (first, second) = text.split_at(middle);
    split(first, limit, take);
    split(second, limit, take);
}

fn check_key(key: &str) -> Result<(), Refusal> {
    if (1..=MAX_NAME_BYTES).contains(&key.len()) && !key.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("a checkpoint key has 1 to {MAX_NAME_BYTES} bytes without control characters");
    Err(Refusal::new(RefusalCode::InvalidArgument, message))
}
