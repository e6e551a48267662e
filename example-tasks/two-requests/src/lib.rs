//! Two concurrent requests, in a task whose `process` is an `async func`: while one server is still
//! working, the response of the other one is passed on, piece by piece.
//!
//! Uses the experimental async world: a host accepts it with `--experimental-async`.

#![allow(missing_docs, reason = "what is made from the contract has none")]

use futures_util::future::join;
use serde::{Deserialize, Serialize};
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::wit_future;

use streamtask::task::{control, events};

// Not public, so that the generated code needs no documentation.
mod contract {
    wit_bindgen::generate!({
        path: ["../../wit", "../../wit/async"],
        world: "streamtask:task-async/async-task",
        generate_all,
    });
}
use contract::{Failure, Guest, streamtask};

/// Most bytes per read.
const PIECE_BYTES: usize = 16 << 10;

#[derive(Deserialize)]
struct Input {
    urls: [String; 2],
}

/// The result of a request.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Page {
    Read { url: String, status: u16, bytes: usize },
    Failed { url: String, error: String },
}

#[derive(Serialize)]
struct Piece<'a> {
    url: &'a str,
    bytes: usize,
}

struct TwoRequests;

impl Guest for TwoRequests {
    async fn process(input: String) -> Result<String, Failure> {
        let Input { urls: [one, other] } =
            serde_json::from_str(&input).map_err(|error| failure("invalid-input", &error.to_string()))?;
        let (one, other) = join(page(one), page(other)).await;
        if control::cancelled() {
            return Err(failure("cancelled", "the run was cancelled"));
        }
        Ok(json(&[one, other]))
    }
}

/// A failed request does not affect the other one.
async fn page(url: String) -> Page {
    match fetch(&url).await {
        Ok((status, bytes)) => Page::Read { url, status, bytes },
        Err(error) => Page::Failed { url, error },
    }
}

/// Sends an event for each piece of the body; returns the status and the length of the body.
async fn fetch(url: &str) -> Result<(u16, usize), String> {
    let why = |error: ErrorCode| format!("{error:?}");
    let (request, _) = get(url)?;
    let response = client::send(request).await.map_err(why)?;
    let status = response.get_status_code();
    let (_, no_objection) = wit_future::new(|| Ok(()));
    let (mut body, end) = Response::consume_body(response, no_objection);
    let mut total = 0;
    loop {
        let (_, piece) = body.read(Vec::with_capacity(PIECE_BYTES)).await;
        if piece.is_empty() || control::cancelled() {
            break;
        }
        total += piece.len();
        let event = json(&Piece { url, bytes: piece.len() });
        events::send_event("piece", &event).map_err(|error| error.message)?;
    }
    drop(body);
    // Whether the body is complete.
    end.await.map_err(why)?;
    Ok((status, total))
}

fn get(url: &str) -> Result<(Request, wit_bindgen::FutureReader<Result<(), ErrorCode>>), String> {
    let (scheme, authority, path) = parts(url).ok_or("the address is not http(s)://…")?;
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let (request, sent) = Request::new(Fields::new(), None, no_trailers, None);
    let invalid = |()| format!("{url:?} is not an address");
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    request.set_path_with_query(Some(path)).map_err(invalid)?;
    Ok((request, sent))
}

/// Scheme, authority, and path with query.
fn parts(url: &str) -> Option<(Scheme, &str, &str)> {
    let (scheme, rest) = match url.split_once("://")? {
        ("http", rest) => (Scheme::Http, rest),
        ("https", rest) => (Scheme::Https, rest),
        _ => return None,
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    Some((scheme, authority, if path.is_empty() { "/" } else { path }))
}

fn failure(code: &str, message: &str) -> Failure {
    Failure {
        message: message.to_owned(),
        code: Some(code.to_owned()),
        details: None,
        retryable: false,
        retry_after_ms: None,
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data")
}

contract::export!(TwoRequests with_types_in contract);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_three_parts() {
        for (url, authority, path) in [
            ("http://127.0.0.1:8080/a/b?c=d", "127.0.0.1:8080", "/a/b?c=d"),
            ("https://example.com", "example.com", "/"),
        ] {
            let (_, found, rest) = parts(url).unwrap_or_else(|| panic!("{url}"));
            assert_eq!((found, rest), (authority, path));
        }
        assert!(parts("ftp://example.com/").is_none() && parts("example.com").is_none());
    }
}
