//! Request bodies: read as a whole, within bounds of size, time and room, or read on and thrown away.

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

/// Time for a client to send the body of a request; a slower one holds a connection for nothing.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Time for a client to send a task file; some 200 kB a second for the largest.
const UPLOAD_TIME: Duration = Duration::from_secs(300);
/// Bytes of a body that nothing counts: those of usual requests, which are never refused for want of room.
/// Of all connections together they are less than what hyper holds for these anyway.
const FREE_BYTES: usize = 16 << 10;
/// Room for all bodies together, beyond that. A slow body keeps its first bytes in memory until the last has come.
const ROOM_BYTES: usize = 128 << 20;
/// The same for task files, so that neither keeps the other out.
const UPLOAD_ROOM_BYTES: usize = 256 << 20;
/// In what portions room is taken.
const PORTION_BYTES: usize = 16 << 10;
/// A body that takes room must bring at least [`PACE_BYTES`] in each such time: a modem does, and a client that
/// trickles to keep others out does not.
const PACE_TIME: Duration = Duration::from_secs(5);
const PACE_BYTES: usize = 64 << 10;
/// Seconds after which a client may try again what there was no room for.
const RETRY_AFTER: u32 = 2;

/// How much of a body that nobody wants is read on, so that its client comes to read the answer: twice the largest that
/// is taken anywhere. None of it is kept.
const READ_ON_BYTES: u64 = 128 << 20;
/// For how long.
const READ_ON_TIME: Duration = Duration::from_secs(10);
/// Silence after which no more of it is waited for: who has the answer may have stopped.
const READ_ON_SILENCE: Duration = Duration::from_secs(2);

/// Room for bodies, in portions.
pub struct BodyRoom {
    bodies: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
}

impl Default for BodyRoom {
    fn default() -> Self {
        let room = |bytes| Arc::new(Semaphore::new(bytes / PORTION_BYTES));
        Self { bodies: room(ROOM_BYTES), uploads: room(UPLOAD_ROOM_BYTES) }
    }
}

/// What one body may take.
struct Bounds {
    bytes: usize,
    time: Duration,
    room: Arc<Semaphore>,
}

/// A request's body. What a route leaves of it is read on and thrown away, beside the answer: a connection that is closed
/// with bytes unread is reset, and the client loses the answer that says why.
pub(super) struct RequestBody {
    /// None when it has been read to its end.
    body: Option<Incoming>,
    reads_on: bool,
    /// Held until the answer is made: what was read is in memory until then.
    room: Option<OwnedSemaphorePermit>,
}

impl RequestBody {
    pub(super) fn of(parts: &Parts, body: Incoming) -> Self {
        // In HTTP/2 a stream ends by itself, and a client that waits for `100 Continue` has sent none.
        let reads_on = parts.version <= Version::HTTP_11 && !parts.headers.contains_key(header::EXPECT);
        Self { body: Some(body), reads_on, room: None }
    }

    /// All of it, at most `limit` bytes.
    pub(super) async fn whole(&mut self, limit: usize, room: &BodyRoom) -> Result<Bytes, Problem> {
        let room = Arc::clone(&room.bodies);
        self.within(&Bounds { bytes: limit, time: BODY_TIME, room }).await
    }

    /// All of a task file.
    pub(super) async fn upload(&mut self, limit: usize, room: &BodyRoom) -> Result<Bytes, Problem> {
        let room = Arc::clone(&room.uploads);
        self.within(&Bounds { bytes: limit, time: UPLOAD_TIME, room }).await
    }

    async fn within(&mut self, bounds: &Bounds) -> Result<Bytes, Problem> {
        let seconds = bounds.time.as_secs();
        let late = || {
            let detail = format!("the body did not arrive within {seconds} s");
            Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", detail)
        };
        timeout(bounds.time, self.read(bounds)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn read(&mut self, bounds: &Bounds) -> Result<Bytes, Problem> {
        let limit = bounds.bytes;
        let too_large = || {
            let detail = format!("the body is larger than {limit} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail).with("limit", limit)
        };
        if self.size() > limit as u64 {
            return Err(too_large());
        }
        let mut whole = BytesMut::new();
        let (mut look, mut before) = (Instant::now() + PACE_TIME, 0);
        loop {
            let next = match &self.room {
                None => self.next().await?,
                Some(_) => match timeout_at(look, self.next()).await {
                    Ok(next) => next?,
                    Err(_) if whole.len() - before < PACE_BYTES => return Err(too_slow()),
                    Err(_) => {
                        (look, before) = (Instant::now() + PACE_TIME, whole.len());
                        continue;
                    }
                },
            };
            let Some(data) = next else { return Ok(whole.freeze()) };
            if whole.len() + data.len() > limit {
                return Err(too_large());
            }
            if self.room.is_none() {
                (look, before) = (Instant::now() + PACE_TIME, whole.len());
            }
            self.take_room(whole.len() + data.len(), &bounds.room)?;
            whole.extend_from_slice(&data);
        }
    }

    /// Takes room for so many bytes in all. Never waits for it: a waiting body would hold room that others wait for.
    fn take_room(&mut self, bytes: usize, room: &Arc<Semaphore>) -> Result<(), Problem> {
        let portions = bytes.saturating_sub(FREE_BYTES).div_ceil(PORTION_BYTES);
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = portions.saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(taken) = Arc::clone(room).try_acquire_many_owned(more) else {
            let detail = "other requests are sending as much as this host has room for; try again";
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
                    return Err(Problem::bad_request("body", format!("the body broke off: {error}")));
                }
            }
        }
        Ok(None)
    }
}

fn too_slow() -> Problem {
    let detail = format!("a large body must bring {PACE_BYTES} bytes every {} s", PACE_TIME.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", detail)
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| self.reads_on && !body.is_end_stream());
        // There is none at the end of the process.
        if let Some(mut body) = left
            && let Ok(runtime) = Handle::try_current()
        {
            // It ends with its connection, which it belongs to, and soon.
            runtime.spawn(timeout(READ_ON_TIME, async move {
                let mut read = 0;
                while read < READ_ON_BYTES
                    && let Ok(Some(Ok(frame))) = timeout(READ_ON_SILENCE, body.frame()).await
                {
                    read += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
            }));
        }
    }
}

/// Whether the connection has to end with an answer that does not take the body.
pub(super) fn ends_unread(request: &Request<Incoming>) -> bool {
    let is_left =
        request.headers().contains_key(header::EXPECT) || request.body().size_hint().lower() > READ_ON_BYTES;
    is_left && request.version() <= Version::HTTP_11
}
