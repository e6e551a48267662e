//! Reading a run's log from a position on: history, then live, without a gap
//! and without a repeat.
//!
//! A subscription is a number: the last event it has delivered. It may be
//! dropped and made again at any moment. The crossing from history to live needs
//! no hand-over, because both sides are asked for "what follows this number":
//! the window if it reaches back far enough, storage otherwise.

use std::sync::Arc;
use std::time::Duration;

use super::window::{Found, Segment};
use super::{EventLog, RunLog};
use crate::model::RunKey;
use crate::notifier::{Listener, Topic};
use crate::storage::Result;

/// Most bytes of events taken at once, beyond one segment: a reader that stalls keeps them.
const READ_BYTES: usize = 64 << 10;
/// How often storage is asked about a run that this host does not execute, in
/// case a wake-up was lost.
const POLL: Duration = Duration::from_secs(1);

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// After this number; 0 is the beginning.
    After(u64),
    /// With the newest events, so many of them.
    Tail(u64),
    /// With what comes from now on.
    Now,
}

/// What a subscription delivers next.
pub enum Delivery {
    /// Events of the segment, from this index on.
    Events(Arc<Segment>, usize),
    /// The events of these numbers are no longer stored.
    Gap {
        /// First missing number.
        from: u64,
        /// Last missing number.
        to: u64,
    },
    /// The run was removed while it was read. What it said from this number on is
    /// gone, and nobody knows any more how much that was.
    Removed {
        /// First missing number.
        from: u64,
    },
    /// The run has ended and everything was delivered.
    End,
}

/// One reader of one run's log.
pub struct Subscription {
    log: Arc<EventLog>,
    run: RunKey,
    /// The last event delivered.
    after: u64,
    /// The log of the run under way, once found.
    live: Option<Arc<RunLog>>,
    /// Hears when the run moves, while it is not under way here.
    listener: Option<Listener>,
    /// Read, and not yet delivered; oldest last.
    ready: Vec<Arc<Segment>>,
    ended: bool,
    /// It is still to be told that the run was removed.
    removed: bool,
}

impl Subscription {
    pub(super) async fn new(log: Arc<EventLog>, run: RunKey, position: Position) -> Result<Self> {
        let after = match position {
            Position::After(seq) => seq,
            Position::Tail(count) => log.head(&run).await?.saturating_sub(count),
            Position::Now => log.head(&run).await?,
        };
        Ok(Self {
            log,
            run,
            after,
            live: None,
            listener: None,
            ready: Vec::new(),
            ended: false,
            removed: false,
        })
    }

    /// The last event delivered.
    pub fn position(&self) -> u64 {
        self.after
    }

    /// Waits for what comes next. May be dropped while it waits and called
    /// again: nothing is lost, the position moves only when it returns.
    pub async fn next(&mut self) -> Result<Delivery> {
        loop {
            if let Some(delivery) = self.deliver_ready() {
                return Ok(delivery);
            }
            if std::mem::take(&mut self.removed) {
                // A reader may wait for any number there is.
                return Ok(Delivery::Removed { from: self.after.saturating_add(1) });
            }
            if self.ended {
                return Ok(Delivery::End);
            }
            if self.live.is_none() {
                self.live = self.log.live(&self.run);
            }
            match self.live.clone() {
                Some(live) => {
                    self.listener = None;
                    self.read_window(&live).await?;
                }
                // Boxed, as below, because thousands wait in the other branch and would keep room for this one.
                None => Box::pin(self.read_elsewhere()).await?,
            }
        }
    }

    /// What has been read already and can be had without waiting.
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
        let segment = self.ready.pop().expect("just looked at");
        let from = (self.after + 1 - first) as usize;
        self.after = segment.last_seq();
        self.ended = segment.events().last().is_some_and(|event| event.is_terminal());
        Some(Delivery::Events(segment, from))
    }

    /// Reads the window of the run under way; waits if it has nothing yet.
    async fn read_window(&mut self, live: &RunLog) -> Result<()> {
        let changed = live.changed();
        tokio::pin!(changed);
        // Listen before looking: what is published in between wakes us.
        changed.as_mut().enable();
        match live.read(self.after, READ_BYTES) {
            Found::Events(segments) => self.ready = segments.into_iter().rev().collect(),
            Found::CaughtUp => changed.await,
            Found::Behind => {
                if !Box::pin(self.read_storage()).await? {
                    // The run has been removed, for one that is under way has all its events.
                    if live.is_closed() {
                        self.live = None;
                    } else {
                        changed.await;
                    }
                }
            }
            Found::Closed => self.live = None,
        }
        Ok(())
    }

    /// Reads storage; if it has nothing new, waits until the run moves.
    async fn read_elsewhere(&mut self) -> Result<()> {
        // Listen before looking, as above.
        let run = &self.run;
        let notifier = &self.log.notifier;
        self.listener.get_or_insert_with(|| notifier.listen(Topic::Run(run.id.clone())));
        if self.read_storage().await? {
            return Ok(());
        }
        if self.log.live(&self.run).is_some() {
            return Ok(());
        }
        // Another run may have the id by now.
        let run = self.log.storage.run(&self.run.id).await?.filter(|run| run.key.no == self.run.no);
        self.removed = run.is_none();
        // The terminal event itself tells who reads it; this is for who begins behind it.
        self.ended = run.is_none_or(|run| run.last_seq.is_some_and(|last| last <= self.after));
        if self.ended {
            return Ok(());
        }
        let listener = self.listener.as_ref().expect("inserted above");
        let _ = tokio::time::timeout(POLL, listener.heard()).await;
        Ok(())
    }

    /// Reads from a page; says whether there was anything.
    async fn read_storage(&mut self) -> Result<bool> {
        let mut page = self.log.pages.read(self.run.no, self.after).await?;
        // The rest is asked for again: pages of more than this are kept for all.
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
