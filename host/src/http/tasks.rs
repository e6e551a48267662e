//! `/api/tasks`: the loaded tasks, and the files that failed to load.

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde::Serialize;

use super::body::{Body, Response};
use super::json::TaskJson;
use super::problem::Problem;
use super::{Api, json};
use crate::model::TaskRef;
use crate::registry;

/// `GET /api/tasks`: all files of the tasks folder.
pub(super) fn list(api: &Api) -> Response {
    #[derive(Serialize)]
    struct TaskList<'a> {
        tasks: Vec<TaskJson<'a>>,
        /// Whether all files that were present at the start have been processed.
        complete: bool,
        /// The number of files that are not loaded because the folder exceeds the limit.
        omitted: usize,
        /// Whether clients may upload task files.
        uploads: bool,
    }
    let listed = api.registry.list();
    let list = TaskList {
        tasks: listed.iter().map(|listed| TaskJson::of(api, listed)).collect(),
        complete: api.registry.is_complete(),
        omitted: api.registry.omitted(),
        uploads: api.config().uploads,
    };
    json::response(StatusCode::OK, &list)
}

/// `GET /api/tasks/{app}/{task}`.
pub(super) fn get(api: &Api, path: [&str; 2]) -> Result<Response, Problem> {
    let found = TaskRef::parse(path[0], path[1]).ok().and_then(|task| api.registry.listed(&task));
    match found {
        Some(listed) => Ok(json::response(StatusCode::OK, &TaskJson::of(api, &listed))),
        None => Err(Problem::not_found("unknown-task", format!("there is no task {}/{}", path[0], path[1]))),
    }
}

/// `GET /schemas/manifest.json`: the JSON schema of manifests, for editors.
pub(super) fn manifest_schema() -> Response {
    let mut response = Response::new(Body::whole(registry::manifest_schema()));
    let media = HeaderValue::from_static("application/schema+json");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}
