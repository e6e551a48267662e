//! HTTP responses for tests.

use std::io::Cursor;
use std::time::Duration;

use super::{FakeHost, Recording};
use crate::http::{Error, ErrorKind, Outgoing, Request, Response};

/// The response of a server.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    delay: Duration,
}

impl Reply {
    /// A response with a status only.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), delay: Duration::ZERO }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Delays the response, which advances the clock.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

#[derive(Default)]
pub(super) struct State {
    replies: Vec<(String, Reply)>,
    requests: Vec<Request>,
}

/// # HTTP
impl Recording {
    /// Answers requests for a URL. Several replies for the same URL are used one
    /// after the other; the last one is repeated. Other requests are denied.
    #[must_use]
    pub fn with_reply(self, url: &str, reply: Reply) -> Self {
        self.state().http.replies.push((url.to_owned(), reply));
        self
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state().http.requests.clone()
    }
}

impl Outgoing for FakeHost {
    fn exchange(&self, request: &Request) -> Result<Response, Error> {
        let mut state = self.0.borrow_mut();
        state.http.requests.push(request.clone());
        let replies = &mut state.http.replies;
        let mut of_it = (0..replies.len()).filter(|&at| replies[at].0 == request.url);
        let Some(first) = of_it.next() else {
            return Err(request.refused(ErrorKind::Denied, "no reply is defined: use `with_reply`"));
        };
        let Reply { status, headers, body, delay } =
            if of_it.next().is_some() { replies.remove(first).1 } else { replies[first].1.clone() };
        let was_cancelled = state.cancelled();
        let waited = request.timeout.map_or(delay, |timeout| timeout.min(delay));
        if !state.wait(waited) && !was_cancelled {
            return Err(request.refused(ErrorKind::Cancelled, "the run was cancelled"));
        }
        if waited < delay {
            return Err(request.refused(
                ErrorKind::TimedOut,
                format!("no complete response within {} ms", waited.as_millis()),
            ));
        }
        let what = request.what();
        Ok(Response { what, max: request.max_response, status, headers, body: Box::new(Cursor::new(body)) })
    }
}
