use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use tokio::time::{Instant, Sleep, sleep};

use super::MAX_COALESCED_SEGMENTS;
use super::coalesce::coalesce;
use super::options::{Filter, Options};
use crate::event_log::{Delivery, Position, Segment, Subscription};
use crate::http::Api;
use crate::http::body::Broken;
use crate::http::coding::{self, Stream as Coded};
use crate::http::format::{Format, Names, Notice};
use crate::http::pieces::{self, PIECE_BYTES};
use crate::http::presence::Registration;
use crate::http::problem::Problem;
use crate::http::stream_ends::StreamEnd;
use crate::model::{Event, Run, RunStatus};
use crate::storage::StorageError;

/// The stream of one subscriber. Of the log it owns only a position.
pub(in crate::http) struct Reader {
    subscription: Subscription,
    names: Names,
    format: Format,
    filter: Filter,
    /// The heartbeat interval and its timer. The timer and `end` are kept from one wait to the next: thousands of
    /// subscribers would contend if each entered and left their queues for each event.
    heartbeat: Option<(Duration, Pin<Box<Sleep>>)>,
    /// The last event to send. `None` to send all new events.
    until: Option<u64>,
    end: StreamEnd,
    /// Set until the stream has begun, with the notice that comes first.
    opening: Option<Option<Notice>>,
    /// When the last bytes were sent. Events that the filter drops do not count.
    last_sent: Instant,
    /// Time for which deliveries are coalesced, and those that wait for its end.
    interval: Option<Duration>,
    pending: Vec<Delivery>,
    coded: Coded,
    /// Whether `next` must not split lines.
    whole_lines: bool,
    /// Bytes to return next.
    rest: Bytes,
    ended: bool,
    closed_by_host: bool,
    /// The reason why a raw body is incomplete. It has to break off, because it cannot contain a notice.
    incomplete: Option<&'static str>,
    registration: Registration,
}

impl Reader {
    pub(in crate::http) async fn open(api: &Api, run: &Run, options: Options) -> Result<Self, Problem> {
        let head = match run.last_seq {
            Some(last) => last,
            None => api.log.head(&run.key).await?,
        };
        let (position, notice) = match options.start.resolve(head) {
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
            heartbeat: options.heartbeat.map(|time| (time, Box::pin(sleep(time)))),
            until: (!options.live).then_some(head),
            end: api.stream_ends.of_one(),
            opening: Some(notice),
            last_sent: Instant::now(),
            interval: options.interval,
            pending: Vec::new(),
            coded: Coded::Plain,
            whole_lines: options.whole_lines,
            rest: Bytes::new(),
            ended: false,
            closed_by_host: false,
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

    /// Compress the stream.
    pub(in crate::http) fn coded(self, coded: Coded) -> Self {
        Self { coded, ..self }
    }

    /// The last event delivered.
    pub(in crate::http) fn position(&self) -> u64 {
        self.subscription.position()
    }

    /// Whether the stream has ended because the host is stopping, although the log continues.
    pub(in crate::http) fn is_closed_by_host(&self) -> bool {
        self.closed_by_host
    }

    /// Return the next bytes, or `None` at the end of the stream. Cancel-safe.
    pub(in crate::http) async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Some(self.emit(rest));
        }
        let mut opening = Batch::default();
        self.begin(&mut opening);
        if !opening.is_empty() {
            return Some(self.emit_batch(opening));
        }
        while !self.ended && (!self.pending.is_empty() || self.wants_more()) {
            let mut batch = Batch::default();
            match self.wait().await {
                Wakeup::Delivery(Ok(delivery)) if self.interval.is_some() => self.pending.push(delivery),
                Wakeup::Delivery(Ok(delivery)) => self.add_ready(delivery, &mut batch),
                Wakeup::Delivery(Err(error)) => {
                    self.ended = true;
                    self.coded = Coded::Plain;
                    return Some(Err(error.into()));
                }
                Wakeup::IntervalEnd => self.add_coalesced(&mut batch),
                Wakeup::HeartbeatDue => self.add_own(self.format.heartbeat().into(), &mut batch),
                Wakeup::Closing => {
                    self.ended = true;
                    self.closed_by_host = true;
                    self.notice(&Notice::Closing, self.position(), &mut batch);
                }
            }
            if !batch.is_empty() {
                self.last_sent = Instant::now();
                if let Some((time, timer)) = &mut self.heartbeat {
                    timer.as_mut().reset(self.last_sent + *time);
                }
                return Some(self.emit_batch(batch));
            }
        }
        self.finish().await
    }

    fn wants_more(&self) -> bool {
        self.until.is_none_or(|until| self.position() < until)
    }

    /// Add the bytes that precede all events, once.
    fn begin(&mut self, out: &mut Batch) {
        let Some(notice) = self.opening.take() else { return };
        if matches!(self.coded, Coded::Shared(_)) {
            out.add(coding::Frame::begin());
        }
        self.add_own(self.format.preamble(), out);
        if let Some(notice) = notice {
            self.notice(&notice, 0, out);
        }
    }

    /// Return the bytes that follow all events, once.
    async fn finish(&mut self) -> Option<Result<Bytes, Broken>> {
        if let Some(reason) = self.incomplete.take() {
            self.coded = Coded::Plain;
            // hyper sends the bytes that it has before it polls the error.
            tokio::task::yield_now().await;
            return Some(Err(Broken::Incomplete(reason)));
        }
        self.coded.end()
    }

    async fn wait(&mut self) -> Wakeup {
        if let (Some(interval), false) = (self.interval, self.pending.is_empty()) {
            // Nothing is read until then: the log keeps new events.
            tokio::select! {
                biased;
                () = &mut self.end => {}
                () = tokio::time::sleep_until(self.last_sent + interval) => {}
            }
            return Wakeup::IntervalEnd;
        }
        let Self { subscription, heartbeat, end, last_sent, .. } = self;
        // Events that the filter drops would postpone it forever.
        if heartbeat.as_ref().is_some_and(|(time, _)| *last_sent + *time <= Instant::now()) {
            return Wakeup::HeartbeatDue;
        }
        let heartbeat_due = async {
            match heartbeat {
                Some((_, timer)) => timer.as_mut().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            delivery = subscription.next() => Wakeup::Delivery(delivery),
            () = end => Wakeup::Closing,
            () = heartbeat_due => Wakeup::HeartbeatDue,
        }
    }

    /// Add a delivery and all that are ready, up to a size.
    fn add_ready(&mut self, first: Delivery, out: &mut Batch) {
        self.deliver(first, out);
        while out.len() < PIECE_BYTES
            && let Some(delivery) = self.subscription.next_ready()
        {
            self.deliver(delivery, out);
        }
    }

    fn deliver(&mut self, delivery: Delivery, out: &mut Batch) {
        match delivery {
            Delivery::Events(segment, from) => self.events(&segment, from, out),
            other => self.deliver_other(&other, out),
        }
    }

    /// Deliver anything but events.
    fn deliver_other(&mut self, delivery: &Delivery, out: &mut Batch) {
        match *delivery {
            Delivery::Events(..) => {}
            Delivery::Gap { from, to } => self.notice(&Notice::Gap { from, to }, to, out),
            Delivery::Removed { from } => {
                self.notice(&Notice::Removed { from }, self.position(), out);
            }
            Delivery::End => self.ended = true,
        }
    }

    fn notice(&mut self, notice: &Notice, position: u64, out: &mut Batch) {
        if self.format.is_raw() {
            self.incomplete = Some("not all of what the run wrote is here");
        } else {
            let bytes = self.format.notice(&self.names, notice, position);
            self.add_own(bytes, out);
        }
    }

    fn events(&mut self, segment: &Segment, from: usize, out: &mut Batch) {
        self.check_outcome(segment);
        if self.filter.is_empty() {
            let encoded = self.format.segment(&self.names, segment);
            if from == 0
                && let Coded::Shared(frame) = &mut self.coded
            {
                return out.add(frame.pass(&encoded.bytes, encoded.compressed(coding::deflated)));
            }
            let start = from.checked_sub(1).map_or(0, |before| encoded.ends[before] as usize);
            return self.add_own(encoded.bytes.slice(start..), out);
        }
        let mut passed = BytesMut::new();
        for (event, bytes) in self.format.events(&self.names, segment, from) {
            if self.filter.passes(event) {
                passed.extend_from_slice(&bytes);
            }
        }
        self.add_own(passed.freeze(), out);
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
    fn add_coalesced(&mut self, out: &mut Batch) {
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
        let (pending, mut plain) = (std::mem::take(&mut self.pending), Batch::default());
        let mut events = Vec::new();
        for delivery in &pending {
            match delivery {
                Delivery::Events(segment, from) => {
                    self.check_outcome(segment);
                    let all = self.format.events(&self.names, segment, *from);
                    events.extend(all.filter(|(event, _)| self.filter.passes(event)));
                }
                other => {
                    self.add_events(std::mem::take(&mut events), &mut plain);
                    self.deliver_other(other, &mut plain);
                }
            }
        }
        self.add_events(events, &mut plain);
        self.coded = coded;
        self.add_own(plain.into_bytes(), out);
    }

    fn add_events(&self, events: Vec<(&Event, Bytes)>, out: &mut Batch) {
        for (_, bytes) in coalesce(events, &self.names, self.format) {
            out.add(bytes);
        }
    }

    /// Add bytes that this subscriber does not share with others.
    fn add_own(&mut self, bytes: Bytes, out: &mut Batch) {
        match &mut self.coded {
            Coded::Shared(frame) if !bytes.is_empty() => {
                out.add(frame.pass(&bytes, &coding::deflated(&bytes)))
            }
            _ => out.add(bytes),
        }
    }

    fn emit_batch(&mut self, batch: Batch) -> Result<Bytes, Broken> {
        let (first, rest) = batch.into_parts();
        self.rest = rest;
        self.emit(first)
    }

    fn emit(&mut self, mut bytes: Bytes) -> Result<Bytes, Broken> {
        if !self.whole_lines && bytes.len() > PIECE_BYTES {
            let first = pieces::first(&mut bytes);
            if !self.rest.is_empty() {
                bytes = [&bytes[..], &self.rest].concat().into();
            }
            self.rest = std::mem::replace(&mut bytes, first);
        }
        let bytes = match &mut self.coded {
            Coded::Own(own) => own.pass(&bytes)?,
            Coded::Plain | Coded::Shared(_) => bytes,
        };
        self.registration.record_sent(bytes.len(), self.subscription.position());
        Ok(bytes)
    }
}

/// Bytes to send together. Small pieces are copied into one, so that one system call carries many of them. A single piece,
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

    fn into_parts(self) -> (Bytes, Bytes) {
        (if self.all.is_empty() { self.first } else { self.all.freeze() }, self.rest)
    }

    fn into_bytes(self) -> Bytes {
        let (first, rest) = self.into_parts();
        if rest.is_empty() { first } else { [&first[..], &rest].concat().into() }
    }
}

/// The reason why a wait is over.
enum Wakeup {
    Delivery(Result<Delivery, StorageError>),
    /// Pending deliveries are due.
    IntervalEnd,
    HeartbeatDue,
    /// The host is stopping.
    Closing,
}
