//! HTTP requests that the task's manifest [grants].
//!
//! ```
//! use std::time::Duration;
//!
//! use serde::Deserialize;
//! use streamtask_sdk::{Context, Failure, http};
//!
//! #[derive(Deserialize)]
//! struct Item {
//!     name: String,
//! }
//!
//! fn fetch(ctx: &Context) -> Result<Vec<Item>, Failure> {
//!     let response = http::get("https://api.example.org/items")
//!         .query("of", "moss")
//!         .header("Accept", "application/json")
//!         .timeout(Duration::from_secs(10))
//!         .send(ctx)?
//!         .error_for_status()?;
//!     Ok(response.json()?)
//! }
//! # use streamtask_sdk::testing::{Recording, Reply};
//! # let url = "https://api.example.org/items?of=moss";
//! # let run = Recording::new().with_reply(url, Reply::new(200).body(r#"[{"name":"Ada"}]"#));
//! # assert_eq!(fetch(&run).unwrap()[0].name, "Ada");
//! ```
//!
//! A response can have any status, also 404, and 302, which is not followed, because its target
//! may not be granted. This module does not increase the size of tasks that do not use it.
//!
//! [grants]: https://github.com/streamtask/streamtask#grants

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Context;

/// The default limit for the bytes of a body that is read as a whole.
const MAX_RESPONSE: usize = 8 << 20;

/// Creates a GET request.
pub fn get(url: &str) -> Request {
    Request::new("GET", url)
}

/// Creates a POST request.
pub fn post(url: &str) -> Request {
    Request::new("POST", url)
}

/// A request; [`send`](Self::send) sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is not sent yet"]
pub struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_response: usize,
    /// The reason why it can't be sent.
    pub(crate) invalid: Option<String>,
}

impl Request {
    /// Creates a request with any method. The URL is `http` or `https`; invalid characters are
    /// percent-encoded.
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
            max_response: MAX_RESPONSE,
            invalid: None,
        }
    }

    /// Adds a query parameter, percent-encoded.
    pub fn query(mut self, name: &str, value: impl fmt::Display) -> Self {
        let fragment = self.url.find('#').map_or(String::new(), |at| self.url.split_off(at));
        self.url.push(if self.url.contains('?') { '&' } else { '?' });
        self.url += &format!("{}={}{fragment}", encoded(name), encoded(&value.to_string()));
        self
    }

    /// Adds a header. The host sets those of the connection, such as `Host`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to the JSON of a value, and the header `Content-Type`.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => self.body = json,
            Err(error) => self.invalid = Some(format!("the body can't be encoded as JSON: {error}")),
        }
        self.header("Content-Type", "application/json")
    }

    /// Sets the timeout of the whole request, to the last byte of the response. The grant's
    /// limits apply, too.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the limit for a response body that is read as a whole; the default is 8 MiB. With
    /// [`Read`], only the grant's limit applies.
    pub fn max_response(mut self, bytes: usize) -> Self {
        self.max_response = bytes;
        self
    }

    /// Sends the request, and waits until the response begins. Fails when the run is cancelled
    /// during that; a run that was already cancelled can still send requests to clean up.
    pub fn send(self, ctx: &Context) -> Result<Response, Error> {
        match &self.invalid {
            Some(why) => Err(self.refused(ErrorKind::InvalidArgument, why)),
            None => ctx.host.exchange(&self),
        }
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The headers.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The body.
    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }

    /// A short description of the request.
    pub(crate) fn what(&self) -> String {
        format!("{} {}", self.method, self.url)
    }

    pub(crate) fn refused(&self, kind: ErrorKind, why: impl fmt::Display) -> Error {
        Error::new(kind, format_args!("{}: {why}", self.what()))
    }
}

/// A response. Its body can be read as it is received, with [`Read`], or as a whole.
pub struct Response {
    pub(crate) what: String,
    pub(crate) max: usize,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Box<dyn Read>,
}

impl Response {
    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first header with this case-insensitive name; none if it is not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// All headers.
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    /// Returns an error if the status is 400 or more.
    pub fn error_for_status(self) -> Result<Self, Error> {
        match self.status {
            ..400 => Ok(self),
            status => {
                let why = format_args!("{}: the server says {status}", self.what);
                Err(Error::new(ErrorKind::Status(status), why))
            }
        }
    }

    /// The whole body.
    pub fn bytes(self) -> Result<Vec<u8>, Error> {
        let Self { what, max, body, .. } = self;
        let mut bytes = Vec::new();
        let read = body.take((max as u64).saturating_add(1)).read_to_end(&mut bytes);
        match read {
            Ok(_) if bytes.len() > max => {
                let why = format_args!("{what}: the response has more than {max} bytes");
                Err(Error::new(ErrorKind::TooLarge, why))
            }
            Ok(_) => Ok(bytes),
            // Errors of the body itself have this type.
            Err(other) => Err(other
                .downcast()
                .unwrap_or_else(|other| Error::new(ErrorKind::Unavailable, format_args!("{what}: {other}")))),
        }
    }

    /// The whole body as text; invalid UTF-8 becomes U+FFFD.
    pub fn text(self) -> Result<String, Error> {
        let bytes = self.bytes()?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into()))
    }

    /// The body, parsed as JSON.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let what = self.what.clone();
        serde_json::from_slice(&self.bytes()?).map_err(|error| {
            let why = format_args!("{what}: the response is not the JSON that it should be: {error}");
            Error::new(ErrorKind::InvalidResponse, why)
        })
    }
}

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("what", &self.what)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A request failed, or its response is not usable.
///
/// `?` converts it to a [`Failure`](crate::Failure) with the code of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }

    /// The kind of error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Kinds of errors, distinguished by how the task can react.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is invalid.
    InvalidArgument,
    /// The operator has not granted the request; the message names the missing grant.
    Denied,
    /// The request or its response is larger than allowed.
    TooLarge,
    /// The request timed out.
    TimedOut,
    /// The run was cancelled.
    Cancelled,
    /// There was no response, or it was incomplete. Another attempt may succeed.
    Unavailable,
    /// The response has this status: from [`Response::error_for_status`].
    Status(u16),
    /// The response is invalid.
    InvalidResponse,
}

impl ErrorKind {
    /// A short machine-readable code, such as `timed-out`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid-argument",
            Self::Denied => "denied",
            Self::TooLarge => "too-large",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Unavailable => "unavailable",
            Self::Status(_) => "status",
            Self::InvalidResponse => "invalid-response",
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::TimedOut | Self::Unavailable | Self::Status(408 | 429 | 500..))
    }
}

/// Sends requests.
pub(crate) trait Outgoing {
    fn exchange(&self, request: &Request) -> Result<Response, Error>;
}

/// All characters except those that need no encoding (RFC 3986, section 2.3).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => encoded.push(byte.into()),
            false => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;

    #[test]
    fn a_query_is_encoded_and_comes_before_the_fragment() {
        let request = get("http://a/b?c=d#e").query("ä b", "1&2").query("n", 7);
        assert_eq!(request.url(), "http://a/b?c=d&%C3%A4%20b=1%262&n=7#e");
        assert_eq!(get("http://a").query("x", "y").url(), "http://a?x=y");
    }

    #[test]
    fn a_failure_says_what_kind_of_error_it_was_and_whether_another_attempt_may_help() {
        for (kind, code, retryable) in [
            (ErrorKind::Denied, "denied", false),
            (ErrorKind::TimedOut, "timed-out", true),
            (ErrorKind::Status(404), "status", false),
            (ErrorKind::Status(503), "status", true),
        ] {
            let failure = Failure::from(get("http://a").refused(kind, "no"));
            assert_eq!(failure.message, "GET http://a: no");
            assert_eq!((failure.code.as_deref(), failure.retryable), (Some(code), retryable));
            // As returned when a response is read with `Read`.
            let read = io::Error::other(get("http://a").refused(kind, "no"));
            assert_eq!(Failure::from(read), failure);
        }
    }
}
