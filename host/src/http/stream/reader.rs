use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;

use super::MAX_COALESCED_SEGMENTS;
use super::coalesce::coalesce;
use super::options::{Filter, Options};
use crate::event_log::{Delivery, Position, Segment, Subscription};
use crate::http::Api;
use crate::http::body::Broken;
use crate::http::coding::{self, Stream as Coded};
use crate::http::format::{Format, Names, Notice};
use crate::http::live_stream::{LiveStream, Source};
use crate::http::pieces::PIECE_BYTES;
use crate::http::presence::Registration;
use crate::http::problem::Problem;
use crate::model::{Event, Run, RunStatus};

/// The content of one subscriber's stream. Of the log it owns only a position.
pub(in crate::http) struct Reader {
    subscription: Subscription,
    names: Names,
    format: Format,
    filter: Filter,
    heartbeat: Option<Duration>,
    /// The last event to send. `None` to send all new events.
    until: Option<u64>,
    /// The notice that precedes all events.
    opening: Option<Notice>,
    /// Time for which deliveries are coalesced, and those that wait for its end.
    interval: Option<Duration>,
    pending: Vec<Delivery>,
    coded: Coded,
    /// Whether bytes to send must not split lines.
    whole_lines: bool,
    /// Bytes to send next.
    out: Batch,
    ended: bool,
    /// The reason why a raw body is incomplete. It has to break off, because it cannot contain a notice.
    incomplete: Option<&'static str>,
    registration: Registration,
}

impl Reader {
    pub(in crate::http) async fn open(api: &Api, run: &Run, options: Options) -> Result<Self, Problem> {
        let head = match run.last_seq {
            Some(last) => last,
            None if options.live => api.log.published_head(&run.key).await?,
            // It ends there, so it must not be behind.
            None => api.log.head(&run.key).await?,
        };
        let mut resolved = options.start.resolve(head);
        if resolved.is_err() && run.last_seq.is_none() {
            // A client that comes from the host of the run may have events that have not arrived here yet.
            resolved = options.start.resolve(api.log.head(&run.key).await?);
        }
        let (position, opening) = match resolved {
            Ok(position) => (position, None),
            Err(requested) => (Position::After(0), Some(Notice::UnknownPosition { requested })),
        };
        let subscription = api.log.subscribe(run.key.clone(), position).await?;
        let start = subscription.position();
        Ok(Self {
            subscription,
            names: Names::of(run),
            format: options.format,
            filter: options.filter,
            heartbeat: options.heartbeat,
            until: (!options.live).then_some(head),
            opening,
            interval: options.interval,
            pending: Vec::new(),
            coded: Coded::Plain,
            whole_lines: options.whole_lines,
            out: Batch::default(),
            ended: false,
            incomplete: None,
            registration: api.presence.register(
                run,
                options.client,
                options.format_name,
                start,
                options.is_client,
            ),
        })
    }

    /// The last event delivered.
    pub(in crate::http) fn position(&self) -> u64 {
        self.subscription.position()
    }

    /// Begin the stream, with the bytes that precede all events.
    pub(in crate::http) fn begin(mut self, api: &Api, coded: Coded) -> LiveStream<Self> {
        self.coded = coded;
        if matches!(self.coded, Coded::Shared(_)) {
            self.out.add(coding::Frame::begin());
        }
        self.add_own(self.format.preamble());
        if let Some(notice) = self.opening.take() {
            self.notice(&notice, 0);
        }
        let heartbeat = self.heartbeat;
        LiveStream::new(self, heartbeat, api.stream_ends.of_one())
    }

    fn wants_more(&self) -> bool {
        self.until.is_none_or(|until| self.position() < until)
    }

    /// Add a delivery and all that are ready, up to a size.
    fn add_ready(&mut self, first: Delivery) {
        self.deliver(first);
        while self.out.len() < PIECE_BYTES
            && let Some(delivery) = self.subscription.next_ready()
        {
            self.deliver(delivery);
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Events(segment, from) => self.events(&segment, from),
            other => self.deliver_other(&other),
        }
    }

    /// Deliver anything but events.
    fn deliver_other(&mut self, delivery: &Delivery) {
        match *delivery {
            Delivery::Events(..) => {}
            Delivery::Gap { from, to } => self.notice(&Notice::Gap { from, to }, to),
            Delivery::Removed { from } => {
                self.notice(&Notice::Removed { from }, self.position());
            }
            Delivery::End => self.ended = true,
        }
    }

    fn notice(&mut self, notice: &Notice, position: u64) {
        if self.format.is_raw() {
            self.incomplete = Some("not all of what the run wrote is here");
        } else {
            let bytes = self.format.notice(&self.names, notice, position);
            self.add_own(bytes);
        }
    }

    fn events(&mut self, segment: &Segment, from: usize) {
        self.check_outcome(segment);
        if self.filter.is_empty() {
            let encoded = self.format.segment(&self.names, segment);
            if from == 0
                && let Coded::Shared(frame) = &mut self.coded
            {
                return self.out.add(frame.pass(&encoded.bytes, encoded.compressed(coding::deflated)));
            }
            let start = from.checked_sub(1).map_or(0, |before| encoded.ends[before] as usize);
            return self.add_own(encoded.bytes.slice(start..));
        }
        let mut passed = BytesMut::new();
        for (event, bytes) in self.format.events(&self.names, segment, from) {
            if self.filter.passes(event) {
                passed.extend_from_slice(&bytes);
            }
        }
        self.add_own(passed.freeze());
    }

    /// Mark a raw body as incomplete if the run failed: the body itself cannot report it.
    fn check_outcome(&mut self, segment: &Segment) {
        if self.format.is_raw()
            && let Some(last) = segment.events().last()
            && last.is_terminal()
            && !last.what.event_type.is_end_of(RunStatus::Completed)
        {
            self.incomplete = Some("the run has not completed");
        }
    }

    /// Add all pending deliveries and those that are ready by now, with their events coalesced.
    fn add_coalesced(&mut self) {
        while self.pending.len() < MAX_COALESCED_SEGMENTS && self.wants_more() {
            // Stops at the first delivery that is not ready.
            match self.subscription.next().now_or_never() {
                Some(Ok(delivery)) => self.pending.push(delivery),
                // `wait` gets the error again.
                Some(Err(_)) | None => break,
            }
            if matches!(self.pending.last(), Some(Delivery::End)) {
                break;
            }
        }
        // Compressed at once, because coalesced events are encoded for this subscriber only.
        let coded = std::mem::replace(&mut self.coded, Coded::Plain);
        let pending = std::mem::take(&mut self.pending);
        let mut events = Vec::new();
        for delivery in &pending {
            match delivery {
                Delivery::Events(segment, from) => {
                    self.check_outcome(segment);
                    let all = self.format.events(&self.names, segment, *from);
                    events.extend(all.filter(|(event, _)| self.filter.passes(event)));
                }
                other => {
                    self.add_events(std::mem::take(&mut events));
                    self.deliver_other(other);
                }
            }
        }
        self.add_events(events);
        self.coded = coded;
        let plain = std::mem::take(&mut self.out).into_bytes();
        self.add_own(plain);
    }

    fn add_events(&mut self, events: Vec<(&Event, Bytes)>) {
        for (_, bytes) in coalesce(events, &self.names, self.format) {
            self.out.add(bytes);
        }
    }

    /// Add bytes that this subscriber does not share with others.
    fn add_own(&mut self, bytes: Bytes) {
        match &mut self.coded {
            Coded::Shared(frame) if !bytes.is_empty() => {
                self.out.add(frame.pass(&bytes, &coding::deflated(&bytes)))
            }
            _ => self.out.add(bytes),
        }
    }
}

impl Source for Reader {
    type Item = Delivery;

    async fn bytes(&mut self) -> Result<Option<Bytes>, Broken> {
        let longest = if self.whole_lines { usize::MAX } else { PIECE_BYTES };
        let Some(mut bytes) = self.out.next(longest) else { return Ok(None) };
        if let Coded::Own(own) = &mut self.coded {
            bytes = own.pass(&bytes)?;
        }
        self.registration.record_sent(bytes.len(), self.position());
        Ok(Some(bytes))
    }

    fn has_ended(&self) -> bool {
        self.ended || self.pending.is_empty() && !self.wants_more()
    }

    async fn wait(&mut self) -> Result<Delivery, Broken> {
        if !self.pending.is_empty() {
            // Nothing is read until the end of the interval: the log keeps new events.
            return std::future::pending().await;
        }
        Ok(self.subscription.next().await?)
    }

    async fn take(&mut self, delivery: Delivery) -> Result<(), Broken> {
        match self.interval {
            Some(_) => self.pending.push(delivery),
            None => self.add_ready(delivery),
        }
        Ok(())
    }

    fn coalescing(&self) -> Option<Duration> {
        self.interval.filter(|_| !self.pending.is_empty())
    }

    async fn coalesce(&mut self) -> Result<(), Broken> {
        self.add_coalesced();
        Ok(())
    }

    fn add_heartbeat(&mut self) {
        self.add_own(self.format.heartbeat().into());
    }

    fn add_closing(&mut self) {
        self.notice(&Notice::Closing, self.position());
    }

    async fn finish(&mut self) -> Result<Option<Bytes>, Broken> {
        if let Some(reason) = self.incomplete {
            // hyper sends the bytes that it has before it polls the error.
            tokio::task::yield_now().await;
            return Err(Broken::Incomplete(reason));
        }
        self.coded.end().transpose()
    }
}

/// Bytes to send next. Small pieces are copied into one, so that one system call carries many of them. A single piece,
/// or a large last one, is shared instead of copied.
#[derive(Default)]
struct Batch {
    first: Bytes,
    /// `first` and further pieces, as soon as there are any.
    all: BytesMut,
    /// The bytes after `all`.
    rest: Bytes,
}

impl Batch {
    fn add(&mut self, piece: Bytes) {
        if self.is_empty() {
            self.first = piece;
            return;
        }
        if self.rest.is_empty() && self.len() + piece.len() > PIECE_BYTES {
            self.rest = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(PIECE_BYTES + piece.len());
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&std::mem::take(&mut self.rest));
        self.all.extend_from_slice(&piece);
    }

    fn len(&self) -> usize {
        self.all.len().max(self.first.len()) + self.rest.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Take the next bytes, at most `longest` of them.
    fn next(&mut self, longest: usize) -> Option<Bytes> {
        if !self.all.is_empty() {
            self.first = std::mem::take(&mut self.all).freeze();
        }
        if self.first.is_empty() {
            self.first = std::mem::take(&mut self.rest);
        }
        let next = self.first.split_to(self.first.len().min(longest));
        (!next.is_empty()).then_some(next)
    }

    fn into_bytes(self) -> Bytes {
        let first = if self.all.is_empty() { self.first } else { self.all.freeze() };
        if self.rest.is_empty() { first } else { [&first[..], &self.rest].concat().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_or_large_last_piece_is_shared_and_small_ones_are_sent_together() {
        let large = Bytes::from(vec![b'x'; PIECE_BYTES]);
        let is_shared = |bytes: &Bytes| large.as_ptr_range().contains(&bytes.as_ptr());
        let mut batch = Batch::default();
        batch.add(large.clone());
        assert!(batch.next(PIECE_BYTES).is_some_and(|bytes| is_shared(&bytes) && bytes.len() == PIECE_BYTES));
        for piece in ["a", "b"] {
            batch.add(Bytes::from_static(piece.as_bytes()));
        }
        batch.add(large.clone());
        assert_eq!(batch.len(), PIECE_BYTES + 2);
        assert_eq!(batch.next(PIECE_BYTES).as_deref(), Some(&b"ab"[..]));
        assert!(batch.next(PIECE_BYTES).is_some_and(|bytes| is_shared(&bytes)));
        assert!(batch.next(PIECE_BYTES).is_none() && batch.is_empty());
    }

    #[test]
    fn bytes_are_cut_to_the_longest_that_is_wanted() {
        let mut batch = Batch::default();
        batch.add(Bytes::from_static(b"abcde"));
        let pieces: Vec<Bytes> = std::iter::from_fn(|| batch.next(2)).collect();
        assert_eq!(pieces, ["ab", "cd", "e"]);
        batch.add(Bytes::from_static(b"abcde"));
        assert_eq!(batch.next(usize::MAX).as_deref(), Some(&b"abcde"[..]));
    }
}
