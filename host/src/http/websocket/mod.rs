//! `GET /stream/{app}/{task}/{run}` with `Upgrade: websocket`: a run's log, and requests to the run.
//!
//! The host sends the current run, then the lines of the NDJSON stream, each as a message. The client sends requests,
//! which get the same responses as over HTTP. The two directions are independent: a client that reads slowly can still
//! cancel.

mod commands;
mod connection;
mod notice;

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Api;
use super::body::{Body, Response};
use super::coding;
use super::problem::Problem;
use super::request::{Query, header_list};
use super::stream::{self, Options, Reader};

/// The subprotocol, for clients that offer some.
const SUBPROTOCOL: &str = "streamtask.v1";

/// Whether a request asks for a WebSocket.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let names = |name, wanted: &str| {
        header_list(headers, name)
            .is_some_and(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(wanted)))
    };
    names(header::CONNECTION, "upgrade") && names(header::UPGRADE, "websocket")
}

/// Reject a request for a WebSocket that lost its `Connection` or `Upgrade` header in a proxy.
pub(super) fn refuse_broken(headers: &HeaderMap) -> Option<Response> {
    if is_wanted(headers) || !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        return None;
    }
    let detail = "this WebSocket handshake lacks `Connection: upgrade` and `Upgrade: websocket`: a proxy does not \
                  forward them; docs/proxy.md has its configuration";
    let mut response = Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade-required", detail).response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    Some(response)
}

/// Respond to a request for a WebSocket, and serve the connection in a task of its own.
pub(super) async fn open(
    api: &Arc<Api>,
    parts: Parts,
    query: &Query,
    path: [&str; 3],
) -> Result<Response, Problem> {
    let run = stream::find(api, path).await?;
    let accept = accept_key(&parts.headers)?;
    let subprotocol = subprotocol(&parts.headers);
    let options = Options::of_websocket(&api.config(), &parts.headers, query)?;
    let log = Reader::open(api, &run, options).await?.begin(api, coding::Stream::Plain);
    let upgraded = hyper::upgrade::on(hyper::Request::from_parts(parts, ()));
    let served = Arc::clone(api);
    api.websockets.spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            connection::serve(&served, &run, log, upgraded).await;
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    Ok(response)
}

/// Select one of the subprotocols that a client offers: browsers fail if none is selected. All mean the same here.
fn subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = header_list(headers, header::SEC_WEBSOCKET_PROTOCOL)?;
    let mut offered = offered.split(',').map(str::trim).filter(|name| !name.is_empty());
    let first = offered.next()?;
    let known = first == SUBPROTOCOL || offered.any(|name| name == SUBPROTOCOL);
    HeaderValue::try_from(if known { SUBPROTOCOL } else { first }).ok()
}

/// Compute the value of `Sec-WebSocket-Accept` (RFC 6455, section 4.2).
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let refuse = |detail: &str| Problem::bad_request("invalid-upgrade", detail);
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(refuse("a WebSocket needs `Sec-WebSocket-Version: 13`"));
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return Err(refuse("a WebSocket needs `Sec-WebSocket-Key`"));
    };
    HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| refuse("`Sec-WebSocket-Key` is invalid"))
}
