//! `/api/runs`.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderMap;
use serde::Serialize;

use super::body::Response;
use super::format::{JSON, NDJSON, SSE};
use super::json::RunJson;
use super::problem::Problem;
use super::request::{Query, invalid};
use super::{Api, json, live_list, negotiation};
use crate::model::{
    Labels, MAX_LABEL_BYTES, MAX_LABELS, Run, RunId, RunStatus, TaskRef, Time, Timestamp, parse_label,
};
use crate::storage::{CancelOutcome, ListCursor, RunFilter};

/// Default number of runs in a list.
const DEFAULT_LIMIT: u32 = 50;
/// Most runs in one list.
const MAX_LIMIT: u32 = 1000;
/// Most bytes of inputs and results in one response, besides those of one run. Responses are built in memory, several at
/// the same time.
pub(super) const MAX_LIST_BYTES: u64 = 4 << 20;

/// Parse `?label=key:value`, which can be repeated.
pub(super) fn labels(query: &Query) -> Result<Labels, Problem> {
    let mut labels = Labels::new();
    for text in query.all("label") {
        let rule = || invalid("label", text, &format!("key:value, each at most {MAX_LABEL_BYTES} bytes"));
        let (key, value) = parse_label(text).ok_or_else(rule)?;
        if labels.get(&key).is_some_and(|other| *other != value) {
            // No run has both: a started one would lose a label, and a list would be empty.
            return Err(invalid(
                "label",
                text,
                "the only label with its key; a run has one value for each key",
            ));
        }
        labels.insert(key, value);
    }
    check_count(labels.len())?;
    Ok(labels)
}

pub(super) fn check_count(labels: usize) -> Result<(), Problem> {
    if labels <= MAX_LABELS {
        return Ok(());
    }
    let detail = format!("too many of the query parameter `label`: a run has at most {MAX_LABELS} labels");
    Err(Problem::bad_request("invalid-parameter", detail).with("parameter", "label"))
}

/// `GET /api/runs`: newest first.
pub(super) async fn list(api: &Arc<Api>, headers: &HeaderMap, query: &Query) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Page<'a> {
        runs: Vec<RunJson<'a>>,
        /// The `?cursor=` of the next page of the same query; null at the end.
        next: Option<String>,
    }
    let filter = filter(query)?;
    let media = negotiation::media_type(headers, query, &[JSON, NDJSON, SSE], "the list of runs")?;
    if media != JSON {
        return live_list::open(api, headers, query, media, filter).await;
    }
    let (limit, brief) = (filter.limit, filter.brief);
    let runs = api.storage.runs(RunFilter { max_bytes: Some(MAX_LIST_BYTES), ..filter.clone() }).await?;
    let last = runs.last().map(ListCursor::from);
    let has_more = match last {
        None => false,
        Some(_) if brief || runs.len() == limit as usize => runs.len() == limit as usize,
        // The limit of bytes may have ended the page.
        Some(_) => {
            let more = RunFilter { after: last, brief: true, limit: 1, ..filter };
            !api.storage.runs(more).await?.is_empty()
        }
    };
    let next = last.filter(|_| has_more).map(|place| cursor(&place));
    let runs = runs.iter().map(if brief { RunJson::brief } else { RunJson::from }).collect();
    Ok(json::response(StatusCode::OK, &Page { runs, next }))
}

/// An opaque cursor of a list.
fn cursor(place: &ListCursor) -> String {
    format!("{}.{}", place.no, place.created_at.as_millis())
}

fn parse_cursor(text: &str) -> Option<ListCursor> {
    let (no, millis) = text.split_once('.')?;
    let created_at = Timestamp::from_millis(millis.parse().ok()?);
    Some(ListCursor { no: no.parse().ok()?, created_at })
}

/// Parse a time, or a duration before now.
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

/// Parse `?fields=`: whether inputs and results are left out.
pub(super) fn is_brief(query: &Query) -> Result<bool, Problem> {
    match query.get("fields") {
        None | Some("all") => Ok(false),
        Some("brief") => Ok(true),
        Some(other) => Err(invalid("fields", other, "`all` or `brief`")),
    }
}

/// Parse `?status=running,paused`, which can be repeated. A run matches if it has one of these.
fn statuses(query: &Query) -> Result<Vec<RunStatus>, Problem> {
    let mut statuses = Vec::new();
    for text in query.all("status").flat_map(|texts| texts.split(',')) {
        let status = RunStatus::parse(text);
        let status = status.ok_or_else(|| invalid("status", text, "a status such as `running`"))?;
        if !statuses.contains(&status) {
            statuses.push(status);
        }
    }
    Ok(statuses)
}

/// Parse the filter of a list.
pub(super) fn filter(query: &Query) -> Result<RunFilter, Problem> {
    let limit = query.parse("limit", "a number of runs")?.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let task = |text| TaskRef::parse_path(text).map_err(|_| invalid("task", text, "`app/task`"));
    Ok(RunFilter {
        task: query.get("task").map(task).transpose()?,
        statuses: statuses(query)?,
        labels: labels(query)?.into_iter().collect(),
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
        max_bytes: None,
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

/// `POST /api/runs/{run}/cancel`. Idempotent.
pub(super) async fn cancel(api: &Api, id: &str) -> Result<Response, Problem> {
    match api.scheduler.cancel(&parse_id(id)?).await? {
        CancelOutcome::NotFound => Err(unknown(id)),
        CancelOutcome::Requested { run, .. } => {
            Ok(json::response(StatusCode::ACCEPTED, &RunJson::from(&run)))
        }
        CancelOutcome::Ended(run) => Ok(json::response(StatusCode::OK, &RunJson::from(&run))),
        CancelOutcome::AlreadyEnded(run) if run.status == RunStatus::Cancelled => {
            Ok(json::response(StatusCode::OK, &RunJson::from(&run)))
        }
        CancelOutcome::AlreadyEnded(run) => Err(already_ended(&run)),
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
