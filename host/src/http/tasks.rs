//! `/api/tasks`: what is loaded, and what is not and why.

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde::Serialize;

use super::body::{Body, Response};
use super::json::TaskJson;
use super::problem::Problem;
use super::{Api, json};
use crate::registry;

/// `GET /api/tasks`: every file of the tasks folder.
pub(super) fn list(api: &Api) -> Response {
    #[derive(Serialize)]
    struct List<'a> {
        tasks: Vec<TaskJson<'a>>,
        /// Whether all that was there at the start has been tried.
        complete: bool,
        /// Whether task files can be sent here.
        uploads: bool,
    }
    let listed = api.registry.list();
    let list = List {
        tasks: listed.iter().map(|listed| TaskJson::of(api, listed)).collect(),
        complete: api.registry.is_complete(),
        uploads: api.config().uploads,
    };
    json::response(StatusCode::OK, &list)
}

/// `GET /api/tasks/{app}/{task}`.
pub(super) fn get(api: &Api, path: [&str; 2]) -> Result<Response, Problem> {
    let listed = api.registry.list();
    let found = listed.iter().find(|listed| {
        listed.name.as_ref().is_some_and(|name| name.app.as_str() == path[0] && name.task.as_str() == path[1])
    });
    match found {
        Some(listed) => Ok(json::response(StatusCode::OK, &TaskJson::of(api, listed))),
        None => Err(Problem::not_found("unknown-task", format!("there is no task {}/{}", path[0], path[1]))),
    }
}

/// `GET /schemas/manifest.json`: what editors check manifests by.
pub(super) fn manifest_schema() -> Response {
    let mut response = Response::new(Body::whole(registry::manifest_schema()));
    let media = HeaderValue::from_static("application/schema+json");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}
