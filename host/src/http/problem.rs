//! Errors as `application/problem+json` (RFC 9457). Only this file maps errors of
//! the rooms below to HTTP.

use std::any::Any;

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde_json::{Map, Value, json};

use super::body::{Body, Response};
use crate::process::{is_threadless, panic_message};
use crate::retention::PruneError;
use crate::scheduler::StartError;
use crate::storage::StorageError;

/// An error response.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// Last part of the problem type, for programs.
    kind: &'static str,
    /// Description of the error and its remedy, for people.
    detail: String,
    /// Additional members.
    more: Map<String, Value>,
    retry_after_secs: Option<u32>,
    allow: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), more: Map::new(), retry_after_secs: None, allow: None }
    }

    pub(super) fn bad_request(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, detail)
    }

    pub(super) fn not_found(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind, detail)
    }

    pub(super) fn method_not_allowed(allow: String) -> Self {
        let detail = format!("this resource supports only {allow}");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail) }
    }

    /// Add a member.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    pub(super) fn unavailable(kind: &'static str, detail: impl Into<String>, retry_after_secs: u32) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail);
        Self { retry_after_secs: Some(retry_after_secs), ..problem }
    }

    /// The problem of a handler that panicked, because the system had no thread left or because of a bug.
    pub(super) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        match panic_message(panic) {
            Some(message) if is_threadless(message) => {
                let detail = format!("the host can't handle this request now: {message}");
                Self::unavailable("no-threads", detail, 5)
            }
            _ => {
                let detail = "internal error; the host's log has the details".to_owned();
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }

    /// Convert to a response.
    pub(super) fn response(self) -> Response {
        let mut members = self.more;
        members.insert("type".to_owned(), json!(format!("urn:streamtask:problem:{}", self.kind)));
        members.insert("title".to_owned(), json!(self.status.canonical_reason().unwrap_or("Error")));
        members.insert("status".to_owned(), json!(self.status.as_u16()));
        members.insert("detail".to_owned(), json!(self.detail));
        let mut response = Response::new(Body::whole(Value::Object(members).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        let detail = error.to_string();
        match error {
            StorageError::Unavailable(_) => Self::unavailable("storage-unavailable", detail, 5),
            StorageError::Closed => Self::unavailable("stopping", "the host is stopping", 5),
            StorageError::QueueFull(_) => Self::unavailable("queue-full", detail, 5),
            StorageError::Busy(_) => Self::new(StatusCode::CONFLICT, "resource-busy", detail),
            // A deadlock is met only by a task that starts a child run, as an error of its own call.
            StorageError::Conflict(_)
            | StorageError::Limit(_)
            | StorageError::Fenced
            | StorageError::Deadlock(_) => Self::new(StatusCode::CONFLICT, "conflict", detail),
        }
    }
}

impl From<PruneError> for Problem {
    fn from(error: PruneError) -> Self {
        match error {
            PruneError::Clock(detail) => Self::new(StatusCode::CONFLICT, "clock-jumped", detail),
            PruneError::Storage(error) => error.into(),
        }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let detail = error.to_string();
        match error {
            StartError::NoTask(_) => Self::not_found("unknown-task", detail),
            StartError::NotLoaded(..) => Self::not_found("task-not-loaded", detail),
            StartError::StillLoading => Self::unavailable("loading", detail, 1),
            StartError::Stopping => Self::unavailable("stopping", detail, 5),
            StartError::Names(error) => Self::bad_request("invalid-json", detail)
                .with("line", error.line)
                .with("column", error.column),
            StartError::Unchecked(_) => Self::unavailable("no-threads", detail, 1),
            StartError::Input(error) => {
                Self::bad_request("invalid-input", detail).with("errors", error.to_json())
            }
            StartError::Storage(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_gets_a_response_and_only_a_lack_of_threads_is_temporary() {
        let threadless: Box<dyn Any + Send> = Box::new("OS can't spawn worker thread: why".to_owned());
        let response = Problem::of_panic(&*threadless).response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        for other in [Box::new("index out of bounds") as Box<dyn Any + Send>, Box::new(7)] {
            let problem = Problem::of_panic(&*other);
            assert_eq!(problem.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(!problem.detail.contains("bounds"), "that is for the log");
        }
    }
}
