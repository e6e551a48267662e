//! The start of a run.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};

use super::body::Response;
use super::coding::Coding;
use super::format::JSON;
use super::json::RunJson;
use super::position::last_event_id;
use super::problem::Problem;
use super::request::{Query, invalid};
use super::runs::check_count;
use super::{Api, json, negotiation, runs, stream};
use crate::model::{
    Json, Labels, MAX_LOCKS, MAX_PRIORITY, MAX_RESOURCE_BYTES, OnDisconnect, Resource, Run, RunId, TaskRef,
    Time, Timestamp,
};
use crate::scheduler::{RETRY_OF, Request, SCHEDULE_LABEL};

/// Longest idempotency key in bytes.
const MAX_KEY_BYTES: usize = 255;
/// Most resources that one request can name. Together with the task's own, a run is limited to the same number.
const MAX_RESOURCES: usize = MAX_LOCKS;
/// Keys of labels that only the host sets: they record the origin of a run, which a client could forge.
const HOST_LABELS: [&str; 2] = [RETRY_OF, SCHEDULE_LABEL];

/// `POST /api/tasks/{app}/{task}/runs`: the body is the input.
pub(super) async fn post(
    api: &Arc<Api>,
    headers: &HeaderMap,
    query: &Query,
    path: [&str; 2],
    body: Bytes,
) -> Result<Response, Problem> {
    let unknown = |_| Problem::not_found("unknown-task", format!("there is no task {}/{}", path[0], path[1]));
    let task = TaskRef::parse(path[0], path[1]).map_err(unknown)?;
    start(api, headers, query, || request(task, headers, query, body)).await
}

/// `POST /api/runs/{run}/retry`: start a new run with the task, input, labels and priority of an ended one. A body replaces
/// the input. The old run stays unchanged.
pub(super) async fn retry(
    api: &Arc<Api>,
    headers: &HeaderMap,
    query: &Query,
    id: &str,
    body: Bytes,
) -> Result<Response, Problem> {
    let old = runs::find(api, id).await?;
    if !old.status.is_terminal() {
        return Err(runs::not_ended(old.status, "retried"));
    }
    start(api, headers, query, || retry_request(old, headers, query, body)).await
}

/// The request that retries a run.
fn retry_request(old: Run, headers: &HeaderMap, query: &Query, body: Bytes) -> Result<Request, Problem> {
    let keeps_input = body.is_empty();
    let mut request = request(old.task.clone(), headers, query, body)?.retrying(&old);
    if keeps_input {
        request.input = old.input.into();
    }
    // `retry-of` is set by the host, so it does not count towards the limit.
    check_count(request.labels.len() - 1)?;
    Ok(request)
}

/// Start a run, and respond with the run or its stream.
async fn start(
    api: &Arc<Api>,
    headers: &HeaderMap,
    query: &Query,
    request: impl FnOnce() -> Result<Request, Problem>,
) -> Result<Response, Problem> {
    let offers = negotiation::all_formats_json_first();
    let media = negotiation::media_type(headers, query, &offers, "a started run")?;
    // Before the run starts: an invalid request must not start one.
    let stream_options =
        if media == JSON { None } else { Some(stream::Options::of(&api.config(), headers, query, media)?) };
    let request = request()?;
    if last_event_id(headers, query).is_some() && request.id.is_none() && request.idempotency_key.is_none() {
        let detail = "a start with a Last-Event-ID needs an `Idempotency-Key` or `?id=`, or each try would start \
                      another run; to resume a stream, GET it";
        return Err(Problem::new(StatusCode::CONFLICT, "missing-idempotency-key", detail));
    }
    let started = api.scheduler.submit(request).await?;
    let mut response = match stream_options {
        Some(options) => stream::open(api, &started.run, options, Coding::wanted(headers)).await?,
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

/// Parse the request for a run.
pub(super) fn request(
    task: TaskRef,
    headers: &HeaderMap,
    query: &Query,
    body: Bytes,
) -> Result<Request, Problem> {
    let (not_before, delay) = start_time(query)?;
    Ok(Request {
        id: own_id(query)?,
        labels: labels(query)?,
        idempotency_key: idempotency_key(headers)?,
        not_before,
        delay,
        priority: priority(query)?,
        resources: resources(query)?,
        fail_if_busy: fail_if_busy(query)?,
        on_disconnect: on_disconnect(query)?,
        ..Request::new(task, input(body)?)
    })
}

/// Parse the input. An empty body counts as an empty object, because many tasks need no input.
fn input(body: Bytes) -> Result<Json, Problem> {
    if body.is_empty() { Ok(Json::empty_object()) } else { json::from_body(body) }
}

fn own_id(query: &Query) -> Result<Option<RunId>, Problem> {
    let what = "1 to 64 of the characters A-Z a-z 0-9 _ -";
    query.get("id").map(|id| RunId::parse(id).map_err(|_| invalid("id", id, what))).transpose()
}

/// The client's labels. Keys that only the host sets are rejected.
fn labels(query: &Query) -> Result<Labels, Problem> {
    let labels = runs::labels(query)?;
    match labels.iter().find(|(key, _)| HOST_LABELS.contains(&key.as_str())) {
        None => Ok(labels),
        Some((key, value)) => {
            let what = format!("one with another key: the host itself gives the label `{key}`");
            Err(invalid("label", &format!("{key}:{value}"), &what))
        }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    match key.to_str() {
        // `to_str` accepts a tab.
        Ok(key) if (1..=MAX_KEY_BYTES).contains(&key.len()) && !key.contains('\t') => {
            Ok(Some(key.to_owned()))
        }
        _ => {
            let detail = format!("an Idempotency-Key has 1 to {MAX_KEY_BYTES} visible ASCII characters");
            Err(Problem::bad_request("invalid-idempotency-key", detail))
        }
    }
}

/// Parse `?not_before=`, a time, or `?delay=`, a duration from now.
fn start_time(query: &Query) -> Result<(Option<Timestamp>, Option<Duration>), Problem> {
    let moment = query
        .get("not_before")
        .map(|text| {
            Timestamp::parse(text).ok_or_else(|| invalid("not_before", text, "a time as in RFC 3339"))
        })
        .transpose()?;
    let what = "a time with its unit, such as `10m`";
    let Some(text) = query.get("delay") else { return Ok((moment, None)) };
    if moment.is_some() {
        return Err(invalid("delay", text, "left out if `not_before` is given"));
    }
    let delay: Time = text.parse().map_err(|_| invalid("delay", text, what))?;
    let delay = delay.0.ok_or_else(|| invalid("delay", text, what))?;
    let moment = Timestamp::now().plus_millis(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
    let never = || invalid("delay", text, "a time that ends before the year 10000");
    if moment > Timestamp::LAST { Err(never()) } else { Ok((None, Some(delay))) }
}

fn priority(query: &Query) -> Result<Option<i32>, Problem> {
    let what = format!("an integer from -{MAX_PRIORITY} to {MAX_PRIORITY}");
    let priority: Option<i32> = query.parse("priority", &what)?;
    match priority {
        Some(other) if !(-MAX_PRIORITY..=MAX_PRIORITY).contains(&other) => {
            Err(invalid("priority", &other.to_string(), &what))
        }
        fine => Ok(fine),
    }
}

/// Parse `?resource=name`, which can be repeated.
fn resources(query: &Query) -> Result<Vec<String>, Problem> {
    let names: Vec<String> = query.all("resource").map(str::to_owned).collect();
    if names.len() > MAX_RESOURCES {
        let detail =
            format!("too many of the query parameter `resource`: at most {MAX_RESOURCES} are allowed");
        return Err(Problem::bad_request("invalid-parameter", detail).with("parameter", "resource"));
    }
    let what = format!("a name of at most {MAX_RESOURCE_BYTES} bytes that does not begin with `/`");
    for name in &names {
        if !matches!(Resource::parse(name), Ok(Resource::Named(_))) {
            return Err(invalid("resource", name, &what));
        }
    }
    Ok(names)
}

fn fail_if_busy(query: &Query) -> Result<Option<bool>, Problem> {
    match query.get("if_busy") {
        None => Ok(None),
        Some("wait") => Ok(Some(false)),
        Some("fail") => Ok(Some(true)),
        Some(other) => Err(invalid("if_busy", other, "`wait` or `fail`")),
    }
}

fn on_disconnect(query: &Query) -> Result<OnDisconnect, Problem> {
    let Some(word) = query.get("on_disconnect") else { return Ok(OnDisconnect::default()) };
    OnDisconnect::parse(word).ok_or_else(|| invalid("on_disconnect", word, "`continue` or `cancel`"))
}
