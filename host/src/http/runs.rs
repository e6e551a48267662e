//! `/api/runs`.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use serde::Serialize;

use super::body::Response;
use super::format::{NDJSON, SSE};
use super::json::RunJson;
use super::problem::Problem;
use super::request::{Query, invalid};
use super::stream::{self, JSON};
use super::{Api, json, live};
use crate::model::{Json, MAX_LABEL_BYTES, Run, RunId, RunStatus, TaskRef, Time, Timestamp, parse_label};
use crate::storage::{Cancelled, RunFilter, RunPlace};

/// Runs in a list unless the client says otherwise.
const DEFAULT_LIMIT: u32 = 50;
/// Most runs in one list.
const MAX_LIMIT: u32 = 1000;

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

/// A label as it stands in a query.
pub(super) fn label(text: &str) -> Result<(String, String), Problem> {
    let rule = || invalid("label", text, &format!("key:value, each at most {MAX_LABEL_BYTES} bytes"));
    parse_label(text).ok_or_else(rule)
}

/// `GET /api/runs`: newest first.
pub(super) async fn list(api: &Arc<Api>, headers: &HeaderMap, query: &Query) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Page<'a> {
        runs: Vec<RunJson<'a>>,
        /// Goes into `?cursor=` for the runs that follow, with the same query; null at the end.
        next: Option<String>,
    }
    let filter = filter(query)?;
    let media = stream::media(headers, query, &[JSON, NDJSON, SSE], "the list of runs")?;
    if media != JSON {
        return live::open(api, headers, query, media, filter).await;
    }
    let (limit, brief) = (filter.limit, filter.brief);
    let runs = api.storage.runs(filter).await?;
    let next = runs.last().filter(|_| runs.len() == limit as usize).map(|run| cursor(&run.into()));
    let runs = runs.iter().map(if brief { RunJson::brief } else { RunJson::from }).collect();
    Ok(json::response(StatusCode::OK, &Page { runs, next }))
}

/// A place in a list, for people who don't read it.
fn cursor(place: &RunPlace) -> String {
    format!("{}.{}", place.no, place.created_at.as_millis())
}

fn parse_cursor(text: &str) -> Option<RunPlace> {
    let (no, millis) = text.split_once('.')?;
    let created_at = Timestamp::from_millis(millis.parse().ok()?);
    Some(RunPlace { no: no.parse().ok()?, created_at })
}

/// A moment, or how long ago it was.
fn moment(query: &Query, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let ago = |text: &str| {
        let ago = text.parse::<Time>().ok()?.0?.as_millis();
        Some(Timestamp::now().plus_millis(-i64::try_from(ago).ok()?))
    };
    let moment = Timestamp::parse(text).or_else(|| ago(text));
    let what = "a time as in RFC 3339, or how long ago it was, such as `15m`";
    moment.map(Some).ok_or_else(|| invalid(name, text, what))
}

/// `?fields=brief`.
fn is_brief(query: &Query) -> Result<bool, Problem> {
    match query.get("fields") {
        None | Some("all") => Ok(false),
        Some("brief") => Ok(true),
        Some(other) => Err(invalid("fields", other, "`all` or `brief`")),
    }
}

/// Which runs are asked for.
pub(super) fn filter(query: &Query) -> Result<RunFilter, Problem> {
    let limit = query.parse("limit", "a number of runs")?.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let status =
        |text| RunStatus::parse(text).ok_or_else(|| invalid("status", text, "a status such as `running`"));
    let task = |text| TaskRef::parse_path(text).map_err(|_| invalid("task", text, "`app/task`"));
    Ok(RunFilter {
        task: query.get("task").map(task).transpose()?,
        status: query.get("status").map(status).transpose()?,
        label: query.get("label").map(label).transpose()?,
        parent: query
            .get("parent")
            .map(|id| RunId::parse(id).map_err(|_| invalid("parent", id, "the id of a run")))
            .transpose()?,
        created_after: moment(query, "created_after")?,
        created_before: moment(query, "created_before")?,
        after: query
            .get("cursor")
            .map(|text| {
                parse_cursor(text).ok_or_else(|| invalid("cursor", text, "the `next` of an earlier list"))
            })
            .transpose()?,
        brief: is_brief(query)?,
        since: None,
        limit,
    })
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

pub(super) fn not_ended(status: RunStatus, what: &str) -> Problem {
    let detail =
        format!("the run is {}, and only one that has ended can be {what}; cancel it first", status.as_str());
    Problem::new(StatusCode::CONFLICT, "not-ended", detail).with("status_of_run", status.as_str())
}

pub(super) fn already_ended(run: &Run) -> Problem {
    let detail = format!("the run has already ended as {}", run.status.as_str());
    Problem::new(StatusCode::CONFLICT, "already-ended", detail).with("status_of_run", run.status.as_str())
}
