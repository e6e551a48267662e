use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use hyper::body::{Body as HyperBody, Frame, SizeHint};

use crate::storage::StorageError;

/// The reason why a body breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The body cannot contain a notice that it is incomplete.
    #[error("{0}")]
    Incomplete(&'static str),
    #[error("can't compress: {0}")]
    Coding(#[from] std::io::Error),
}

/// A response.
pub(super) type Response = hyper::Response<Body>;

/// The body of a response.
pub(super) enum Body {
    Whole(Option<Bytes>),
    /// An error ends the connection without the end marker of a complete body, so that
    /// the client knows that it has to reconnect.
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>),
}

impl Body {
    pub(super) fn empty() -> Self {
        Self::Whole(None)
    }

    /// The bytes, if the body is no stream.
    pub(super) fn into_whole(self) -> Option<Bytes> {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Stream(_) => None,
        }
    }

    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }
}

impl HyperBody for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => {
                stream.as_mut().poll_next(context).map(|item| item.map(|item| item.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
