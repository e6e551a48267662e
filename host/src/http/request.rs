//! The query and the headers of a request.

use std::str::FromStr;

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{StatusCode, Uri};
use percent_encoding::percent_decode_str;

use super::problem::Problem;

/// The decoded parameters of a query.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Parse a query. One that is not UTF-8 is rejected, because replacement characters could make different values equal.
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
                let detail = format!("the name or the value of the query parameter `{name}` is not UTF-8");
                Problem::bad_request("invalid-parameter", detail).with("parameter", name)
            })
        });
        decoded.collect::<Result<_, _>>().map(Self)
    }

    /// The name of each parameter, with repetitions.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The value of a parameter that cannot be repeated.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that can be repeated.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Parse the value of such a parameter. `what` describes valid values.
    pub(super) fn parse<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| invalid(name, text, what))
    }
}

/// The problem of an invalid parameter. `what` describes valid values.
pub(super) fn invalid(name: &str, value: &str, what: &str) -> Problem {
    let detail = format!("the query parameter `{name}` is {value:?}; it must be {what}");
    Problem::bad_request("invalid-parameter", detail).with("parameter", name)
}

/// A header as text, or `None` if it is absent. One that is not text counts as empty, so that it passes no check.
pub(super) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    Some(headers.get(name)?.to_str().unwrap_or_default())
}

/// A header that contains a list, possibly in several lines. `None` if it is absent or not text.
pub(super) fn header_list(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// Reject an encoded body: the host would read the encoded bytes as the content.
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
            format!("the transfer coding {coding:?} is not supported; send the body unencoded or chunked");
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "unsupported-transfer-coding", detail));
    }
    if let Some(coding) = other_than(header::CONTENT_ENCODING, "identity") {
        let detail = format!("a body with the content coding {coding:?} is not accepted; send it unencoded");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-content-coding", detail));
    }
    Ok(())
}
