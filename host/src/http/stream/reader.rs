use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use tokio::time::{Instant, Sleep, sleep};

use super::MAX_HELD;
use super::frames;
use super::options::{Filter, Options, WEBSOCKET};
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

/// One reader's stream. All it owns is a position.
pub(in crate::http) struct Reader {
    subscription: Subscription,
    names: Names,
    format: Format,
    filter: Filter,
    /// How long it may be silent, and the clock of that. The clock and `end` are kept from one wait to the next: thousands
    /// of readers that entered and left a queue for each event would wait for one another.
    heartbeat: Option<(Duration, Pin<Box<Sleep>>)>,
    /// The last event that it wants; none: all that come.
    until: Option<u64>,
    end: StreamEnd,
    /// Not opened yet; with what to tell first.
    opening: Option<Option<Notice>>,
    /// When the last bytes were given out: a stream of which the filter lets
    /// nothing pass is silent.
    spoke: Instant,
    /// How long to gather, and what was.
    interval: Option<Duration>,
    held: Vec<Delivery>,
    coded: Coded,
    /// Whether the bytes of a line have to stay together.
    whole_lines: bool,
    /// What follows the bytes that were given out last.
    rest: Bytes,
    over: bool,
    cut_short: bool,
    /// Why a body that can't say so itself is not whole.
    missing: Option<&'static str>,
    registration: Registration,
}

impl Reader {
    pub(in crate::http) async fn open(api: &Api, run: &Run, options: Options) -> Result<Self, Problem> {
        let head = match run.last_seq {
            Some(last) => last,
            None => api.log.head(&run.key).await?,
        };
        let (position, notice) = match options.wish.resolve(head) {
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
            spoke: Instant::now(),
            interval: options.interval,
            held: Vec::new(),
            coded: Coded::Plain,
            whole_lines: options.form == WEBSOCKET,
            rest: Bytes::new(),
            over: false,
            cut_short: false,
            missing: None,
            registration: api.presence.register(run, options.client, options.form, start, options.is_client),
        })
    }

    /// The same, compressed.
    pub(in crate::http) fn coded(self, coded: Coded) -> Self {
        Self { coded, ..self }
    }

    /// The last event that was delivered.
    pub(in crate::http) fn position(&self) -> u64 {
        self.subscription.position()
    }

    /// Whether the stream is over although the log goes on.
    pub(in crate::http) fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    /// The next bytes; none when the stream is over. Nothing is lost if it is not awaited to
    /// the end.
    pub(in crate::http) async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Some(self.give(rest));
        }
        let mut opening = Gathered::default();
        self.begin(&mut opening);
        if !opening.is_empty() {
            return Some(self.give_all(opening));
        }
        while !self.over && (!self.held.is_empty() || self.wants_more()) {
            let mut gathered = Gathered::default();
            match self.wait().await {
                Waited::Delivery(Ok(delivery)) if self.interval.is_some() => self.held.push(delivery),
                Waited::Delivery(Ok(delivery)) => self.gather(delivery, &mut gathered),
                Waited::Delivery(Err(error)) => {
                    self.over = true;
                    self.coded = Coded::Plain;
                    return Some(Err(error.into()));
                }
                Waited::Frame => self.frame(&mut gathered),
                Waited::Silence => self.put_own(self.format.heartbeat().into(), &mut gathered),
                Waited::Closing => {
                    self.over = true;
                    self.cut_short = true;
                    self.notice(&Notice::Closing, self.position(), &mut gathered);
                }
            }
            if !gathered.is_empty() {
                self.spoke = Instant::now();
                if let Some((time, silence)) = &mut self.heartbeat {
                    silence.as_mut().reset(self.spoke + *time);
                }
                return Some(self.give_all(gathered));
            }
        }
        self.finish().await
    }

    fn wants_more(&self) -> bool {
        self.until.is_none_or(|until| self.position() < until)
    }

    /// What comes before all events, the first time.
    fn begin(&mut self, out: &mut Gathered) {
        let Some(notice) = self.opening.take() else { return };
        if matches!(self.coded, Coded::Shared(_)) {
            out.add(coding::Frame::begin());
        }
        self.put_own(self.format.preamble(), out);
        if let Some(notice) = notice {
            self.notice(&notice, 0, out);
        }
    }

    /// What comes after all events, once.
    async fn finish(&mut self) -> Option<Result<Bytes, Broken>> {
        if let Some(missing) = self.missing.take() {
            self.coded = Coded::Plain;
            // hyper sends what it has before it hears why there is no more.
            tokio::task::yield_now().await;
            return Some(Err(Broken::Incomplete(missing)));
        }
        self.coded.end()
    }

    async fn wait(&mut self) -> Waited {
        if let (Some(interval), false) = (self.interval, self.held.is_empty()) {
            // Until then nothing is read: the log keeps what comes.
            tokio::select! {
                biased;
                () = &mut self.end => {}
                () = tokio::time::sleep_until(self.spoke + interval) => {}
            }
            return Waited::Frame;
        }
        let Self { subscription, heartbeat, end, spoke, .. } = self;
        // Events that a filter holds back would put it off for ever.
        if heartbeat.as_ref().is_some_and(|(time, _)| *spoke + *time <= Instant::now()) {
            return Waited::Silence;
        }
        let silence = async {
            match heartbeat {
                Some((_, silence)) => silence.as_mut().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            delivery = subscription.next() => Waited::Delivery(delivery),
            () = end => Waited::Closing,
            () = silence => Waited::Silence,
        }
    }

    /// The bytes of a delivery and of all that is there already, up to a size.
    fn gather(&mut self, first: Delivery, out: &mut Gathered) {
        self.deliver(first, out);
        while out.len() < PIECE_BYTES
            && let Some(delivery) = self.subscription.next_ready()
        {
            self.deliver(delivery, out);
        }
    }

    fn deliver(&mut self, delivery: Delivery, out: &mut Gathered) {
        match delivery {
            Delivery::Events(segment, from) => self.events(&segment, from, out),
            notice => self.tell(&notice, out),
        }
    }

    /// What is no event.
    fn tell(&mut self, delivery: &Delivery, out: &mut Gathered) {
        match *delivery {
            Delivery::Events(..) => {}
            Delivery::Gap { from, to } => self.notice(&Notice::Gap { from, to }, to, out),
            Delivery::Removed { from } => {
                self.notice(&Notice::Removed { from }, self.position(), out);
            }
            Delivery::End => self.over = true,
        }
    }

    fn notice(&mut self, notice: &Notice, position: u64, out: &mut Gathered) {
        if self.format.is_raw() {
            self.missing = Some("not all of what the run wrote is here");
        } else {
            let bytes = self.format.notice(&self.names, notice, position);
            self.put_own(bytes, out);
        }
    }

    fn events(&mut self, segment: &Segment, from: usize, out: &mut Gathered) {
        self.look_at_end(segment);
        if self.filter.is_empty() {
            let encoded = self.format.segment(&self.names, segment);
            if from == 0
                && let Coded::Shared(frame) = &mut self.coded
            {
                return out.add(frame.pass(&encoded.bytes, encoded.compressed(coding::deflated)));
            }
            let start = from.checked_sub(1).map_or(0, |before| encoded.ends[before] as usize);
            return self.put_own(encoded.bytes.slice(start..), out);
        }
        let mut passed = BytesMut::new();
        for (event, bytes) in self.format.events(&self.names, segment, from) {
            if self.filter.passes(event) {
                passed.extend_from_slice(&bytes);
            }
        }
        self.put_own(passed.freeze(), out);
    }

    /// Whoever gets only what the run wrote can't see otherwise that it has failed.
    fn look_at_end(&mut self, segment: &Segment) {
        if self.format.is_raw()
            && let Some(last) = segment.events().last()
            && last.is_terminal()
            && !last.what.event_type.is_end_of(RunStatus::Completed)
        {
            self.missing = Some("the run has not completed");
        }
    }

    /// All that was gathered, and what is there by now.
    fn frame(&mut self, out: &mut Gathered) {
        while self.held.len() < MAX_HELD && self.wants_more() {
            // Ends at what would have to be waited for.
            match self.subscription.next().now_or_never() {
                Some(Ok(delivery)) => self.held.push(delivery),
                // An error comes again, for who waits for it.
                Some(Err(_)) | None => break,
            }
            if matches!(self.held.last(), Some(Delivery::End)) {
                break;
            }
        }
        // Compressed as a whole: what is joined is this reader's own.
        let coded = std::mem::replace(&mut self.coded, Coded::Plain);
        let (held, mut plain) = (std::mem::take(&mut self.held), Gathered::default());
        let mut events = Vec::new();
        for delivery in &held {
            match delivery {
                Delivery::Events(segment, from) => {
                    self.look_at_end(segment);
                    let all = self.format.events(&self.names, segment, *from);
                    events.extend(all.filter(|(event, _)| self.filter.passes(event)));
                }
                notice => {
                    self.draw(std::mem::take(&mut events), &mut plain);
                    self.tell(notice, &mut plain);
                }
            }
        }
        self.draw(events, &mut plain);
        self.coded = coded;
        self.put_own(plain.into_bytes(), out);
    }

    fn draw(&self, events: Vec<(&Event, Bytes)>, out: &mut Gathered) {
        for (_, bytes) in frames::gathered(events, &self.names, self.format) {
            out.add(bytes);
        }
    }

    /// Adds what is for this reader alone.
    fn put_own(&mut self, bytes: Bytes, out: &mut Gathered) {
        match &mut self.coded {
            Coded::Shared(frame) if !bytes.is_empty() => {
                out.add(frame.pass(&bytes, &coding::deflated(&bytes)))
            }
            _ => out.add(bytes),
        }
    }

    fn give_all(&mut self, gathered: Gathered) -> Result<Bytes, Broken> {
        let (first, rest) = gathered.into_parts();
        self.rest = rest;
        self.give(first)
    }

    fn give(&mut self, mut bytes: Bytes) -> Result<Bytes, Broken> {
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

/// Bytes that are there at once. Small ones are put together, so that one system call carries many of them; a single
/// one, and a large one that comes last, is shared, not copied.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    all: BytesMut,
    /// Follows those.
    rest: Bytes,
}

impl Gathered {
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

/// What a reader waited for.
enum Waited {
    Delivery(Result<Delivery, StorageError>),
    /// It is time to send what was gathered.
    Frame,
    Silence,
    Closing,
}
