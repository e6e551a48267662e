//! Who reads which run: for the operator, and for runs that shall not go on alone.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use parking_lot::Mutex;
use serde::Serialize;

use super::body::{Body, Response};
use super::problem::Problem;
use super::request::{Query, invalid};
use super::{Api, json, stream};
use crate::model::{OnDisconnect, Run, RunId, RunKey, TaskRef, Timestamp};

/// Time for the last client of a run to come back, over a lost connection or a page that is loaded again.
const RETURN_TIME: Duration = Duration::from_secs(10);
/// How often those are looked for who have not.
const LOOK: Duration = Duration::from_secs(1);
/// Longest name that a client gives itself, in bytes.
const MAX_CLIENT_BYTES: usize = 64;

/// All readers of all runs.
#[derive(Default)]
pub struct Presence {
    /// By the number of the run.
    seats: Mutex<HashMap<i64, OfRun>>,
    /// Runs that their last client left, of those that shall not go on alone.
    left: Mutex<HashMap<i64, (RunId, Instant)>>,
    opened: AtomicU64,
    /// Given to readers that have left.
    sent_bytes: AtomicU64,
}

/// A run that is read, and its readers.
struct OfRun {
    run: RunKey,
    task: TaskRef,
    on_disconnect: OnDisconnect,
    seats: Vec<Arc<Seat>>,
}

/// One reader.
struct Seat {
    client: Option<Box<str>>,
    form: &'static str,
    /// Whether the run can be lost with it.
    is_client: bool,
    since: Timestamp,
    /// The last event that it was given.
    position: AtomicU64,
    /// Counted here and not for all readers together: they would wait for one another at each event.
    sent_bytes: AtomicU64,
}

/// A reader's place, which it leaves when this is dropped.
pub(super) struct Seated {
    presence: Arc<Presence>,
    run: i64,
    seat: Arc<Seat>,
}

/// `?client_id=`.
pub(super) fn client(query: &Query) -> Result<Option<Box<str>>, Problem> {
    let Some(name) = query.get("client_id") else { return Ok(None) };
    let plain = |c: char| c.is_ascii_graphic() && !"\"\\<>&".contains(c);
    if (1..=MAX_CLIENT_BYTES).contains(&name.len()) && name.chars().all(plain) {
        return Ok(Some(name.into()));
    }
    let what = format!("1 to {MAX_CLIENT_BYTES} visible ASCII characters, none of \" \\ < > &");
    Err(invalid("client_id", name, &what))
}

impl Presence {
    pub(super) fn sit(
        self: &Arc<Self>,
        run: &Run,
        client: Option<Box<str>>,
        form: &'static str,
        position: u64,
        is_client: bool,
    ) -> Seated {
        let seat = Arc::new(Seat {
            client,
            form,
            is_client,
            since: Timestamp::now(),
            position: AtomicU64::new(position),
            sent_bytes: AtomicU64::new(0),
        });
        let mut seats = self.seats.lock();
        let of_run = seats.entry(run.key.no).or_insert_with(|| OfRun {
            run: run.key.clone(),
            task: run.task.clone(),
            on_disconnect: run.on_disconnect,
            seats: Vec::new(),
        });
        if is_client && run.on_disconnect == OnDisconnect::Cancel {
            self.left.lock().remove(&run.key.no);
        }
        of_run.seats.push(Arc::clone(&seat));
        self.opened.fetch_add(1, Relaxed);
        Seated { presence: Arc::clone(self), run: run.key.no, seat }
    }

    /// Those to whom nobody came back in time; each once.
    fn abandoned(&self, now: Instant) -> Vec<RunId> {
        let mut left = self.left.lock();
        left.extract_if(|_, (_, since)| now.saturating_duration_since(*since) >= RETURN_TIME)
            .map(|(_, (id, _))| id)
            .collect()
    }

    fn of(&self, run: i64) -> Vec<Arc<Seat>> {
        let seats = self.seats.lock();
        seats.get(&run).map(|of_run| of_run.seats.clone()).unwrap_or_default()
    }
}

/// Cancels runs that shall not go on without a client, until the host stops: then it is not the client who went.
pub(super) async fn cancel_abandoned(api: Arc<Api>) {
    while tokio::time::timeout(LOOK, api.stopping.cancelled()).await.is_err() {
        for id in api.presence.abandoned(Instant::now()) {
            tracing::info!(run = %id, "cancelling a run whose last client went away");
            if let Err(error) = api.scheduler.cancel(&id).await {
                tracing::warn!(run = %id, %error, "could not cancel a run whose last client went away");
            }
        }
    }
}

impl Seated {
    /// It was given so many bytes, up to that event.
    pub(super) fn gave(&self, bytes: usize, position: u64) {
        self.seat.position.store(position, Relaxed);
        self.seat.sent_bytes.fetch_add(bytes as u64, Relaxed);
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut seats = self.presence.seats.lock();
        if let Some(of_run) = seats.get_mut(&self.run) {
            of_run.seats.retain(|seat| !Arc::ptr_eq(seat, &self.seat));
            self.presence.sent_bytes.fetch_add(self.seat.sent_bytes.load(Relaxed), Relaxed);
            let was_last = self.seat.is_client && !of_run.seats.iter().any(|seat| seat.is_client);
            if was_last && of_run.on_disconnect == OnDisconnect::Cancel {
                self.presence.left.lock().insert(self.run, (of_run.run.id.clone(), Instant::now()));
            }
            if of_run.seats.is_empty() {
                seats.remove(&self.run);
            }
        }
    }
}

#[derive(Serialize)]
struct ClientJson {
    client_id: Option<Box<str>>,
    format: &'static str,
    connected_at: Timestamp,
    /// The last event that it was given.
    position: u64,
    /// How many events it has still to be given.
    lag: u64,
}

impl ClientJson {
    fn of(seat: &Seat, head: u64) -> Self {
        let position = seat.position.load(Relaxed);
        Self {
            client_id: seat.client.clone(),
            format: seat.form,
            connected_at: seat.since,
            position,
            lag: head.saturating_sub(position),
        }
    }
}

/// `GET /stream/{app}/{task}/{run}/status`.
pub(super) async fn status(api: &Arc<Api>, path: [&str; 3]) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Status<'a> {
        run: &'a str,
        status: &'static str,
        is_complete: bool,
        created_at: Timestamp,
        /// The number of the newest event.
        last_seq: u64,
        clients: Vec<ClientJson>,
    }
    let run = stream::find(api, path).await?;
    let last_seq = match run.last_seq {
        Some(last) => last,
        None => api.log.head(&run.key).await?,
    };
    let clients = api.presence.of(run.key.no).iter().map(|seat| ClientJson::of(seat, last_seq)).collect();
    let status = Status {
        run: run.key.id.as_str(),
        status: run.status.as_str(),
        is_complete: run.status.is_terminal(),
        created_at: run.created_at,
        last_seq,
        clients,
    };
    Ok(json::response(StatusCode::OK, &status))
}

/// `GET /api/streams`: the runs that are read, and by how many.
pub(super) async fn list(api: &Arc<Api>) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Streamed {
        run: String,
        app: String,
        task: String,
        last_seq: u64,
        clients: Vec<ClientJson>,
    }
    let mut read: Vec<(RunKey, TaskRef, Vec<Arc<Seat>>)> = {
        let seats = api.presence.seats.lock();
        let runs =
            seats.values().map(|of_run| (of_run.run.clone(), of_run.task.clone(), of_run.seats.clone()));
        runs.collect()
    };
    read.sort_by_key(|(run, ..)| run.no);
    let mut streams = Vec::with_capacity(read.len());
    for (run, task, seats) in read {
        let last_seq = api.log.head(&run).await?;
        streams.push(Streamed {
            run: run.id.to_string(),
            app: task.app.to_string(),
            task: task.task.to_string(),
            last_seq,
            clients: seats.iter().map(|seat| ClientJson::of(seat, last_seq)).collect(),
        });
    }
    Ok(json::response(StatusCode::OK, &serde_json::json!({ "streams": streams })))
}

/// `GET /metrics`, in the text format of Prometheus.
pub(super) fn metrics(api: &Api) -> Response {
    let mut forms: HashMap<&'static str, usize> = HashMap::new();
    let (runs, sent_bytes) = {
        let seats = api.presence.seats.lock();
        let mut sent_bytes = api.presence.sent_bytes.load(Relaxed);
        for seat in seats.values().flat_map(|of_run| &of_run.seats) {
            *forms.entry(seat.form).or_default() += 1;
            sent_bytes += seat.sent_bytes.load(Relaxed);
        }
        (seats.len(), sent_bytes)
    };
    let mut text = String::new();
    let mut put = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP streamtask_{name} {help}\n# TYPE streamtask_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "streamtask_{name}{labels} {value}");
        }
    };
    let one = |value: u64| vec![(String::new(), value)];
    let mut by_form: Vec<(String, u64)> =
        forms.into_iter().map(|(form, count)| (format!("{{format=\"{form}\"}}"), count as u64)).collect();
    by_form.sort();
    put("streams", "gauge", "Streams of runs that clients read now.", &by_form);
    put("streamed_runs", "gauge", "Runs that are read by at least one client now.", &one(runs as u64));
    put(
        "streams_opened_total",
        "counter",
        "Streams opened since the start.",
        &one(api.presence.opened.load(Relaxed)),
    );
    put(
        "stream_sent_bytes_total",
        "counter",
        "Bytes given to clients of streams since the start.",
        &one(sent_bytes),
    );
    put(
        "running_runs",
        "gauge",
        "Runs under way on this host now.",
        &one(u64::from(api.scheduler.running())),
    );
    put(
        "write_ahead_log_bytes",
        "gauge",
        "Bytes that are written and not yet where they belong in the database.",
        &one(api.storage.condition().log_bytes),
    );
    put(
        "log_lines_dropped_total",
        "counter",
        "Lines of the host's log that could not be written since the start.",
        &one(crate::process::dropped_lines()),
    );
    let mut response = Response::new(Body::whole(text));
    let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Json, Labels, RunStatus};

    fn run(no: i64, on_disconnect: OnDisconnect) -> Run {
        Run {
            key: RunKey { no, id: RunId::parse(&format!("r{no}")).unwrap() },
            task: TaskRef::parse("demo", "counter").unwrap(),
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

    #[test]
    fn a_run_is_abandoned_when_its_last_client_has_been_away_for_long_and_only_then() {
        let presence: Arc<Presence> = Arc::default();
        let (watched, other) = (run(1, OnDisconnect::Cancel), run(2, OnDisconnect::Continue));
        let sit = |run: &Run| presence.sit(run, None, "sse", 0, true);
        let much_later = || Instant::now() + 2 * RETURN_TIME;
        drop(sit(&other));
        let (first, second) = (sit(&watched), sit(&watched));
        drop(first);
        assert_eq!(presence.abandoned(much_later()), [], "one is still there");
        drop(second);
        assert_eq!(presence.abandoned(Instant::now()), [], "it may come back");
        let back = sit(&watched);
        assert_eq!(presence.abandoned(much_later()), [], "it has come back");
        drop(back);
        assert_eq!(presence.abandoned(much_later()), std::slice::from_ref(&watched.key.id));
        assert_eq!(presence.abandoned(much_later()), [], "told once");
    }

    #[test]
    fn who_may_not_read_a_run_is_no_client_that_it_can_be_lost_with() {
        let presence: Arc<Presence> = Arc::default();
        let run = run(1, OnDisconnect::Cancel);
        let sit = |is_client| presence.sit(&run, None, "sse", 0, is_client);
        let much_later = || Instant::now() + 2 * RETURN_TIME;
        drop(sit(false));
        assert_eq!(presence.abandoned(much_later()), [], "nobody has read it yet");
        let (client, other) = (sit(true), sit(false));
        drop(client);
        drop(sit(false));
        assert_eq!(
            presence.abandoned(much_later()),
            std::slice::from_ref(&run.key.id),
            "the other does not count"
        );
        drop(other);
        assert_eq!(presence.abandoned(much_later()), [], "told once");
    }
}
