//! HTTP requests over `wasi:http`. A task without requests does not import it.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, HeaderError, IncomingBody, IncomingResponse, Method,
    OutgoingBody, OutgoingRequest, Scheme, http_error_code,
};
use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::{InputStream, StreamError};

use crate::guest::Imports;
use crate::host::Host as _;
use crate::http::{Error, ErrorKind, Outgoing, Request, Response};

/// How soon a run that waits for a response detects its cancellation.
const SLICE: Duration = Duration::from_millis(200);
/// Bytes of a body per read: the host's own chunk size.
const PART_BYTES: u64 = 64 << 10;

impl Outgoing for Imports {
    fn exchange(&self, request: &Request) -> Result<Response, Error> {
        let exchange = Exchange::new(request)?;
        let (sent, body) = outgoing(request, &exchange.address)?;
        let answer = handle(sent, None).map_err(|code| exchange.failed(&code))?;
        if let Some(body) = body {
            send(&exchange, body, &request.body)?;
        }
        let response = loop {
            match answer.get() {
                Some(response) => break response.unwrap_or(Err(ErrorCode::InternalError(None))),
                None => exchange.wait_for(&answer.subscribe())?,
            }
        };
        let response = response.map_err(|code| exchange.failed(&code))?;
        let (status, headers) = (response.status(), response.headers().entries());
        let body = response.consume().and_then(|body| Ok((body.stream()?, body)));
        let (stream, body) = body.map_err(|()| exchange.failed(&ErrorCode::InternalError(None)))?;
        let (what, rest) = (request.what(), (body, response, answer));
        let body = Body { stream, _rest: rest, part: io::Cursor::default(), exchange };
        Ok(Response { what, max: request.max_response, status, headers, body: Box::new(body) })
    }
}

/// The target of a request.
struct Address {
    is_https: bool,
    authority: String,
    path: String,
}

impl Address {
    /// None if it is not an http or https URL. The host checks it again.
    fn of(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let rest = rest.split('#').next()?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let slash = if path.starts_with('/') { "" } else { "/" };
        (!authority.is_empty()).then(|| Self {
            is_https,
            authority: authority.to_owned(),
            path: format!("{slash}{path}"),
        })
    }

    /// The name and the port. Colons in brackets are part of an IPv6 address.
    fn host_and_port(&self) -> (&str, Option<&str>) {
        let from = self.authority.rfind(']').unwrap_or(0);
        match self.authority[from..].find(':') {
            Some(colon) => (&self.authority[..from + colon], Some(&self.authority[from + colon + 1..])),
            None => (&self.authority, None),
        }
    }
}

/// A pending request, without its body, which can be large.
struct Exchange {
    what: String,
    method: String,
    address: Address,
    timeout: Duration,
    /// In nanoseconds of the host's monotonic clock.
    deadline: Option<u64>,
    /// A cancelled run can still send requests while it cleans up.
    was_cancelled: bool,
}

impl Exchange {
    fn new(request: &Request) -> Result<Self, Error> {
        let address = Address::of(&request.url).ok_or_else(|| {
            let why = format_args!("{:?} is not an http or https URL", request.url);
            Error::new(ErrorKind::InvalidArgument, why)
        })?;
        let from_now = |timeout| monotonic_clock::now().saturating_add(nanoseconds(timeout));
        Ok(Self {
            what: request.what(),
            method: request.method.clone(),
            address,
            timeout: request.timeout.unwrap_or_default(),
            deadline: request.timeout.map(from_now),
            was_cancelled: Imports.cancelled(),
        })
    }

    fn wait_for(&self, it: &Pollable) -> Result<(), Error> {
        loop {
            let left = self.deadline.map_or(u64::MAX, |at| at.saturating_sub(monotonic_clock::now()));
            let clock = monotonic_clock::subscribe_duration(left.min(nanoseconds(SLICE)));
            if poll(&[it, &clock]).contains(&0) {
                return Ok(());
            }
            if !self.was_cancelled && Imports.cancelled() {
                return Err(self.refused(ErrorKind::Cancelled, "the run was cancelled"));
            }
            if self.deadline.is_some_and(|at| at <= monotonic_clock::now()) {
                let why = format!("no complete response within {} ms", self.timeout.as_millis());
                return Err(self.refused(ErrorKind::TimedOut, why));
            }
        }
    }

    fn refused(&self, kind: ErrorKind, why: impl fmt::Display) -> Error {
        Error::new(kind, format_args!("{}: {why}", self.what))
    }

    fn failed(&self, code: &ErrorCode) -> Error {
        let (host, port) = self.address.host_and_port();
        match code {
            ErrorCode::HttpRequestDenied => {
                let schemes = if self.address.is_https { "" } else { ", schemes = [\"http\"]" };
                let ports = port.map_or(String::new(), |port| format!(", ports = [{port}]"));
                let why = format!(
                    "not granted: it needs [[grants.http]] with host = {host:?}{schemes}{ports}, methods = [{:?}] in \
                     the task's manifest",
                    self.method
                );
                self.refused(ErrorKind::Denied, why)
            }
            ErrorCode::DestinationIpProhibited => {
                let why = format!(
                    "not granted: {host} has no public address, so its [[grants.http]] needs private = true"
                );
                self.refused(ErrorKind::Denied, why)
            }
            ErrorCode::HttpResponseBodySize(_) => {
                self.refused(ErrorKind::TooLarge, "response body larger than the grant's max-response")
            }
            ErrorCode::InternalError(Some(why)) => self.refused(ErrorKind::Unavailable, why),
            code => self.refused(kind(code), words(code)),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn outgoing(request: &Request, address: &Address) -> Result<(OutgoingRequest, Option<OutgoingBody>), Error> {
    let invalid = |why: &str| request.refused(ErrorKind::InvalidArgument, why);
    let has_body = !request.body.is_empty() || ["POST", "PUT", "PATCH"].contains(&&*request.method);
    let headers = request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
    let mut headers: Vec<_> = headers.collect();
    // Otherwise, the body would be sent in chunks, which some servers don't accept.
    if has_body && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        headers.push(("content-length".to_owned(), request.body.len().to_string().into_bytes()));
    }
    let headers = Fields::from_list(&headers).map_err(|error| match error {
        HeaderError::Forbidden => invalid("one of its headers is the connection's own, such as Host"),
        _ => invalid("one of its headers has a character that none may have"),
    })?;
    let sent = OutgoingRequest::new(headers);
    sent.set_method(&method(&request.method)).map_err(|()| invalid("its method is none of HTTP"))?;
    let scheme = if address.is_https { Scheme::Https } else { Scheme::Http };
    sent.set_scheme(Some(&scheme))
        .and_then(|()| sent.set_authority(Some(&address.authority)))
        .and_then(|()| sent.set_path_with_query(Some(&address.path)))
        .map_err(|()| invalid("its address has a character that has to be percent-encoded"))?;
    let body = has_body.then(|| sent.body()).transpose().map_err(|()| invalid("it has no body"))?;
    Ok((sent, body))
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

/// Sends a body. If the server stops reading it, its response has the reason.
fn send(exchange: &Exchange, body: OutgoingBody, mut bytes: &[u8]) -> Result<(), Error> {
    let Ok(stream) = body.write() else { return Ok(()) };
    let mut is_flushed = false;
    let is_taken = loop {
        match stream.check_write() {
            Err(_) => break false,
            Ok(0) => exchange.wait_for(&stream.subscribe())?,
            Ok(room) if !bytes.is_empty() => {
                let (part, rest) =
                    bytes.split_at(usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len()));
                if stream.write(part).is_err() {
                    break false;
                }
                bytes = rest;
            }
            // Unflushed data may be lost when the stream is dropped; it is flushed when the stream
            // has capacity again.
            Ok(_) if is_flushed => break true,
            Ok(_) if stream.flush().is_err() => break false,
            Ok(_) => is_flushed = true,
        }
    };
    drop(stream);
    if is_taken {
        // The server stopped reading the body; its response has the reason.
        let _ = OutgoingBody::finish(body, None);
    }
    Ok(())
}

/// The rest of a response.
struct Body {
    // Fields are dropped in this order: the stream must be dropped before its body, and the body
    // before the response.
    stream: InputStream,
    _rest: (IncomingBody, IncomingResponse, FutureIncomingResponse),
    part: io::Cursor<Vec<u8>>,
    exchange: Exchange,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.part.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.stream.read(PART_BYTES) {
                Ok(part) if part.is_empty() => {
                    self.exchange.wait_for(&self.stream.subscribe()).map_err(io::Error::other)?;
                }
                Ok(part) => self.part = io::Cursor::new(part),
                Err(StreamError::Closed) => return Ok(0),
                Err(StreamError::LastOperationFailed(error)) => {
                    let error = match http_error_code(&error) {
                        Some(code) => self.exchange.failed(&code),
                        None => self.exchange.refused(ErrorKind::Unavailable, "the connection broke off"),
                    };
                    return Err(io::Error::other(error));
                }
            }
        }
    }
}

fn kind(code: &ErrorCode) -> ErrorKind {
    match code {
        ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong => ErrorKind::InvalidArgument,
        ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_) => ErrorKind::TooLarge,
        _ => ErrorKind::Unavailable,
    }
}

/// Its name in the contract of `wasi:http`, such as `connection-refused`, without the dashes.
fn words(code: &ErrorCode) -> String {
    let name = format!("{code:?}");
    let (_, name) = name.split_once("::").unwrap_or_default();
    let mut words = String::new();
    for letter in name.chars().take_while(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}
