//! What a request carries: its query, its headers, its body.

use std::str::FromStr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{HeaderMap, HeaderName};
use hyper::{StatusCode, Uri};

use super::problem::Problem;

/// Time for a client to send its body; a slower one holds a connection for
/// nothing.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The query's parameters, decoded.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that can be repeated.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value as another type. `what` says what it has to be.
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

/// The whole body, at most `limit` bytes.
pub(super) async fn body(body: Incoming, limit: usize) -> Result<Bytes, Problem> {
    body_within(body, limit, BODY_TIME).await
}

/// The same, in another time.
pub(super) async fn body_within(mut body: Incoming, limit: usize, time: Duration) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is larger than {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail).with("limit", limit)
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let reading = async {
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|error| Problem::bad_request("body", format!("the body broke off: {error}")))?;
            if let Ok(data) = frame.into_data() {
                if whole.len() + data.len() > limit {
                    return Err(too_large());
                }
                whole.extend_from_slice(&data);
            }
        }
        Ok(whole.freeze())
    };
    let detail = format!("the body did not arrive within {} s", time.as_secs());
    let late = || Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", detail);
    tokio::time::timeout(time, reading).await.unwrap_or_else(|_| Err(late()))
}
