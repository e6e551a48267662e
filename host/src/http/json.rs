//! Runs and tasks as JSON.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde::Serialize;

use super::Api;
use super::body::{Body, Response};
use super::problem::Problem;
use crate::model::{
    Circuit, Json, Labels, Run, RunError, RunId, RunStatus, Schedule, TaskRef, Timestamp, Version,
};
use crate::registry::{Grants, ListedFile};
use crate::scheduler::Skipped;

/// A JSON response, which must not be cached because the state changes.
pub(super) fn response<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    let mut response = Response::new(Body::whole(Json::of(value).into_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Parse a request body as JSON.
pub(super) fn from_body(body: Bytes) -> Result<Json, Problem> {
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

/// The path of a run's stream.
pub(super) fn stream_path(run: &Run) -> String {
    format!("/stream/{}/{}", run.task, run.key.id)
}

/// A run as JSON.
#[derive(Serialize)]
pub(super) struct RunJson<'a> {
    id: &'a str,
    app: &'a str,
    task: &'a str,
    version: Option<Version>,
    status: RunStatus,
    attempt: u32,
    /// Left out of a brief run, like `final_value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    final_value: Option<Option<&'a Json>>,
    error: Option<&'a RunError>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    cancel_requested_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    priority: i32,
    waits_for: Option<&'a str>,
    parent: Option<&'a str>,
    on_disconnect: &'static str,
    labels: &'a Labels,
    stream: String,
}

impl<'a> From<&'a Run> for RunJson<'a> {
    fn from(run: &'a Run) -> Self {
        Self {
            id: run.key.id.as_str(),
            app: run.task.app.as_str(),
            task: run.task.task.as_str(),
            version: run.version,
            status: run.status,
            attempt: run.attempt,
            input: Some(&run.input),
            final_value: Some(run.final_value.as_ref()),
            error: run.error.as_ref(),
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            cancel_requested_at: run.cancel_requested_at,
            not_before: run.not_before,
            priority: run.priority,
            waits_for: run.waits_for.as_deref(),
            parent: run.parent.as_ref().map(RunId::as_str),
            on_disconnect: run.on_disconnect.as_str(),
            labels: &run.labels,
            stream: stream_path(run),
        }
    }
}

impl<'a> RunJson<'a> {
    /// A run without input and final value.
    pub(super) fn brief(run: &'a Run) -> Self {
        Self { input: None, final_value: None, ..Self::from(run) }
    }
}

/// A task file and the task that it provides.
#[derive(Serialize)]
pub(super) struct TaskJson<'a> {
    app: Option<&'a str>,
    task: Option<&'a str>,
    path: String,
    /// The version that new runs use; null if no valid one was loaded.
    version: Option<Version>,
    size: Option<u64>,
    loaded_at: Option<Timestamp>,
    description: Option<&'a str>,
    input_schema: Option<Json>,
    output_schema: Option<&'a Json>,
    /// The schedules that start runs.
    schedules: Vec<ScheduleJson<'a>>,
    /// The state of its circuit breaker; null if it has none.
    circuit: Option<Circuit>,
    /// The grants of its manifest. Only the names of secrets and variables.
    grants: Option<&'a Grants>,
    /// The error of the current file, if it failed to load.
    problem: Option<ProblemJson>,
}

#[derive(Serialize)]
struct ScheduleJson<'a> {
    name: &'a str,
    cron: &'a str,
    time_zone: &'a str,
    input: &'a Json,
    misfire: &'static str,
    /// Start time of the next run.
    next: Option<Timestamp>,
    /// The last start that was skipped; null if none was since the host started.
    skipped: Option<SkippedJson>,
}

#[derive(Serialize)]
struct SkippedJson {
    at: Timestamp,
    reason: String,
}

impl<'a> ScheduleJson<'a> {
    fn of(api: &Api, task: &TaskRef, schedule: &'a Schedule) -> Self {
        let skipped = api.scheduler.skipped(task, &schedule.name);
        Self {
            name: &schedule.name,
            cron: &schedule.pattern,
            time_zone: &schedule.zone_name,
            input: &schedule.input,
            misfire: schedule.misfire.as_str(),
            next: schedule.next_after(Timestamp::now()),
            skipped: skipped.map(|Skipped { at, reason }| SkippedJson { at, reason }),
        }
    }
}

#[derive(Serialize)]
struct ProblemJson {
    message: String,
    at: Timestamp,
}

impl<'a> TaskJson<'a> {
    pub(super) fn of(api: &Api, listed: &'a ListedFile) -> Self {
        let task = listed.task.as_deref();
        Self {
            app: listed.name.as_ref().map(|name| name.app.as_str()),
            task: listed.name.as_ref().map(|name| name.task.as_str()),
            path: listed.path.display().to_string(),
            version: task.map(|task| task.version()),
            size: task.map(|task| task.size),
            loaded_at: task.map(|task| task.loaded_at),
            description: task.and_then(|task| task.description()),
            input_schema: task.and_then(|task| task.input_schema().cloned()),
            output_schema: task.and_then(|task| task.output_schema()),
            schedules: task
                .iter()
                .flat_map(|task| task.settings.schedules.iter().map(|schedule| (&task.name, schedule)))
                .map(|(task, schedule)| ScheduleJson::of(api, task, schedule))
                .collect(),
            circuit: task.and_then(|task| api.scheduler.circuit(task)),
            grants: task.map(|task| &*task.settings.grants),
            problem: listed
                .problem
                .as_ref()
                .map(|(problem, at)| ProblemJson { message: problem.to_string(), at: *at }),
        }
    }
}
