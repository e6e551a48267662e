//! `/api/tasks`: what is loaded, and what is not and why.

use hyper::StatusCode;
use serde::Serialize;

use super::body::Response;
use super::json::TaskJson;
use super::problem::Problem;
use super::{Api, json};

/// `GET /api/tasks`: every file of the tasks folder.
pub(super) fn list(api: &Api) -> Response {
    #[derive(Serialize)]
    struct List<'a> {
        tasks: Vec<TaskJson<'a>>,
        /// Whether all that was there at the start has been tried.
        complete: bool,
    }
    let listed = api.registry.list();
    let list =
        List { tasks: listed.iter().map(TaskJson::from).collect(), complete: api.registry.is_complete() };
    json::response(StatusCode::OK, &list)
}

/// `GET /api/tasks/{app}/{task}`.
pub(super) fn get(api: &Api, path: [&str; 2]) -> Result<Response, Problem> {
    let listed = api.registry.list();
    let found = listed.iter().find(|listed| {
        listed.name.as_ref().is_some_and(|name| name.app.as_str() == path[0] && name.task.as_str() == path[1])
    });
    match found {
        Some(listed) => Ok(json::response(StatusCode::OK, &TaskJson::from(listed))),
        None => Err(Problem::not_found("unknown-task", format!("there is no task {}/{}", path[0], path[1]))),
    }
}
