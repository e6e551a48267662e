//! What a request carries: its query, its headers, its body.

use std::str::FromStr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode, Uri, Version};
use percent_encoding::percent_decode_str;
use tokio::runtime::Handle;

use super::problem::Problem;

/// Time for a client to send its body; a slower one holds a connection for
/// nothing.
const BODY_TIME: Duration = Duration::from_secs(30);

/// How much of a body that nobody wants is read on, so that its client comes to read the answer: twice the largest that
/// is taken anywhere. None of it is kept.
const READ_ON_BYTES: u64 = 128 << 20;
/// For how long.
const READ_ON_TIME: Duration = Duration::from_secs(10);
/// Silence after which no more of it is waited for: who has the answer may have stopped.
const READ_ON_SILENCE: Duration = Duration::from_secs(2);

/// The query's parameters, decoded.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Refuses what is not UTF-8: with a mark in its place, two values would be one.
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let parts = uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty());
        let decoded = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let decode = |text: &str| {
                let spaced = text.replace('+', " ");
                percent_decode_str(&spaced).decode_utf8().map(String::from).ok()
            };
            let parameter = decode(name).zip(decode(value));
            parameter.ok_or_else(|| {
                let detail = format!("the query parameter `{name}` is not UTF-8, name or value");
                Problem::bad_request("invalid-parameter", detail).with("parameter", name)
            })
        });
        decoded.collect::<Result<_, _>>().map(Self)
    }

    /// The name of each parameter, as often as it is there.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The value of a parameter that can't be repeated.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that can be repeated.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The same as another type. `what` says what it has to be.
    pub(super) fn parse<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| invalid(name, text, what))
    }
}

/// A parameter's value makes no sense.
pub(super) fn invalid(name: &str, value: &str, what: &str) -> Problem {
    let detail = format!("the query parameter `{name}` is {value:?}; it must be {what}");
    Problem::bad_request("invalid-parameter", detail).with("parameter", name)
}

/// A header as text; none if it is absent. One that is not text is empty, for no check
/// may be passed by what it can't read.
pub(super) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    Some(headers.get(name)?.to_str().unwrap_or_default())
}

/// A header that is a list, which may come in several lines; none if it is absent or
/// not text.
pub(super) fn header_list(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// Refuses a body that is packed, which would be taken for what is in it.
pub(super) fn check_codings(headers: &HeaderMap) -> Result<(), Problem> {
    let other_than = |name: HeaderName, known: &str| {
        let list = headers
            .get_all(name)
            .iter()
            .map(|line| line.to_str().unwrap_or("?"))
            .collect::<Vec<_>>()
            .join(",");
        let mut items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.find(|item| !item.eq_ignore_ascii_case(known)).map(str::to_owned)
    };
    if let Some(coding) = other_than(header::TRANSFER_ENCODING, "chunked") {
        let detail =
            format!("the transfer coding {coding:?} is not known here; send the body as it is, or chunked");
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "transfer-coding", detail));
    }
    if let Some(coding) = other_than(header::CONTENT_ENCODING, "identity") {
        let detail = format!("a body with the content coding {coding:?} is not taken; send it as it is");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-coding", detail));
    }
    Ok(())
}

/// A request's body. What a route leaves of it is read on and thrown away, beside the answer: a connection that is closed
/// with bytes unread is reset, and the client loses the answer that says why.
pub(super) struct RequestBody {
    /// None when it has been read to its end.
    body: Option<Incoming>,
    reads_on: bool,
}

impl RequestBody {
    pub(super) fn of(parts: &Parts, body: Incoming) -> Self {
        // In HTTP/2 a stream ends by itself, and who waits to be asked for a body has sent none.
        let reads_on = parts.version <= Version::HTTP_11 && !parts.headers.contains_key(header::EXPECT);
        Self { body: Some(body), reads_on }
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

impl Drop for RequestBody {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| self.reads_on && !body.is_end_stream());
        // There is none at the end of the process.
        if let Some(mut body) = left
            && let Ok(runtime) = Handle::try_current()
        {
            // It ends with its connection, which it belongs to, and soon.
            runtime.spawn(tokio::time::timeout(READ_ON_TIME, async move {
                let mut read = 0;
                while read < READ_ON_BYTES
                    && let Ok(Some(Ok(frame))) = tokio::time::timeout(READ_ON_SILENCE, body.frame()).await
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

/// The whole body, at most `limit` bytes.
pub(super) async fn body(body: RequestBody, limit: usize) -> Result<Bytes, Problem> {
    body_within(body, limit, BODY_TIME).await
}

/// The same, in another time.
pub(super) async fn body_within(
    mut body: RequestBody,
    limit: usize,
    time: Duration,
) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is larger than {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail).with("limit", limit)
    };
    if body.size() > limit as u64 {
        return Err(too_large());
    }
    let reading = async {
        let mut whole = BytesMut::new();
        while let Some(data) = body.next().await? {
            if whole.len() + data.len() > limit {
                return Err(too_large());
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    };
    let detail = format!("the body did not arrive within {} s", time.as_secs());
    let late = || Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", detail);
    tokio::time::timeout(time, reading).await.unwrap_or_else(|_| Err(late()))
}
