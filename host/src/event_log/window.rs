//! Window: the newest events of a running run, shared by its subscribers.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::Event;

/// Bytes of data in one segment. A stalled subscriber keeps one segment in memory, so this limits the cost of a stalled
/// client. With much smaller segments, fast clients would need a system call for too few events.
const SEGMENT_BYTES: usize = 32 << 10;

/// Consecutive events of one run with their encodings, made once and shared by all subscribers.
pub struct Segment {
    events: Box<[Event]>,
    /// Memory that the events occupy, in bytes.
    cost: usize,
    encodings: Encodings,
}

/// The encodings of a segment, as a list that only grows. Most segments have one.
#[derive(Default)]
struct Encodings {
    id: OnceLock<usize>,
    encoded: OnceLock<Encoded>,
    next: OnceLock<Box<Encodings>>,
}

impl Encodings {
    /// The entry of the encoding `id`, added if there is none yet.
    fn entry(&self, id: usize) -> &OnceLock<Encoded> {
        let mut encodings = self;
        while *encodings.id.get_or_init(|| id) != id {
            encodings = encodings.next.get_or_init(Box::default);
        }
        &encodings.encoded
    }
}

/// The events of a segment in some format, one after the other.
pub struct Encoded {
    /// All events.
    pub bytes: Bytes,
    /// Where each event ends in `bytes`.
    pub ends: Box<[u32]>,
    /// `bytes`, compressed.
    compressed: OnceLock<Bytes>,
}

impl Encoded {
    /// Encoded events, and where each ends.
    pub fn new(bytes: Bytes, ends: Box<[u32]>) -> Self {
        Self { bytes, ends, compressed: OnceLock::new() }
    }

    /// All events compressed, by `compress` at the first call.
    pub fn compressed(&self, compress: impl FnOnce(&[u8]) -> Bytes) -> &Bytes {
        self.compressed.get_or_init(|| compress(&self.bytes))
    }
}

impl Segment {
    /// A segment of at least one event, with consecutive numbers.
    pub(super) fn new(events: Vec<Event>) -> Arc<Self> {
        debug_assert!(!events.is_empty());
        // Computed once: every subscriber needs it, and summing up again would be most of its work.
        let cost = events.iter().map(|event| event.what.cost()).sum();
        Arc::new(Self { events: events.into_boxed_slice(), cost, encodings: Encodings::default() })
    }

    /// The events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The number of the first event.
    pub fn first_seq(&self) -> u64 {
        self.events[0].seq
    }

    /// The number of the last event.
    pub fn last_seq(&self) -> u64 {
        self.events[self.events.len() - 1].seq
    }

    /// The encoding with this id, made by `encode` on the first call.
    pub fn encoded(&self, encoding: usize, encode: impl FnOnce(&[Event]) -> Encoded) -> &Encoded {
        self.encodings.entry(encoding).get_or_init(|| encode(&self.events))
    }

    /// Whether it has the terminal event.
    pub(super) fn is_end(&self) -> bool {
        self.events.last().is_some_and(Event::is_terminal)
    }

    /// Memory that its events occupy, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }
}

/// Result of reading the window at a position.
pub(super) enum Found {
    /// Segments with the events after the position. The first segment may begin before it.
    Events(Vec<Arc<Segment>>),
    /// No new events.
    CaughtUp,
    /// The position is older than the window: the next events are in storage.
    Behind {
        /// The number of the first event in the window.
        first: u64,
    },
    /// The run has ended at the position, or this host no longer executes it: read from storage.
    Closed,
}

/// A bounded list of segments up to the newest event.
pub(super) struct Window {
    inner: Mutex<Inner>,
    /// Notified after every change.
    changed: Notify,
}

struct Inner {
    segments: VecDeque<Arc<Segment>>,
    /// Bytes of events in `segments`, without their encodings: those are at most as much for each encoding, in practice as
    /// much again.
    bytes: usize,
    /// The number of the newest event.
    head: u64,
    closed: bool,
}

impl Window {
    /// An empty window after event `head`.
    pub(super) fn new(head: u64) -> Self {
        let inner = Inner { segments: VecDeque::new(), bytes: 0, head, closed: false };
        Self { inner: Mutex::new(inner), changed: Notify::new() }
    }

    /// Begins an empty window after event `head`. Wakes all subscribers.
    pub(super) fn begin_after(&self, head: u64) {
        let mut inner = self.inner.lock();
        debug_assert!(inner.segments.is_empty());
        inner.head = head;
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Adds events after the newest one, and drops the oldest beyond `max_bytes`. Wakes all subscribers.
    pub(super) fn publish(&self, events: Vec<Event>, max_bytes: usize) {
        let mut inner = self.inner.lock();
        for segment in segments(events) {
            debug_assert_eq!(segment.first_seq(), inner.head + 1);
            inner.head = segment.last_seq();
            inner.bytes += segment.cost();
            inner.segments.push_back(segment);
        }
        while inner.bytes > max_bytes {
            let Some(oldest) = inner.segments.pop_front() else { break };
            inner.bytes -= oldest.cost();
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Closes the window. Wakes all subscribers.
    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.changed.notify_waiters();
    }

    pub(super) fn head(&self) -> u64 {
        self.inner.lock().head
    }

    /// A future that is ready at the next change after it was enabled.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// Whole segments after `after`, about `limit` bytes of them.
    pub(super) fn read(&self, after: u64, limit: usize) -> Found {
        let inner = self.inner.lock();
        if after >= inner.head {
            return if inner.closed { Found::Closed } else { Found::CaughtUp };
        }
        let from = inner.segments.partition_point(|segment| segment.last_seq() <= after);
        match inner.segments.get(from) {
            Some(first) if first.first_seq() <= after + 1 => {}
            oldest => {
                let first = oldest.map_or(inner.head + 1, |segment| segment.first_seq());
                return Found::Behind { first };
            }
        }
        let mut bytes = 0;
        let mut found = Vec::new();
        for segment in inner.segments.range(from..) {
            if bytes >= limit {
                break;
            }
            bytes += segment.cost();
            found.push(Arc::clone(segment));
        }
        Found::Events(found)
    }
}

/// Splits events into segments of about [`SEGMENT_BYTES`], and wherever numbers are missing.
pub(super) fn segments(events: Vec<Event>) -> impl Iterator<Item = Arc<Segment>> {
    let mut events = events.into_iter().peekable();
    std::iter::from_fn(move || {
        events.peek()?;
        let mut bytes = 0;
        let mut segment = Vec::new();
        let mut next = None;
        while bytes < SEGMENT_BYTES
            && let Some(event) = events.next_if(|event| next.is_none_or(|next| event.seq == next))
        {
            next = Some(event.seq + 1);
            bytes += event.what.cost();
            segment.push(event);
        }
        Some(Segment::new(segment))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NewEvent;

    fn events(seqs: std::ops::RangeInclusive<u64>) -> Vec<Event> {
        seqs.map(|seq| Event { seq, attempt: 1, what: NewEvent::of_host("test", &seq) }).collect()
    }

    fn found(window: &Window, after: u64) -> Vec<u64> {
        match window.read(after, usize::MAX) {
            Found::Events(segments) => {
                segments.iter().flat_map(|s| s.events()).map(|event| event.seq).collect()
            }
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_position_finds_all_that_follows_in_whole_segments() {
        let window = Window::new(0);
        window.publish(events(1..=3), usize::MAX);
        window.publish(events(4..=5), usize::MAX);
        assert_eq!(found(&window, 0), [1, 2, 3, 4, 5]);
        assert_eq!(found(&window, 2), [1, 2, 3, 4, 5]);
        assert_eq!(found(&window, 3), [4, 5]);
        assert!(matches!(window.read(5, usize::MAX), Found::CaughtUp));
        assert!(matches!(window.read(99, usize::MAX), Found::CaughtUp));
    }

    #[test]
    fn events_that_no_longer_fit_are_read_from_storage() {
        let window = Window::new(0);
        window.publish(events(1..=1000), 1);
        assert!(matches!(window.read(0, usize::MAX), Found::Behind { first: 1001 }));
        assert!(matches!(window.read(999, usize::MAX), Found::Behind { first: 1001 }));
        assert!(matches!(window.read(1000, usize::MAX), Found::CaughtUp));
        window.publish(events(1001..=1001), usize::MAX);
        assert!(matches!(window.read(999, usize::MAX), Found::Behind { first: 1001 }));
        assert_eq!(found(&window, 1000), [1001]);
    }

    #[test]
    fn a_closed_window_still_serves_what_it_has() {
        let window = Window::new(7);
        window.publish(events(8..=9), usize::MAX);
        window.close();
        assert_eq!(found(&window, 7), [8, 9]);
        assert!(matches!(window.read(9, usize::MAX), Found::Closed));
    }

    #[test]
    fn each_encoding_of_a_segment_is_made_once() {
        let segment = Segment::new(events(1..=1));
        let encoded = |id: usize, text: &'static str| {
            segment
                .encoded(id, |_| Encoded::new(Bytes::from_static(text.as_bytes()), Box::default()))
                .bytes
                .clone()
        };
        for (id, text) in [(7, "seven"), (0, "zero"), (30, "thirty")] {
            assert_eq!(encoded(id, text), text);
        }
        for (id, text) in [(0, "zero"), (30, "thirty"), (7, "seven")] {
            assert_eq!(encoded(id, "again"), text);
        }
    }

    #[test]
    fn segments_are_bounded_and_lose_nothing() {
        let all: Vec<_> = segments(events(1..=2000)).collect();
        assert!(all.len() > 1);
        let seqs: Vec<u64> = all.iter().flat_map(|s| s.events()).map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=2000).collect::<Vec<_>>());
        let holed = events(1..=3).into_iter().chain(events(7..=8));
        let firsts: Vec<u64> = segments(holed.collect()).map(|segment| segment.first_seq()).collect();
        assert_eq!(firsts, [1, 7]);
    }
}
