//! Subscriptions: read a run's log from a position on, history first, then live, without gaps or repeats.
//!
//! A subscription is a cursor: the number of the last delivered event. It may be dropped and created again at any time. The
//! crossing from history to live needs no hand-over, because both sides return the events after a number: the window if it
//! reaches back far enough, otherwise storage.

use std::sync::Arc;
use std::time::Duration;

use super::window::{Found, Segment};
use super::{Ending, EventLog, Source};
use crate::model::RunKey;
use crate::notifier::{Listener, Topic};
use crate::storage::Result;

/// Most bytes of events read at once, beyond one segment. A stalled subscriber keeps them in memory.
const READ_BYTES: usize = 64 << 10;
/// Interval at which storage is polled for a run that this host neither executes nor follows, in case a wake-up was lost.
const POLL: Duration = Duration::from_secs(1);

/// Start position of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// After the event with this number; 0 is the beginning.
    After(u64),
    /// Before this many of the newest events.
    Tail(u64),
    /// After the newest event.
    Now,
}

/// Next delivery of a subscription.
pub enum Delivery {
    /// Events of the segment from this index on.
    Events(Arc<Segment>, usize),
    /// The events of these numbers are no longer stored.
    Gap {
        /// First missing number.
        from: u64,
        /// Last missing number.
        to: u64,
    },
    /// The run was removed during the subscription. Its events from this number on are gone, and their number is unknown.
    Removed {
        /// First missing number.
        from: u64,
    },
    /// The run has ended and everything was delivered.
    End,
}

/// A subscription to a run's log.
pub struct Subscription {
    log: Arc<EventLog>,
    run: RunKey,
    /// Number of the last delivered event.
    after: u64,
    /// Where the page that was read last begins.
    page: u64,
    /// What has the newest events, once found.
    source: Option<Source>,
    /// Receives wake-ups of the run while there is no such source.
    listener: Option<Listener>,
    /// Segments that were read and not delivered yet; oldest last.
    ready: Vec<Arc<Segment>>,
    ended: bool,
    /// Whether the removal of the run is still to be delivered.
    removed: bool,
}

impl Subscription {
    pub(super) async fn new(log: Arc<EventLog>, run: RunKey, position: Position) -> Result<Self> {
        let after = match position {
            Position::After(seq) => seq,
            Position::Tail(count) => log.published_head(&run).await?.saturating_sub(count),
            Position::Now => log.published_head(&run).await?,
        };
        Ok(Self {
            log,
            run,
            after,
            page: 0,
            source: None,
            listener: None,
            ready: Vec::new(),
            ended: false,
            removed: false,
        })
    }

    /// The number of the last delivered event.
    pub fn position(&self) -> u64 {
        self.after
    }

    /// Waits for the next delivery. Cancel safe: the position moves only when this returns.
    pub async fn next(&mut self) -> Result<Delivery> {
        loop {
            if let Some(delivery) = self.deliver_ready() {
                return Ok(delivery);
            }
            if std::mem::take(&mut self.removed) {
                // Saturating, because a subscriber may wait for any number.
                return Ok(Delivery::Removed { from: self.after.saturating_add(1) });
            }
            if self.ended {
                return Ok(Delivery::End);
            }
            if self.source.is_none() {
                self.source = self.log.source(&self.run);
            }
            match self.source.clone() {
                Some(source) => {
                    self.listener = None;
                    self.read_window(&source).await?;
                }
                // Boxed, as below, because thousands of subscriptions wait in the other branch, and each future would
                // include this one.
                None => Box::pin(self.read_elsewhere()).await?,
            }
        }
    }

    /// The next delivery that needs no waiting.
    pub fn next_ready(&mut self) -> Option<Delivery> {
        self.deliver_ready()
    }

    fn deliver_ready(&mut self) -> Option<Delivery> {
        let first = self.ready.last()?.first_seq();
        if first > self.after + 1 {
            let from = self.after + 1;
            self.after = first - 1;
            return Some(Delivery::Gap { from, to: first - 1 });
        }
        let segment = self.ready.pop().expect("checked above");
        let from = (self.after + 1 - first) as usize;
        self.after = segment.last_seq();
        self.ended = segment.is_end();
        Some(Delivery::Events(segment, from))
    }

    /// Reads the window of the run. Waits if it has no new events.
    async fn read_window(&mut self, source: &Source) -> Result<()> {
        let window = source.window();
        let changed = window.changed();
        tokio::pin!(changed);
        // Register before the read: an event published in between wakes this subscription.
        changed.as_mut().enable();
        match window.read(self.after, READ_BYTES) {
            Found::Events(segments) => self.ready = segments.into_iter().rev().collect(),
            Found::CaughtUp => changed.await,
            Found::Behind { first } => {
                if !Box::pin(self.read_storage(first - 1)).await? {
                    // The run was removed: while it runs, no event is removed.
                    if window.is_closed() {
                        self.source = None;
                    } else {
                        changed.await;
                    }
                }
            }
            Found::Closed => self.leave(source),
        }
        Ok(())
    }

    /// Leaves a window that was closed, and read to its end.
    fn leave(&mut self, source: &Source) {
        self.source = None;
        match source.ending() {
            Some(Ending::Removed) => (self.removed, self.ended) = (true, true),
            // For a subscription that begins after the terminal event, as below.
            Some(Ending::Ended(last)) => self.ended = last <= self.after,
            None => {}
        }
    }

    /// Reads storage. Waits for a wake-up of the run if it has no new events, unless the run can be followed from here on.
    async fn read_elsewhere(&mut self) -> Result<()> {
        // Register before the read, as above.
        let run = &self.run;
        let notifier = &self.log.notifier;
        self.listener.get_or_insert_with(|| notifier.listen(Topic::Run(run.id.clone())));
        if self.read_storage(u64::MAX).await? {
            return Ok(());
        }
        if self.log.live(&self.run).is_some() {
            return Ok(());
        }
        self.source = self.log.follow(&self.run);
        if self.source.is_some() {
            return Ok(());
        }
        // Another run may have the id now.
        let run = self.log.runs.run(&self.run.id).await?.filter(|run| run.key.no == self.run.no);
        self.removed = run.is_none();
        // For a subscription that begins after the terminal event; otherwise the event itself ends it.
        self.ended = run.is_none_or(|run| run.last_seq.is_some_and(|last| last <= self.after));
        if self.ended {
            return Ok(());
        }
        let listener = self.listener.as_ref().expect("inserted above");
        let _ = tokio::time::timeout(POLL, listener.heard()).await;
        Ok(())
    }

    /// Reads from a page. Returns whether there were events. Later pages may be read ahead if they end at `ahead_to` at most.
    async fn read_storage(&mut self, ahead_to: u64) -> Result<bool> {
        let Self { log, run, after, page, .. } = self;
        let mut page = log.pages().read(run.no, *after, page, ahead_to).await?;
        // The rest is read again later: pages larger than this are cached.
        let mut bytes = 0;
        let taken = page.iter().take_while(|segment| {
            let has_room = bytes < READ_BYTES;
            bytes += segment.cost();
            has_room
        });
        page.truncate(taken.count());
        page.reverse();
        self.ready = page;
        Ok(!self.ready.is_empty())
    }
}
