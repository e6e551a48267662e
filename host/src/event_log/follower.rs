//! A run that another host executes, as its subscribers on this host see it.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use super::Shared;
use super::window::Window;
use crate::model::{Event, RunKey};

/// The newest events of a run that does not execute on this host, for all its subscribers here: what the log of the run is
/// on the host that executes it. Subscribers own it; the task that reads for all followers fills it.
pub(super) struct Follower {
    run: RunKey,
    window: Window,
    /// Set when the window has its first position. Until then it is empty at 0, so subscribers wait wherever they are.
    started: OnceLock<()>,
    ending: OnceLock<Ending>,
    /// Notified when the last subscriber is gone.
    dropped: Arc<Notify>,
    shared: Arc<Shared>,
}

/// Why a follower was closed without the terminal event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The run has ended with the event of this number.
    Ended(u64),
    /// The run does not exist any more.
    Removed,
}

impl Follower {
    pub(super) fn new(run: RunKey, shared: Arc<Shared>) -> Self {
        shared.add_window();
        let (started, ending, dropped) = Default::default();
        Self { run, window: Window::new(0), started, ending, dropped, shared }
    }

    pub(super) fn run(&self) -> &RunKey {
        &self.run
    }

    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    pub(super) fn dropped(&self) -> Arc<Notify> {
        Arc::clone(&self.dropped)
    }

    /// The number of the newest published event, once it is known.
    pub(super) fn head(&self) -> Option<u64> {
        self.started.get().map(|()| self.window.head())
    }

    /// Begins the window after event `head`, at the first call.
    pub(super) fn start(&self, head: u64) {
        self.started.get_or_init(|| self.window.begin_after(head));
    }

    /// Publishes the events after the head that storage has, without those that were published before. Closes the follower
    /// after the terminal event, and where events are missing, for which a window has no place.
    pub(super) fn publish(&self, mut events: Vec<Event>) {
        let head = self.window.head();
        events.retain(|event| event.seq > head);
        let Some(last) = events.last() else { return };
        let is_whole = events.iter().zip(head + 1..).all(|(event, seq)| event.seq == seq);
        let is_end = last.is_terminal();
        if is_whole {
            self.window.publish(events, self.shared.window_bytes());
        }
        if is_end || !is_whole {
            self.close(None);
        }
    }

    /// Closes it. Subscribers continue from storage, or from the log of the run if it executes here now.
    pub(super) fn close(&self, ending: Option<Ending>) {
        if let Some(ending) = ending {
            self.ending.get_or_init(|| ending);
        }
        self.window.close();
    }

    /// Why it was closed, unless its subscribers find out by reading on.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending.get().copied()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.remove_window();
        self.dropped.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::Found;
    use super::*;
    use crate::model::{EventType, NewEvent, RunId, RunStatus};

    fn follower() -> Follower {
        Follower::new(RunKey { no: 1, id: RunId::new() }, Arc::default())
    }

    fn events(seqs: impl IntoIterator<Item = u64>) -> Vec<Event> {
        let event = |seq| Event { seq, attempt: 1, what: NewEvent::of_host("test", &seq) };
        seqs.into_iter().map(event).collect()
    }

    fn found(follower: &Follower, after: u64) -> Vec<u64> {
        match follower.window().read(after, usize::MAX) {
            Found::Events(found) => found.iter().flat_map(|s| s.events()).map(|event| event.seq).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn subscribers_wait_wherever_they_are_until_the_head_is_known() {
        let follower = follower();
        for after in [0, 7, u64::MAX] {
            assert!(matches!(follower.window().read(after, usize::MAX), Found::CaughtUp));
        }
        assert_eq!(follower.head(), None);
        follower.start(7);
        follower.start(3);
        assert_eq!(follower.head(), Some(7));
        assert!(matches!(follower.window().read(0, usize::MAX), Found::Behind { first: 8 }));
        assert!(matches!(follower.window().read(7, usize::MAX), Found::CaughtUp));
        assert!(matches!(follower.window().read(9, usize::MAX), Found::CaughtUp), "it waits for event 10");
    }

    #[test]
    fn events_that_were_read_twice_are_published_once() {
        let follower = follower();
        follower.start(7);
        for read in [8..=9, 8..=9, 9..=11] {
            follower.publish(events(read));
        }
        assert!(!follower.window().is_closed());
        assert_eq!((found(&follower, 7), follower.head()), (vec![8, 9, 10, 11], Some(11)));
    }

    #[test]
    fn a_gap_closes_the_window_with_what_it_has() {
        for late in [events(11..=12), events([10, 12])] {
            let follower = follower();
            follower.start(7);
            follower.publish(events(8..=9));
            follower.publish(late);
            assert_eq!(found(&follower, 7), [8, 9]);
            assert!(matches!(follower.window().read(9, usize::MAX), Found::Closed));
            assert_eq!(follower.ending(), None);
        }
    }

    #[test]
    fn the_terminal_event_closes_the_window_after_it() {
        let follower = follower();
        follower.start(7);
        let mut last = events(8..=8);
        last[0].what.event_type = EventType::terminal(RunStatus::Completed);
        follower.publish(last);
        assert_eq!(found(&follower, 7), [8]);
        assert!(matches!(follower.window().read(8, usize::MAX), Found::Closed));
    }
}
