//! The event log of a running attempt: its outbox towards storage, and its window.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Shared;
use super::window::Window;
use crate::model::{Event, Fence, NewEvent, RunKey};
use crate::notifier::{Notifier, Topic};
use crate::storage::{Batch, Claimed, Log, Outbox, Result, StorageError};

/// Most events in an outbox. Enough to fill a commit while the previous one is flushed; a guest that is ahead by more waits.
const OUTBOX_EVENTS: usize = 2048;
/// Most bytes in an outbox.
const OUTBOX_BYTES: usize = 1 << 20;
/// Bytes of data that take about as long to write as an event itself.
const EVENT_WEIGHT: usize = 2 << 10;
/// Most weight in all outboxes together. A cancel, a pause or a start may have to wait behind it: about 10 ms of writing.
const OUTBOX_WEIGHT_IN_ALL: usize = 8 << 20;
/// Weight that each outbox may hold however full the others are, besides one event. So floods don't delay a run that sends
/// little.
const OUTBOX_WEIGHT_OF_EACH: usize = 64 << 10;

/// The event log of a running attempt, on the host that executes it.
pub struct RunLog {
    run: RunKey,
    fence: Fence,
    attempt: u32,
    storage: Arc<dyn Log>,
    notifier: Arc<dyn Notifier>,
    shared: Arc<Shared>,
    outbox: Mutex<PendingEvents>,
    /// Notified when the writer has taken the pending events.
    taken: Notify,
    /// Notified when taken events are durable or rejected.
    settled: Notify,
    window: Window,
}

/// Events that wait for the writer. The lock is held for a push or a swap, never across a call.
#[derive(Default)]
struct PendingEvents {
    events: Vec<NewEvent>,
    bytes: usize,
    /// Numbers of the messages that these events note.
    heard: Vec<i64>,
    /// Whether the events are announced to storage. One announcement covers all events until they are taken.
    announced: bool,
    /// Number of events sent, and of those that are durable.
    sent: u64,
    durable: u64,
    /// Set when no more events can be sent.
    lost: Option<StorageError>,
}

impl PendingEvents {
    /// Whether an event fits, given the weight of all outboxes together. An empty outbox accepts any event.
    fn has_room(&self, cost: usize, weight_in_all: usize) -> bool {
        let weight = weight(1, cost);
        self.events.is_empty()
            || (self.events.len() < OUTBOX_EVENTS
                && self.bytes + cost <= OUTBOX_BYTES
                && (self.weight() + weight <= OUTBOX_WEIGHT_OF_EACH
                    || weight_in_all + weight <= OUTBOX_WEIGHT_IN_ALL))
    }

    fn weight(&self) -> usize {
        weight(self.events.len(), self.bytes)
    }

    /// Takes all events, with their weight.
    fn empty(&mut self) -> (Vec<NewEvent>, usize) {
        let weight = self.weight();
        self.bytes = 0;
        (std::mem::take(&mut self.events), weight)
    }
}

/// Weight of events: their cost for the writer.
fn weight(events: usize, bytes: usize) -> usize {
    events * EVENT_WEIGHT + bytes
}

impl RunLog {
    pub(super) fn new(
        claimed: &Claimed,
        storage: Arc<dyn Log>,
        notifier: Arc<dyn Notifier>,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        shared.add_window();
        let window = Window::new(claimed.last_seq - claimed.events.len() as u64);
        let log = Self {
            run: claimed.run.key.clone(),
            fence: claimed.fence,
            attempt: claimed.run.attempt,
            storage,
            notifier,
            shared,
            outbox: Mutex::default(),
            taken: Notify::new(),
            settled: Notify::new(),
            window,
        };
        if !claimed.events.is_empty() {
            log.publish(claimed.events.clone());
        }
        Arc::new(log)
    }

    /// The run.
    pub fn run(&self) -> &RunKey {
        &self.run
    }

    /// The right to write to the run.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Queues an event, or returns it if the outbox is full. Retry after [`room`](Self::room).
    ///
    /// This is the hot path: one lock, one push, and for the first event of a
    /// group one message to the writer.
    pub fn send(self: &Arc<Self>, event: NewEvent) -> Result<Option<NewEvent>> {
        self.queue(event, None)
    }

    /// Queues an event, and the number of the message that it notes.
    fn queue(self: &Arc<Self>, event: NewEvent, heard: Option<i64>) -> Result<Option<NewEvent>> {
        let cost = event.cost();
        let mut outbox = self.outbox.lock();
        if let Some(lost) = &outbox.lost {
            return Err(lost.clone());
        }
        if !outbox.has_room(cost, self.shared.waiting.load(Ordering::Relaxed)) {
            return Ok(Some(event));
        }
        outbox.events.push(event);
        outbox.heard.extend(heard);
        outbox.bytes += cost;
        outbox.sent += 1;
        let announce = !std::mem::replace(&mut outbox.announced, true);
        // Under the lock, so that it happens before the writer takes the event and subtracts its weight.
        self.shared.waiting.fetch_add(weight(1, cost), Ordering::Relaxed);
        drop(outbox);
        if announce {
            self.storage.append(Arc::clone(self) as Arc<dyn Outbox>);
        }
        Ok(None)
    }

    /// Waits until the writer has taken the pending events.
    pub async fn room(&self) {
        let taken = self.taken.notified();
        tokio::pin!(taken);
        // Register before the check: the writer may take them in between.
        taken.as_mut().enable();
        let waits = {
            let outbox = self.outbox.lock();
            !outbox.events.is_empty() && outbox.lost.is_none()
        };
        if waits {
            taken.await;
        }
    }

    /// Queues an event, waiting while the outbox is full.
    pub async fn send_when_room(self: &Arc<Self>, event: NewEvent) -> Result<()> {
        self.queue_when_room(event, None).await
    }

    /// Queues the event that notes a message to the run, waiting while the outbox is full. Storage forgets the message with
    /// the commit of the event. A message without an event is forgotten with the next commit.
    pub async fn note(self: &Arc<Self>, event: Option<NewEvent>, message: i64) -> Result<()> {
        match event {
            Some(event) => self.queue_when_room(event, Some(message)).await,
            None => self.hear(message),
        }
    }

    async fn queue_when_room(self: &Arc<Self>, mut event: NewEvent, heard: Option<i64>) -> Result<()> {
        while let Some(refused) = self.queue(event, heard)? {
            event = refused;
            self.room().await;
        }
        Ok(())
    }

    /// Queues the number of a message that has no event.
    fn hear(self: &Arc<Self>, message: i64) -> Result<()> {
        let mut outbox = self.outbox.lock();
        if let Some(lost) = &outbox.lost {
            return Err(lost.clone());
        }
        outbox.heard.push(message);
        let announce = !std::mem::replace(&mut outbox.announced, true);
        drop(outbox);
        if announce {
            self.storage.append(Arc::clone(self) as Arc<dyn Outbox>);
        }
        Ok(())
    }

    /// Waits until all events that were sent before are durable.
    pub async fn flush(&self) -> Result<()> {
        let sent = self.outbox.lock().sent;
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            {
                let outbox = self.outbox.lock();
                if outbox.durable >= sent {
                    return Ok(());
                }
                if let Some(lost) = &outbox.lost {
                    return Err(lost.clone());
                }
            }
            settled.await;
        }
    }

    /// The newest durable events. Closed when this host no longer executes the run.
    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// Publishes the terminal event, which storage has committed after all others, and what was noted right before it.
    pub(super) fn publish_last(&self, events: Vec<Event>) {
        self.publish(events);
    }

    /// Rejects further events, and closes the window.
    pub(super) fn detach(&self) {
        self.outbox.lock().lost.get_or_insert(StorageError::Fenced);
        self.window.close();
        self.taken.notify_waiters();
        self.settled.notify_waiters();
    }

    fn publish(&self, events: Vec<Event>) {
        self.window.publish(events, self.shared.window_bytes());
    }
}

impl Outbox for RunLog {
    fn run(&self) -> i64 {
        self.run.no
    }

    fn take(&self) -> Option<Batch> {
        let mut outbox = self.outbox.lock();
        outbox.announced = false;
        let (events, weight) = outbox.empty();
        let heard = std::mem::take(&mut outbox.heard);
        drop(outbox);
        self.shared.waiting.fetch_sub(weight, Ordering::Relaxed);
        self.taken.notify_waiters();
        if events.is_empty() && heard.is_empty() {
            return None;
        }
        Some(Batch { run: self.run.no, fence: self.fence, attempt: self.attempt, events, heard })
    }

    fn done(&self, result: Result<Vec<Event>>) {
        let count = match &result {
            Ok(events) => events.len() as u64,
            Err(_) => 0,
        };
        let result = result.map(|events| {
            if !events.is_empty() {
                self.publish(events);
                if self.notifier.reaches_others() {
                    self.notifier.notify(&Topic::Run(self.run.id.clone()));
                }
            }
        });
        {
            let mut outbox = self.outbox.lock();
            outbox.durable += count;
            if let Err(error) = result {
                outbox.lost = Some(error);
                self.shared.waiting.fetch_sub(outbox.empty().1, Ordering::Relaxed);
            }
        }
        self.settled.notify_waiters();
        self.taken.notify_waiters();
    }
}

impl Drop for RunLog {
    fn drop(&mut self) {
        self.shared.remove_window();
        self.shared.waiting.fetch_sub(self.outbox.lock().weight(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Content, EventType, Json, Timestamp};

    /// How many events of that size fit into one outbox.
    fn room(bytes: usize, weight_in_others: usize) -> usize {
        let event = NewEvent {
            event_type: EventType::of_guest("e".to_owned()).unwrap(),
            channel: None,
            content: Content::Json(Json::of(&"1".repeat(bytes.saturating_sub(2)))),
            time: Timestamp::from_millis(0),
        };
        let mut waiting = PendingEvents::default();
        while waiting.has_room(event.cost(), weight_in_others + waiting.weight()) {
            waiting.events.push(event.clone());
            waiting.bytes += event.cost();
        }
        waiting.events.len()
    }

    #[test]
    fn one_run_may_fill_a_commit_and_no_more() {
        assert_eq!(room(10, 0), OUTBOX_EVENTS);
        assert_eq!(room(100_000, 0), OUTBOX_BYTES / 100_128);
        assert_eq!(room(2 * OUTBOX_BYTES, 0), 1);
    }

    #[test]
    fn with_any_number_of_floods_other_runs_can_send_and_the_backlog_is_bounded() {
        let share = OUTBOX_WEIGHT_OF_EACH / weight(1, 228);
        let (mut in_all, mut runs) = (0, 0);
        while room(100, in_all) > share {
            in_all += weight(1, 228) * room(100, in_all);
            runs += 1;
        }
        assert_eq!(runs, 2, "they have filled the shared weight");
        assert!(in_all <= OUTBOX_WEIGHT_IN_ALL);
        assert_eq!((room(100, in_all), room(100, 10 * in_all)), (share, share));
        assert!(share > 20);
        assert_eq!(room(OUTBOX_BYTES, in_all), 1);
    }
}
