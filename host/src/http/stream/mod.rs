//! `GET /stream/{app}/{task}/{run}`: a run's log from a given position on, live.

mod coalesce;
mod options;
mod reader;

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;

use super::body::{Body, Response};
use super::coding::{self, Coding};
use super::format::{BYTES, JSON};
use super::json::RunJson;
use super::problem::Problem;
use super::request::Query;
use super::{Api, cors, json, negotiation};
use crate::model::{Run, RunId, TaskRef};

pub(super) use coalesce::coalesce;
#[cfg(feature = "fuzzing")]
pub(super) use coalesce::coalesced_data;
pub(super) use options::{Filter, Options, envelope, heartbeat, interval};
pub(super) use reader::Reader;

/// Most segments of a run, of about 32 KiB each, that are coalesced together.
pub(super) const MAX_COALESCED_SEGMENTS: usize = 8;

/// `GET /stream/{app}/{task}/{run}`.
pub(super) async fn get(
    api: &Arc<Api>,
    parts: &Parts,
    query: &Query,
    path: [&str; 3],
) -> Result<Response, Problem> {
    let headers = &parts.headers;
    let run = find(api, path).await?;
    let media = negotiation::media_type(headers, query, &negotiation::all_formats(), "this stream")?;
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

/// Open a stream of the events of `run`.
pub(super) async fn open(
    api: &Arc<Api>,
    run: &Run,
    options: Options,
    coding: Option<Coding>,
) -> Result<Response, Problem> {
    let mut response = Response::new(Body::empty());
    set_headers(response.headers_mut(), &options);
    // Images, audio and video are compressed already.
    let coding = coding.filter(|_| !options.has_own_media());
    let reader = Reader::open(api, run, options).await?;
    if run.last_seq.is_some_and(|last| reader.position() >= last) {
        return Ok(coding::nothing_more());
    }
    let (stream, coding) = coding::Stream::new(coding, &api.windows);
    coding::set_coding_headers(response.headers_mut(), coding);
    *response.body_mut() = Body::Stream(Box::pin(reader.begin(api, stream).into_body()));
    Ok(response)
}

fn set_headers(headers: &mut HeaderMap, options: &Options) {
    let media = HeaderValue::try_from(options.content_type());
    headers.insert(header::CONTENT_TYPE, media.unwrap_or(HeaderValue::from_static(BYTES)));
    coding::set_live_headers(headers);
    if options.is_raw() {
        // A browser that shows the body must not run scripts in it, or give it the host's origin.
        let policy = HeaderValue::from_static("sandbox; default-src 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}
