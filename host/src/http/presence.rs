//! The subscribers of each run, of this host: lists them for operators, and knows which runs have lost their last client.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

use super::body::Response;
use super::problem::Problem;
use super::request::{Query, invalid};
use super::{Api, json, stream};
use crate::model::{OnDisconnect, Run, RunId, RunKey, TaskRef, Timestamp};

/// Time for the last client of a run to reconnect, after a lost connection or a reload of its page.
pub(super) const RECONNECT_TIME: Duration = Duration::from_secs(10);
/// Longest `client_id`, in bytes.
const MAX_CLIENT_BYTES: usize = 64;

/// The subscribers of all runs.
#[derive(Default)]
pub struct Presence {
    /// By run number.
    runs: Mutex<HashMap<i64, WatchedRun>>,
    /// Runs with `on_disconnect=cancel` whose last client has disconnected, with the time of that, by run number.
    disconnected: Mutex<HashMap<i64, (RunId, Instant)>>,
    /// Runs with `on_disconnect=cancel` to which a client has connected, or whose last one has disconnected, by number:
    /// what other hosts have to know.
    changed: Mutex<HashMap<i64, RunKey>>,
    /// Notified when there is one more.
    has_changed: Notify,
    opened: AtomicU64,
    /// Bytes sent to subscribers that have disconnected.
    sent_bytes: AtomicU64,
}

/// A run with its subscribers, of which there is at least one.
struct WatchedRun {
    run: RunKey,
    task: TaskRef,
    on_disconnect: OnDisconnect,
    subscribers: Vec<Arc<Subscriber>>,
}

/// One subscriber of a run.
struct Subscriber {
    client: Option<Box<str>>,
    format: &'static str,
    /// Whether its disconnect can cancel the run.
    is_client: bool,
    since: Timestamp,
    /// The last event sent.
    position: AtomicU64,
    /// Counted for each subscriber, because subscribers would contend for a common counter at each event.
    sent_bytes: AtomicU64,
}

/// The registration of a subscriber, which ends when this is dropped.
pub(super) struct Registration {
    presence: Arc<Presence>,
    run: i64,
    subscriber: Arc<Subscriber>,
}

/// Figures about streams, for metrics.
pub(super) struct StreamCounts {
    /// Open streams, by format.
    pub(super) by_format: HashMap<&'static str, u64>,
    /// Runs with at least one subscriber.
    pub(super) runs: u64,
    /// Streams opened since the start.
    pub(super) opened: u64,
    /// Bytes sent since the start.
    pub(super) sent_bytes: u64,
}

/// Parse `?client_id=`.
pub(super) fn client_id(query: &Query) -> Result<Option<Box<str>>, Problem> {
    let Some(name) = query.get("client_id") else { return Ok(None) };
    let plain = |c: char| c.is_ascii_graphic() && !"\"\\<>&".contains(c);
    if (1..=MAX_CLIENT_BYTES).contains(&name.len()) && name.chars().all(plain) {
        return Ok(Some(name.into()));
    }
    let what = format!("1 to {MAX_CLIENT_BYTES} visible ASCII characters, none of \" \\ < > &");
    Err(invalid("client_id", name, &what))
}

impl Presence {
    /// Register a subscriber that begins after the event `position`.
    pub(super) fn register(
        self: &Arc<Self>,
        run: &Run,
        client: Option<Box<str>>,
        format: &'static str,
        position: u64,
        is_client: bool,
    ) -> Registration {
        let subscriber = Arc::new(Subscriber {
            client,
            format,
            is_client,
            since: Timestamp::now(),
            position: AtomicU64::new(position),
            sent_bytes: AtomicU64::new(0),
        });
        let mut runs = self.runs.lock();
        let watched = runs.entry(run.key.no).or_insert_with(|| WatchedRun {
            run: run.key.clone(),
            task: run.task.clone(),
            on_disconnect: run.on_disconnect,
            subscribers: Vec::new(),
        });
        if is_client && run.on_disconnect == OnDisconnect::Cancel {
            self.disconnected.lock().remove(&run.key.no);
            self.change(&run.key);
        }
        watched.subscribers.push(Arc::clone(&subscriber));
        self.opened.fetch_add(1, Relaxed);
        Registration { presence: Arc::clone(self), run: run.key.no, subscriber }
    }

    fn change(&self, run: &RunKey) {
        self.changed.lock().insert(run.no, run.clone());
        self.has_changed.notify_one();
    }

    /// Wait for a change that other hosts have to know.
    pub(super) async fn changed(&self) {
        self.has_changed.notified().await;
    }

    /// Take the runs of which other hosts have to know.
    pub(super) fn take_changed(&self) -> Vec<RunKey> {
        std::mem::take(&mut *self.changed.lock()).into_values().collect()
    }

    /// Put back runs that were taken, for the next time.
    pub(super) fn put_back(&self, runs: Vec<RunKey>) {
        self.changed.lock().extend(runs.into_iter().map(|run| (run.no, run)));
    }

    /// Mark all runs with clients: other hosts know nothing of them.
    pub(super) fn change_all(&self) {
        let runs = self.runs.lock();
        let watched = runs.values().filter(|watched| {
            watched.on_disconnect == OnDisconnect::Cancel
                && watched.subscribers.iter().any(|subscriber| subscriber.is_client)
        });
        let watched: Vec<RunKey> = watched.map(|watched| watched.run.clone()).collect();
        drop(runs);
        self.put_back(watched);
    }

    /// The number of clients of a run.
    pub(super) fn clients(&self, run: i64) -> u32 {
        let clients = self.subscribers(run).iter().filter(|subscriber| subscriber.is_client).count();
        u32::try_from(clients).unwrap_or(u32::MAX)
    }

    /// Take the runs to which no client has reconnected in time.
    pub(super) fn take_abandoned(&self, now: Instant) -> Vec<RunId> {
        let mut disconnected = self.disconnected.lock();
        disconnected
            .extract_if(|_, (_, since)| now.saturating_duration_since(*since) >= RECONNECT_TIME)
            .map(|(_, (id, _))| id)
            .collect()
    }

    fn subscribers(&self, run: i64) -> Vec<Arc<Subscriber>> {
        let runs = self.runs.lock();
        runs.get(&run).map(|watched| watched.subscribers.clone()).unwrap_or_default()
    }

    /// All runs with subscribers, oldest first.
    fn watched_runs(&self) -> Vec<(RunKey, TaskRef, Vec<Arc<Subscriber>>)> {
        let runs = self.runs.lock();
        let copy = |run: &WatchedRun| (run.run.clone(), run.task.clone(), run.subscribers.clone());
        let mut watched: Vec<_> = runs.values().map(copy).collect();
        drop(runs);
        watched.sort_by_key(|(run, ..)| run.no);
        watched
    }

    pub(super) fn counts(&self) -> StreamCounts {
        let runs = self.runs.lock();
        let mut by_format = HashMap::new();
        let mut sent_bytes = self.sent_bytes.load(Relaxed);
        for subscriber in runs.values().flat_map(|watched| &watched.subscribers) {
            *by_format.entry(subscriber.format).or_default() += 1;
            sent_bytes += subscriber.sent_bytes.load(Relaxed);
        }
        StreamCounts { by_format, runs: runs.len() as u64, opened: self.opened.load(Relaxed), sent_bytes }
    }
}

impl Registration {
    /// Record that `bytes` were sent, up to the event `position`.
    pub(super) fn record_sent(&self, bytes: usize, position: u64) {
        self.subscriber.position.store(position, Relaxed);
        self.subscriber.sent_bytes.fetch_add(bytes as u64, Relaxed);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut runs = self.presence.runs.lock();
        let Some(watched) = runs.get_mut(&self.run) else { return };
        watched.subscribers.retain(|other| !Arc::ptr_eq(other, &self.subscriber));
        self.presence.sent_bytes.fetch_add(self.subscriber.sent_bytes.load(Relaxed), Relaxed);
        let was_last = self.subscriber.is_client && !watched.subscribers.iter().any(|other| other.is_client);
        if was_last && watched.on_disconnect == OnDisconnect::Cancel {
            self.presence.disconnected.lock().insert(self.run, (watched.run.id.clone(), Instant::now()));
            self.presence.change(&watched.run);
        }
        if watched.subscribers.is_empty() {
            runs.remove(&self.run);
        }
    }
}

/// A subscriber as JSON.
#[derive(Serialize)]
struct SubscriberJson {
    client_id: Option<Box<str>>,
    format: &'static str,
    connected_at: Timestamp,
    /// The number of the last event sent.
    sent_seq: u64,
    /// The number of events not sent yet.
    lag: u64,
}

impl SubscriberJson {
    fn of(subscriber: &Subscriber, head: u64) -> Self {
        let position = subscriber.position.load(Relaxed);
        Self {
            client_id: subscriber.client.clone(),
            format: subscriber.format,
            connected_at: subscriber.since,
            sent_seq: position,
            lag: head.saturating_sub(position),
        }
    }

    fn all(subscribers: &[Arc<Subscriber>], head: u64) -> Vec<Self> {
        subscribers.iter().map(|subscriber| Self::of(subscriber, head)).collect()
    }
}

/// `GET /stream/{app}/{task}/{run}/status`.
pub(super) async fn status(api: &Arc<Api>, path: [&str; 3]) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct StreamStatus<'a> {
        run: &'a str,
        status: &'static str,
        is_complete: bool,
        created_at: Timestamp,
        /// The `seq` of the newest event.
        last_seq: u64,
        clients: Vec<SubscriberJson>,
    }
    let run = stream::find(api, path).await?;
    let last_seq = match run.last_seq {
        Some(last) => last,
        None => api.log.head(&run.key).await?,
    };
    let status = StreamStatus {
        run: run.key.id.as_str(),
        status: run.status.as_str(),
        is_complete: run.status.is_terminal(),
        created_at: run.created_at,
        last_seq,
        clients: SubscriberJson::all(&api.presence.subscribers(run.key.no), last_seq),
    };
    Ok(json::response(StatusCode::OK, &status))
}

/// `GET /api/streams`: the runs that have subscribers.
pub(super) async fn list(api: &Arc<Api>) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct WatchedRunJson {
        run: String,
        app: String,
        task: String,
        last_seq: u64,
        clients: Vec<SubscriberJson>,
    }
    let watched = api.presence.watched_runs();
    let mut streams = Vec::with_capacity(watched.len());
    for (run, task, subscribers) in watched {
        let last_seq = api.log.published_head(&run).await?;
        streams.push(WatchedRunJson {
            run: run.id.to_string(),
            app: task.app.to_string(),
            task: task.task.to_string(),
            last_seq,
            clients: SubscriberJson::all(&subscribers, last_seq),
        });
    }
    Ok(json::response(StatusCode::OK, &serde_json::json!({ "streams": streams })))
}

/// A running run, for tests.
#[cfg(test)]
pub(super) fn run(no: i64, on_disconnect: OnDisconnect) -> Run {
    use crate::model::{Json, Labels, RunStatus};
    Run {
        key: RunKey { no, id: RunId::parse(&format!("r{no}")).expect("a valid id") },
        task: TaskRef::parse("demo", "counter").expect("valid names"),
        version: None,
        status: RunStatus::Running,
        attempt: 1,
        input: Json::null(),
        final_value: None,
        error: None,
        created_at: Timestamp::from_millis(0),
        started_at: None,
        finished_at: None,
        cancel_requested_at: None,
        not_before: None,
        priority: 0,
        waits_for: None,
        parent: None,
        on_disconnect,
        labels: Labels::new(),
        last_seq: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_abandoned_only_when_its_last_client_does_not_reconnect_in_time() {
        let presence: Arc<Presence> = Arc::default();
        let (watched, other) = (run(1, OnDisconnect::Cancel), run(2, OnDisconnect::Continue));
        let register = |run: &Run| presence.register(run, None, "sse", 0, true);
        let much_later = || Instant::now() + 2 * RECONNECT_TIME;
        drop(register(&other));
        let (first, second) = (register(&watched), register(&watched));
        drop(first);
        assert_eq!(presence.take_abandoned(much_later()), [], "one client is still connected");
        drop(second);
        assert_eq!(presence.take_abandoned(Instant::now()), [], "it may reconnect");
        let back = register(&watched);
        assert_eq!(presence.take_abandoned(much_later()), [], "it has reconnected");
        drop(back);
        assert_eq!(presence.take_abandoned(much_later()), std::slice::from_ref(&watched.key.id));
        assert_eq!(presence.take_abandoned(much_later()), [], "reported once");
    }

    #[test]
    fn a_subscriber_that_may_not_read_the_run_is_not_its_client() {
        let presence: Arc<Presence> = Arc::default();
        let run = run(1, OnDisconnect::Cancel);
        let register = |is_client| presence.register(&run, None, "sse", 0, is_client);
        let much_later = || Instant::now() + 2 * RECONNECT_TIME;
        drop(register(false));
        assert_eq!(presence.take_abandoned(much_later()), [], "no client has read it yet");
        let (client, other) = (register(true), register(false));
        drop(client);
        drop(register(false));
        assert_eq!(
            presence.take_abandoned(much_later()),
            std::slice::from_ref(&run.key.id),
            "the other does not count"
        );
        drop(other);
        assert_eq!(presence.take_abandoned(much_later()), [], "reported once");
    }
}
