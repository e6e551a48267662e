//! Clients that read streams, lose the connection, and reconnect.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use hyper::{Method, Response, body::Incoming};
use serde::Deserialize;
use streamtask_tests::{Connection, EventStream, Lines};

use crate::history::{End, Sight};
use crate::world::World;

/// The format that a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Server-sent events; reconnects with `Last-Event-ID`.
    Sse,
    /// JSON lines; reconnects with `?after=`.
    Ndjson,
}

/// Pause after a 503 response or a lost connection.
const PAUSE: Duration = Duration::from_millis(20);

/// Time without an event after which a client connects again: its host may be stopped.
const QUIET: Duration = Duration::from_secs(10);

/// The stream of one connection.
enum Stream {
    Sse(Box<EventStream>),
    Ndjson(Box<Lines>),
}

/// An item of a stream.
enum Next {
    /// An event of the log.
    Line(u64, String),
    /// The host announces its shutdown.
    Closing,
    /// The end of the stream, orderly or not.
    Ended(End),
}

#[derive(Deserialize)]
struct Head<'a> {
    seq: Option<u64>,
    #[serde(rename = "type")]
    kind: &'a str,
}

impl Stream {
    async fn next(&mut self) -> Next {
        let (line, id) = match self {
            Self::Sse(stream) => match stream.try_next().await {
                Ok(Some(event)) => (event.data, Some(event.id)),
                Ok(None) => return Next::Ended(End::Over),
                Err(_) => return Next::Ended(End::Broken),
            },
            Self::Ndjson(lines) => loop {
                match lines.try_next().await {
                    // A heartbeat.
                    Ok(Some(line)) if line.is_empty() => {}
                    Ok(Some(line)) => break (line, None),
                    Ok(None) => return Next::Ended(End::Over),
                    Err(_) => return Next::Ended(End::Broken),
                }
            },
        };
        let head: Option<Head<'_>> = serde_json::from_str(&line).ok();
        match head {
            Some(Head { seq: None, kind: "run.stream-closing" }) => Next::Closing,
            // A number that the checker rejects, like that of any other notice.
            Some(Head { seq, .. }) if id.is_none_or(|id| id.parse().ok() == seq) => {
                Next::Line(seq.unwrap_or(0), line)
            }
            _ => Next::Line(0, format!("{{\"unreadable\":{line:?}}}")),
        }
    }
}

/// Follows a run until its end, across restarts of the host. Disconnects now and then,
/// like real clients.
pub(crate) async fn follow(world: Arc<World>, run: String, task: String, form: Form, mut rng: Rng) {
    let mut after = 0;
    loop {
        let patience = if rng.u8(..4) == 0 { rng.usize(1..400) } else { usize::MAX };
        let sight = read(&world, &run, &task, form, after, patience).await;
        let Some(sight) = sight else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        after += sight.lines.len() as u64;
        let end = sight.end;
        world.note(sight);
        match end {
            End::Over | End::Nothing => return,
            End::Broken | End::Closing => {}
        }
    }
}

/// Reads from the beginning once, at most `patience` events.
pub(crate) async fn replay(world: &World, run: &str, task: &str, form: Form, patience: usize) -> Option<End> {
    let sight = read(world, run, task, form, 0, patience).await?;
    let end = sight.end;
    world.note(sight);
    Some(end)
}

/// Reads all runs that clients know completely.
pub(crate) async fn replay_all(world: &World) {
    for (nth, run) in world.known().iter().enumerate() {
        let form = if nth % 2 == 0 { Form::Sse } else { Form::Ndjson };
        let found = world.ask(Method::GET, &format!("/api/runs/{run}"), &[], "").await;
        let task = found.body["task"].as_str().unwrap_or("work");
        replay(world, run, task, form, usize::MAX).await;
    }
}

/// Opens a connection. None if there was no stream.
async fn read(
    world: &World,
    run: &str,
    task: &str,
    form: Form,
    after: u64,
    patience: usize,
) -> Option<Sight> {
    let client = format!("{form:?} after {after}");
    let mut sight = Sight { client, run: run.to_owned(), after, lines: Vec::new(), end: End::Broken };
    let mut connection = world.connect().await;
    let response = open(&mut connection, run, task, form, after).await?;
    match response.status().as_u16() {
        200 => {}
        204 => return Some(Sight { end: End::Nothing, ..sight }),
        // All other statuses are faults, which the checker finds as a line that is not an
        // event.
        503 => return None,
        status => {
            sight.lines.push(format!("{{\"status\":{status}}}").into());
            return Some(Sight { end: End::Over, ..sight });
        }
    }
    let mut stream = match form {
        Form::Sse => Stream::Sse(Box::new(EventStream::of(response))),
        Form::Ndjson => Stream::Ndjson(Box::new(Lines::of(response))),
    };
    let mut closing = false;
    while sight.lines.len() < patience {
        let Ok(next) = tokio::time::timeout(QUIET, stream.next()).await else { break };
        match next {
            Next::Line(seq, line) => sight.lines.push(world.seen(run, seq, line)),
            Next::Closing => closing = true,
            Next::Ended(end) => {
                sight.end = if closing { End::Closing } else { end };
                break;
            }
        }
    }
    Some(sight)
}

async fn open(
    connection: &mut Connection,
    run: &str,
    task: &str,
    form: Form,
    after: u64,
) -> Option<Response<Incoming>> {
    let position = after.to_string();
    let (path, headers) = match form {
        Form::Sse if after == 0 => {
            (format!("/stream/test/{task}/{run}"), vec![("accept", "text/event-stream")])
        }
        Form::Sse => (
            format!("/stream/test/{task}/{run}"),
            vec![("accept", "text/event-stream"), ("last-event-id", position.as_str())],
        ),
        Form::Ndjson => (
            format!("/stream/test/{task}/{run}?after={after}&heartbeat=5"),
            vec![("accept", "application/x-ndjson")],
        ),
    };
    connection.try_send(&Method::GET, &path, &headers, "").await.ok()
}
