//! What a guest can ask of the host, in the host's own words: every argument is
//! checked here. There are two ways to it, the contract (`imports`) and the protocol
//! of ordinary programs (`command`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::gate::Gate;
use super::grants::Mask;
use super::guest::{GuestHost, RunLost};
use super::pace::Pace;
use super::run::Limits;
use crate::model::{
    Channel, Content, ContentType, EventType, Json, MAX_NAME_BYTES, NewEvent, Refusal, RefusalCode, Signal,
    SignalName, Timestamp,
};

/// Largest checkpoint in bytes; larger state belongs into a file.
const MAX_CHECKPOINT_BYTES: usize = 1 << 20;
/// Longer than anything waits.
pub(super) const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// One attempt's way to the host. Clones share its limits.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) host: Arc<dyn GuestHost>,
    pub(super) limits: Limits,
    pub(super) gate: Arc<Gate>,
    /// Hides the task's secrets; none without any.
    pub(super) mask: Option<Mask>,
    /// Kept together with what it prints; none without a rate.
    pub(super) pace: Option<Arc<Pace>>,
    budget: Arc<Budget>,
    /// When the attempt must be over, if it is never held.
    deadline: Option<Instant>,
}

/// What is left of the events and their data; none without a limit. One guest makes
/// one call at a time, so nothing happens between a look and a change.
struct Budget {
    events: Option<AtomicU64>,
    bytes: Option<AtomicU64>,
}

/// Why a call has no answer for the guest: the refusal is the answer, and without the
/// run there is nobody to answer.
pub(super) type Answer<T> = Result<Result<T, Refusal>, RunLost>;

impl Calls {
    pub(super) fn new(
        host: Arc<dyn GuestHost>,
        limits: Limits,
        gate: Arc<Gate>,
        mask: Option<Mask>,
        pace: Option<Arc<Pace>>,
    ) -> Self {
        let budget = Budget {
            events: limits.events.map(AtomicU64::new),
            bytes: limits.events_bytes.map(AtomicU64::new),
        };
        let deadline = limits.deadline.map(deadline_in);
        Self { host, limits, gate, mask, pace, budget: Arc::new(budget), deadline }
    }

    /// When the attempt must be over, as things are. Moves on while it is held.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.map(|deadline| deadline + self.gate.closed_for())
    }

    pub(super) fn remaining_ms(&self) -> Option<u32> {
        let left = self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        left.map(|left| u32::try_from(left.as_millis()).unwrap_or(u32::MAX))
    }
}

/// Beyond about 30 years tokio's clock ends; nobody waits that long.
fn deadline_in(time: Duration) -> Instant {
    Instant::now() + time.min(Duration::from_secs(30 * 365 * 24 * 60 * 60))
}

// The hot path begins here.
impl Calls {
    pub(super) async fn send_event(
        &self,
        channel: Option<String>,
        event_type: String,
        data: String,
    ) -> Answer<()> {
        match self.json_event(channel, event_type, data) {
            Ok(event) => self.send(event).await,
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    pub(super) async fn send_bytes(
        &self,
        channel: Option<String>,
        event_type: String,
        content_type: String,
        data: Vec<u8>,
    ) -> Answer<()> {
        match self.bytes_event(channel, event_type, content_type, data) {
            Ok(event) => self.send(event).await,
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// An event of a guest, if it obeys the rules.
    pub(super) fn json_event(
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

    /// The same, of bytes.
    pub(super) fn bytes_event(
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

    /// What an ordinary program printed, as `output` events: several, if one would be too large.
    pub(super) fn output_events(&self, text: String, mut take: impl FnMut(Result<NewEvent, Refusal>)) {
        // Before it is cut: half a secret is not found any more.
        let text = self.masked(text);
        cut(&text, self.limits.event_bytes, &mut |data| {
            let checked = self.check_size(data.as_str().len());
            take(checked.map(|()| self.event(EventType::trusted("output"), None, Content::Json(data))));
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

    /// Without secrets; the same for a task that has none.
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

    /// Takes one event of so many bytes off what is left to the attempt.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), Refusal> {
        let over = |what: &str, limit: Option<u64>| {
            let message = format!("the attempt may send {} {what}, and has", limit.unwrap_or_default());
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

    /// Hands the event over; waits while the guest is too fast, and while too many wait
    /// for the disk.
    async fn send(&self, mut event: NewEvent) -> Answer<()> {
        if let Err(refusal) = self.spend(event.content.len()) {
            return Ok(Err(refusal));
        }
        if let Some(pace) = &self.pace {
            pace.turn(|| self.host.cancelled()).await;
            pace.sent(event.content.len());
            event.time = Timestamp::now();
        }
        while let Some(refused) = self.host.send(event)? {
            event = refused;
            self.host.room().await;
        }
        Ok(Ok(()))
    }
}

impl Calls {
    /// False if the run is or gets cancelled.
    pub(super) async fn sleep(&self, ms: u32) -> bool {
        tokio::select! {
            // A cancelled run does not sleep, not even for 0 ms.
            biased;
            () = self.host.cancelled() => false,
            () = sleep(Duration::from_millis(ms.into())) => true,
        }
    }

    pub(super) async fn receive_signal(
        &self,
        name: Option<String>,
        timeout_ms: Option<u32>,
    ) -> Result<Option<Signal>, RunLost> {
        let name = match name.map(|name| SignalName::parse(&name)).transpose() {
            Ok(name) => name,
            // No signal has such a name, so none will ever come.
            Err(_) => return Ok(None),
        };
        let time_is_over = sleep(timeout_ms.map_or(FOREVER, |ms| Duration::from_millis(ms.into())));
        tokio::pin!(time_is_over);
        loop {
            // Counted before looking: what comes in between ends the wait.
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

    pub(super) async fn save_checkpoint(&self, key: String, value: Option<Vec<u8>>) -> Result<(), Refusal> {
        check_key(&key)?;
        if let Some(value) = &value
            && value.len() > MAX_CHECKPOINT_BYTES
        {
            return Err(Refusal::too_large("the checkpoint", value.len(), MAX_CHECKPOINT_BYTES));
        }
        self.host.save_checkpoint(key, value).await
    }

    pub(super) async fn load_checkpoint(&self, key: String) -> Result<Option<Vec<u8>>, Refusal> {
        check_key(&key)?;
        self.host.load_checkpoint(key).await
    }
}

/// Halves a text until each piece, as JSON, has at most `limit` bytes, or is a single character.
fn cut(text: &str, limit: usize, take: &mut impl FnMut(Json)) {
    let json = Json::of(text);
    let middle = text.floor_char_boundary(text.len() / 2);
    if json.as_str().len() <= limit || middle == 0 {
        return take(json);
    }
    let (first, second) = text.split_at(middle);
    cut(first, limit, take);
    cut(second, limit, take);
}

fn check_key(key: &str) -> Result<(), Refusal> {
    if (1..=MAX_NAME_BYTES).contains(&key.len()) && !key.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("a checkpoint key has 1 to {MAX_NAME_BYTES} bytes without control characters");
    Err(Refusal::new(RefusalCode::InvalidArgument, message))
}
