//! Request bodies: read as a whole, within limits of size, time and memory, or drained.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header;
use hyper::http::request::Parts;
use hyper::{Request, StatusCode, Version};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Problem;

/// Time for a client to send the body of a request. Slower clients would occupy connections.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a client to send a task file: about 200 kB a second for the largest.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes of each body that are not counted, so that usual requests are never rejected for lack of memory. For all
/// connections together, they are less than hyper's own buffers.
const FREE_BYTES: usize = 16 << 10;
/// Memory for all bodies together, beyond that. A slow body keeps its first bytes in memory until the last one arrives.
const ROOM_BYTES: usize = 128 << 20;
/// The same for task files, so that uploads and other bodies do not compete.
const UPLOAD_ROOM_BYTES: usize = 256 << 20;
/// The unit in which memory is reserved.
const PORTION_BYTES: usize = 16 << 10;
/// A body with reserved memory must send at least [`MIN_RATE_BYTES`] in each such time. A modem is fast enough; a client
/// that trickles to block others is not.
const MIN_RATE_TIME: Duration = Duration::from_secs(5);
const MIN_RATE_BYTES: usize = 64 << 10;
/// Seconds after which a client may retry a request for which there was no memory.
const RETRY_AFTER: u32 = 2;

/// Most bytes of an unwanted body that are drained, so that its client gets to read the response: twice the largest body
/// that any route accepts. They are discarded.
const DRAIN_BYTES: u64 = 128 << 20;
/// Time for draining.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which draining ends: a client that has the response may have stopped to send.
const DRAIN_SILENCE: Duration = Duration::from_secs(2);

/// The memory for request bodies, in portions.
pub struct BodyBudget {
    bodies: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
}

impl Default for BodyBudget {
    fn default() -> Self {
        let room = |bytes| Arc::new(Semaphore::new(bytes / PORTION_BYTES));
        Self { bodies: room(ROOM_BYTES), uploads: room(UPLOAD_ROOM_BYTES) }
    }
}

/// The limits of one body.
struct Limits {
    bytes: usize,
    timeout: Duration,
    room: Arc<Semaphore>,
}

/// The body of a request. Bytes that a route does not read are drained while the response is sent: closing a connection
/// with unread bytes resets it, and the client would lose the response with the reason.
pub(super) struct RequestBody {
    /// `None` when it has been read to its end.
    body: Option<Incoming>,
    drains: bool,
    /// The reserved memory. Kept until the response is built, because the body is in memory until then.
    room: Option<OwnedSemaphorePermit>,
}

impl RequestBody {
    pub(super) fn of(parts: &Parts, body: Incoming) -> Self {
        // An HTTP/2 stream can end without the connection, and a client that waits for `100 Continue` has sent no body.
        let drains = parts.version <= Version::HTTP_11 && !parts.headers.contains_key(header::EXPECT);
        Self { body: Some(body), drains, room: None }
    }

    /// Read a body of at most `limit` bytes.
    pub(super) async fn whole(&mut self, limit: usize, room: &BodyBudget) -> Result<Bytes, Problem> {
        let room = Arc::clone(&room.bodies);
        self.within(&Limits { bytes: limit, timeout: BODY_TIMEOUT, room }).await
    }

    /// Read a task file of at most `limit` bytes.
    pub(super) async fn upload(&mut self, limit: usize, room: &BodyBudget) -> Result<Bytes, Problem> {
        let room = Arc::clone(&room.uploads);
        self.within(&Limits { bytes: limit, timeout: UPLOAD_TIMEOUT, room }).await
    }

    async fn within(&mut self, limits: &Limits) -> Result<Bytes, Problem> {
        let seconds = limits.timeout.as_secs();
        let late = || {
            let detail = format!("the body did not arrive within {seconds} s");
            Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", detail)
        };
        timeout(limits.timeout, self.read(limits)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn read(&mut self, limits: &Limits) -> Result<Bytes, Problem> {
        let limit = limits.bytes;
        let too_large = || {
            let detail = format!("the body is larger than {limit} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail).with("limit", limit)
        };
        if self.size() > limit as u64 {
            return Err(too_large());
        }
        let mut whole = BytesMut::new();
        // When the rate is checked next, and the size at the last check.
        let (mut check_at, mut before) = (Instant::now() + MIN_RATE_TIME, 0);
        loop {
            let next = match &self.room {
                None => self.next().await?,
                Some(_) => match timeout_at(check_at, self.next()).await {
                    Ok(next) => next?,
                    Err(_) if whole.len() - before < MIN_RATE_BYTES => return Err(too_slow()),
                    Err(_) => {
                        (check_at, before) = (Instant::now() + MIN_RATE_TIME, whole.len());
                        continue;
                    }
                },
            };
            let Some(data) = next else { return Ok(whole.freeze()) };
            if whole.len() + data.len() > limit {
                return Err(too_large());
            }
            if self.room.is_none() {
                (check_at, before) = (Instant::now() + MIN_RATE_TIME, whole.len());
            }
            self.reserve(whole.len() + data.len(), &limits.room)?;
            whole.extend_from_slice(&data);
        }
    }

    /// Reserve memory for a body of this size. Never waits: waiting bodies would keep memory for which others wait.
    fn reserve(&mut self, bytes: usize, room: &Arc<Semaphore>) -> Result<(), Problem> {
        let portions = bytes.saturating_sub(FREE_BYTES).div_ceil(PORTION_BYTES);
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = portions.saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(taken) = Arc::clone(room).try_acquire_many_owned(more) else {
            let detail =
                "the request bodies in progress use all the memory that the host has for them; try again";
            return Err(Problem::unavailable("too-many-bodies", detail, RETRY_AFTER));
        };
        match &mut self.room {
            Some(held) => held.merge(taken),
            None => self.room = Some(taken),
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.size_hint().lower())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        while let Some(body) = &mut self.body {
            match body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                None => self.body = None,
                Some(Err(error)) => {
                    self.body = None;
                    return Err(Problem::bad_request(
                        "invalid-body",
                        format!("the body is incomplete or malformed: {error}"),
                    ));
                }
            }
        }
        Ok(None)
    }
}

fn too_slow() -> Problem {
    let detail =
        format!("a large body must send at least {MIN_RATE_BYTES} bytes every {} s", MIN_RATE_TIME.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", detail)
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| self.drains && !body.is_end_stream());
        // There is no runtime at the end of the process.
        if let Some(mut body) = left
            && let Ok(runtime) = Handle::try_current()
        {
            // The task ends soon, at the latest with its connection.
            runtime.spawn(timeout(DRAIN_TIMEOUT, async move {
                let mut read = 0;
                while read < DRAIN_BYTES
                    && let Ok(Some(Ok(frame))) = timeout(DRAIN_SILENCE, body.frame()).await
                {
                    read += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
            }));
        }
    }
}

/// Whether the connection has to close after a response, if the route does not read the body.
pub(super) fn ends_unread(request: &Request<Incoming>) -> bool {
    let stays_unread =
        request.headers().contains_key(header::EXPECT) || request.body().size_hint().lower() > DRAIN_BYTES;
    stays_unread && request.version() <= Version::HTTP_11
}
