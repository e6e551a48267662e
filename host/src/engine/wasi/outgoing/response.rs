//! The body of a response, limited in bytes and time.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use wasmtime_wasi_http::Error;

use crate::engine::grants::HttpGrant;
use crate::engine::wasi::stdio::GuestOutput;

/// The rest of a response's body.
pub(super) struct LimitedBody {
    incoming: Incoming,
    /// Bytes that may still be received.
    left: u64,
    limit: u64,
    /// The deadline of the whole response.
    ends: Pin<Box<Sleep>>,
    /// The guest's own timeout between two chunks.
    between: Option<(Duration, Pin<Box<Sleep>>)>,
    output: GuestOutput,
    /// The manifest that sets the limit; none for the task's own.
    manifest: Option<Arc<str>>,
    /// Held until the response ends, which counts as part of the request.
    _permit: OwnedSemaphorePermit,
}

impl LimitedBody {
    pub(super) fn new(
        incoming: Incoming,
        grant: &HttpGrant,
        ends: Instant,
        between: Option<Duration>,
        output: GuestOutput,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let limit = grant.max_response_bytes;
        Self {
            incoming,
            left: limit,
            limit,
            ends: Box::pin(sleep_until(ends)),
            between: between.map(|time| (time, Box::pin(sleep(time)))),
            output,
            manifest: grant.said_in.clone(),
            _permit: permit,
        }
    }
}

/// The body is larger than its grant allows.
pub(super) fn too_large(output: &GuestOutput, limit: u64, manifest: Option<&str>) -> Error {
    let what = format_args!("a response has more than {limit} bytes");
    output.deny(&what, "raise its max-response in [[grants.http]]", manifest);
    Error::HttpResponseBodySize(Some(limit))
}

impl Body for LimitedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        // Checked first, so that a server that sends without a pause can't exceed the deadline.
        if this.ends.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Error::HttpResponseTimeout)));
        }
        match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                if length > this.left {
                    return Poll::Ready(Some(Err(too_large(
                        &this.output,
                        this.limit,
                        this.manifest.as_deref(),
                    ))));
                }
                this.left -= length;
                if let Some((time, timer)) = &mut this.between {
                    timer.as_mut().reset(Instant::now() + *time);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(Error::HttpResponseIncomplete))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let waited = this.between.as_mut().map(|(_, timer)| timer.as_mut().poll(context));
                match waited {
                    Some(Poll::Ready(())) => Poll::Ready(Some(Err(Error::ConnectionReadTimeout))),
                    _ => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
