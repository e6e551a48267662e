//! `GET /stream/{app}/{task}/{run}`: a run's log, from some position on, live.

mod frames;
mod options;
mod reader;

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use tokio::time::Instant;

use super::body::{Body, Response};
use super::coding::{self, Coding};
use super::format::{BYTES, NDJSON, SSE, TEXT};
use super::json::RunJson;
use super::problem::Problem;
use super::request::{Query, header_list, invalid};
use super::{Api, accept, cors, json};
use crate::model::{Run, RunId, TaskRef};

pub(super) use frames::{gathered, joined};
pub(super) use options::{Filter, Options, WEBSOCKET, envelope, heartbeat, interval};
pub(super) use reader::Reader;

/// What `?format=` can say, and the media types that it stands for.
const FORMATS: [(&str, &str); 5] =
    [("sse", SSE), ("ndjson", NDJSON), ("json", JSON), ("text", TEXT), ("bytes", BYTES)];
/// Other names under which clients ask for NDJSON, and get it. `application/json-seq` is another framing.
pub(super) const NDJSON_NAMES: [&str; 6] = [
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/jsonlines",
    "application/json-lines",
    "application/stream+json",
];
/// The run as it is now.
pub(super) const JSON: &str = "application/json";

/// Segments, of some 32 KiB each, that are gathered for one frame of a run.
pub(super) const MAX_HELD: usize = 8;

/// Which of `offers` (in the host's order of preference) a request is for: by `?format=`, or by `Accept`. `what` is
/// offered, for the error.
pub(super) fn media(
    headers: &HeaderMap,
    query: &Query,
    offers: &[&'static str],
    what: &str,
) -> Result<&'static str, Problem> {
    if let Some(name) = query.get("format") {
        let found = FORMATS.iter().find(|(format, media)| *format == name && offers.contains(media));
        return found.map(|(_, media)| *media).ok_or_else(|| {
            let names: Vec<String> = FORMATS
                .iter()
                .filter(|(_, media)| offers.contains(media))
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            invalid("format", name, &format!("one of {}", names.join(", ")))
        });
    }
    let mut named = offers.to_vec();
    if let Some(at) = offers.iter().position(|offer| *offer == NDJSON) {
        named.splice(at + 1..at + 1, NDJSON_NAMES);
    }
    let accepted = header_list(headers, header::ACCEPT);
    accept::best(accepted.as_deref(), &named).ok_or_else(|| {
        let detail = format!("{what} can be had as {}", offers.join(", "));
        Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", detail)
    })
}

/// `GET /stream/{app}/{task}/{run}`.
pub(super) async fn get(
    api: &Arc<Api>,
    parts: &Parts,
    query: &Query,
    path: [&str; 3],
) -> Result<Response, Problem> {
    let headers = &parts.headers;
    let run = find(api, path).await?;
    let media = media(headers, query, &[SSE, NDJSON, JSON, TEXT, BYTES], "this stream")?;
    if media == JSON {
        return Ok(json::response(StatusCode::OK, &RunJson::from(&run)));
    }
    let mut options = Options::of(&api.config(), headers, query, media)?;
    options.is_client = cors::reads(&api.config(), parts);
    open(api, &run, options, Coding::wanted(headers)).await
}

pub(super) async fn find(api: &Api, [app, task, id]: [&str; 3]) -> Result<Run, Problem> {
    let unknown =
        || Problem::not_found("unknown-run", format!("there is no run {id:?} of a task {app}/{task}"));
    let (Ok(name), Ok(id)) = (TaskRef::parse(app, task), RunId::parse(id)) else { return Err(unknown()) };
    let run = api.storage.run(&id).await?;
    run.filter(|run| run.task == name).ok_or_else(unknown)
}

/// A response that follows `run`.
pub(super) async fn open(
    api: &Arc<Api>,
    run: &Run,
    options: Options,
    coding: Option<Coding>,
) -> Result<Response, Problem> {
    let mut response = Response::new(Body::empty());
    describe(response.headers_mut(), &options);
    // Pictures, sound and films are packed already.
    let coding = coding.filter(|_| !options.has_own_media());
    let reader = Reader::open(api, run, options).await?;
    if run.last_seq.is_some_and(|last| reader.position() >= last) {
        return Ok(coding::nothing_more());
    }
    let (stream, coding) = coding::Stream::new(coding, &api.windows);
    coding::mark(response.headers_mut(), coding);
    let reader = reader.coded(stream);
    let stream = futures_util::stream::unfold(reader, |mut reader| async {
        let next = reader.next().await;
        next.map(|item| (item, reader))
    });
    *response.body_mut() = Body::Stream(Box::pin(stream));
    Ok(response)
}

/// Returns when a sign of life is due to a reader that was given something at `spoke`.
pub(super) async fn silence(heartbeat: Option<Duration>, spoke: Instant) {
    match heartbeat {
        Some(time) => tokio::time::sleep_until(spoke + time).await,
        None => std::future::pending().await,
    }
}

fn describe(headers: &mut HeaderMap, options: &Options) {
    let media = HeaderValue::try_from(options.content_type());
    headers.insert(header::CONTENT_TYPE, media.unwrap_or(HeaderValue::from_static(BYTES)));
    coding::mark_live(headers);
    if options.is_raw() {
        // For a browser that shows it: without scripts, and as nobody's page.
        let policy = HeaderValue::from_static("sandbox; default-src 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}
