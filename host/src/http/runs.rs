//! `/api/runs` and the start of runs.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use serde::Serialize;

use super::body::Response;
use super::format::{NDJSON, SSE};
use super::json::RunJson;
use super::problem::Problem;
use super::request::{Query, header_list, invalid};
use super::{Api, accept, json, stream};
use crate::model::{Json, Labels, MAX_LABEL_BYTES, MAX_LABELS, Run, RunId, RunStatus, TaskRef};
use crate::scheduler::Request;
use crate::storage::{Cancelled, RunFilter};

/// Runs in a list unless the client says otherwise.
const DEFAULT_LIMIT: u32 = 50;
/// Most runs in one list.
const MAX_LIMIT: u32 = 1000;
/// Longest idempotency key in bytes.
const MAX_KEY_BYTES: usize = 255;

/// `POST /api/tasks/{app}/{task}/runs`: the body is the input.
pub(super) async fn start(
    api: &Arc<Api>,
    headers: &HeaderMap,
    query: &Query,
    path: [&str; 2],
    body: Bytes,
) -> Result<Response, Problem> {
    let unknown = |_| Problem::not_found("unknown-task", format!("there is no task {}/{}", path[0], path[1]));
    let task = TaskRef::parse(path[0], path[1]).map_err(unknown)?;
    let offers = ["application/json", SSE, NDJSON];
    let Some(media) = accept::best(header_list(headers, header::ACCEPT).as_deref(), &offers) else {
        let detail = format!("a started run can be had as {}", offers.join(", "));
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", detail));
    };
    // Before the run starts: a request that can't be answered must not start anything.
    let follow = if media == "application/json" {
        None
    } else {
        Some(stream::Options::of(api, headers, query, media)?)
    };
    let request = Request {
        task,
        input: input(body)?,
        id: own_id(query)?,
        labels: labels(query)?,
        idempotency_key: idempotency_key(headers)?,
    };
    let started = api.scheduler.submit(request).await?;
    let mut response = match follow {
        Some(options) => stream::open(api, &started.run, options).await?,
        None => json::response(StatusCode::ACCEPTED, &RunJson::from(&started.run)),
    };
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::try_from(format!("/api/runs/{}", started.run.key.id)) {
        headers.insert(header::LOCATION, location);
    }
    if started.existing {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// An empty body is an empty object: many tasks need no input.
fn input(body: Bytes) -> Result<Json, Problem> {
    if body.is_empty() { Ok(Json::trusted("{}".to_owned())) } else { body_json(body) }
}

/// A body that has to be JSON.
pub(super) fn body_json(body: Bytes) -> Result<Json, Problem> {
    let text = String::from_utf8(body.into()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::bad_request("invalid-json", format!("the body is not UTF-8 at byte {at}"))
    })?;
    Json::parse(text).map_err(|error| {
        Problem::bad_request("invalid-json", format!("the body is not JSON: {error}"))
            .with("line", error.line)
            .with("column", error.column)
    })
}

fn own_id(query: &Query) -> Result<Option<RunId>, Problem> {
    let what = "1 to 64 of the characters A-Z a-z 0-9 _ -";
    query.get("id").map(|id| RunId::parse(id).map_err(|_| invalid("id", id, what))).transpose()
}

/// `?label=key:value`, any number of times.
fn labels(query: &Query) -> Result<Labels, Problem> {
    let mut labels = Labels::new();
    for text in query.all("label") {
        let (key, value) = label(text)?;
        labels.insert(key, value);
    }
    if labels.len() > MAX_LABELS {
        let detail =
            format!("too many of the query parameter `label`: a run has at most {MAX_LABELS} labels");
        return Err(Problem::bad_request("invalid-parameter", detail).with("parameter", "label"));
    }
    Ok(labels)
}

fn label(text: &str) -> Result<(String, String), Problem> {
    let fits = |part: &str| part.len() <= MAX_LABEL_BYTES && !part.chars().any(char::is_control);
    match text.split_once(':') {
        Some((key, value)) if !key.is_empty() && fits(key) && fits(value) => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(invalid("label", text, &format!("key:value, each at most {MAX_LABEL_BYTES} bytes"))),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    match key.to_str() {
        Ok(key) if (1..=MAX_KEY_BYTES).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => {
            let detail = format!("an Idempotency-Key has 1 to {MAX_KEY_BYTES} visible ASCII characters");
            Err(Problem::bad_request("invalid-idempotency-key", detail))
        }
    }
}

/// `GET /api/runs`: newest first.
pub(super) async fn list(api: &Api, query: &Query) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Page<'a> {
        runs: Vec<RunJson<'a>>,
        /// Goes into `?cursor=` for the runs that follow; null at the end.
        next: Option<String>,
    }
    let limit = query.parse("limit", "a number of runs")?.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let status =
        |text| RunStatus::parse(text).ok_or_else(|| invalid("status", text, "a status such as `running`"));
    let task = |text| TaskRef::parse_path(text).map_err(|_| invalid("task", text, "`app/task`"));
    let filter = RunFilter {
        task: query.get("task").map(task).transpose()?,
        status: query.get("status").map(status).transpose()?,
        label: query.get("label").map(label).transpose()?,
        before: query.parse("cursor", "the `next` of an earlier list")?,
        limit,
    };
    let runs = api.storage.runs(filter).await?;
    let next = runs.last().filter(|_| runs.len() == limit as usize).map(|run| run.key.no.to_string());
    Ok(json::response(StatusCode::OK, &Page { runs: runs.iter().map(RunJson::from).collect(), next }))
}

/// `GET /api/runs/{run}`.
pub(super) async fn get(api: &Api, id: &str) -> Result<Response, Problem> {
    let run = find(api, id).await?;
    Ok(json::response(StatusCode::OK, &RunJson::from(&run)))
}

pub(super) async fn find(api: &Api, id: &str) -> Result<Run, Problem> {
    let run = api.storage.run(&parse_id(id)?).await?;
    run.ok_or_else(|| unknown(id))
}

pub(super) fn parse_id(id: &str) -> Result<RunId, Problem> {
    RunId::parse(id).map_err(|_| unknown(id))
}

pub(super) fn unknown(id: &str) -> Problem {
    Problem::not_found("unknown-run", format!("there is no run {id:?}"))
}

/// `POST /api/runs/{run}/cancel`. Cancelling again is no error.
pub(super) async fn cancel(api: &Api, id: &str) -> Result<Response, Problem> {
    match api.scheduler.cancel(&parse_id(id)?).await? {
        Cancelled::NotFound => Err(unknown(id)),
        Cancelled::Requested(run) => Ok(json::response(StatusCode::ACCEPTED, &RunJson::from(&run))),
        Cancelled::Ended(run) => Ok(json::response(StatusCode::OK, &RunJson::from(&run))),
        Cancelled::AlreadyEnded(run) if run.status == RunStatus::Cancelled => {
            Ok(json::response(StatusCode::OK, &RunJson::from(&run)))
        }
        Cancelled::AlreadyEnded(run) => Err(already_ended(&run)),
    }
}

pub(super) fn already_ended(run: &Run) -> Problem {
    let detail = format!("the run has already ended as {}", run.status.as_str());
    Problem::new(StatusCode::CONFLICT, "already-ended", detail).with("status_of_run", run.status.as_str())
}
