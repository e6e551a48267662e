//! `PUT` and `DELETE` of `/api/tasks/{app}/{task}`: upload and removal of task files, if the
//! operator allows it.
//!
//! Applies only to the task file. The manifest beside it belongs to the operator, and clients
//! that may upload must not change it.

use std::sync::Arc;
use std::time::Duration;

use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use tokio::sync::Mutex;

use super::body::{Body, Response};
use super::json::TaskJson;
use super::problem::Problem;
use super::request_body::RequestBody;
use super::{Api, cors, json};
use crate::model::TaskRef;
use crate::registry::{InstallError, Installed, ListedFile};

/// Largest file that can be uploaded. It is read into memory as a whole. Operators can copy
/// larger ones into the folder.
pub(super) const MAX_UPLOAD_BYTES: usize = 64 << 20;
/// Seconds after which a client may retry if the host failed to load a file for lack of resources.
const RETRY_AFTER: u32 = 5;
/// Time for the registry to load a change of the folder. It usually takes some 100 ms, but a
/// file system without notifications and compilation may take seconds.
const LOAD_TIMEOUT: Duration = Duration::from_secs(15);

/// The state that uploads share.
#[derive(Default)]
pub struct Uploads {
    /// Locked while the folder is changed and until the change is loaded, so that each of two
    /// uploads of a task is served for a moment and gets a response with its own version.
    changing: Mutex<()>,
}

/// Handle `PUT` and `DELETE`.
pub(super) async fn change(
    api: &Arc<Api>,
    parts: &Parts,
    path: [&str; 2],
    body: &mut RequestBody,
) -> Result<Response, Problem> {
    if !api.config().uploads {
        let detail = "uploads are disabled; start the host with --uploads to enable them";
        return Err(Problem::new(StatusCode::FORBIDDEN, "uploads-disabled", detail));
    }
    cors::check_named(api, parts)?;
    if parts.method == Method::DELETE {
        let unknown = Problem::not_found("unknown-task", format!("there is no task {}/{}", path[0], path[1]));
        return match TaskRef::parse(path[0], path[1]) {
            Ok(task) => delete(api, task).await?.ok_or(unknown),
            Err(_) => Err(unknown),
        };
    }
    let faulty = |error: crate::model::NameError| {
        let detail = format!("a task can't be called {}/{}: {error}", path[0], path[1]);
        Problem::bad_request("invalid-name", detail)
    };
    put(api, TaskRef::parse(path[0], path[1]).map_err(faulty)?, body).await
}

async fn put(api: &Arc<Api>, task: TaskRef, body: &mut RequestBody) -> Result<Response, Problem> {
    let wasm = body.upload(MAX_UPLOAD_BYTES, &api.body_budget).await?;
    let _changing = api.uploads.changing.lock().await;
    let (registry, name) = (Arc::clone(&api.registry), task.clone());
    let Installed { version, is_new } = blocking(move || registry.install(&name, &wasm)).await?;
    let serves = |listed: Option<&ListedFile>| {
        let task = listed.filter(|listed| listed.problem.is_none()).and_then(|listed| listed.task.as_ref());
        task.is_some_and(|task| task.version() == version)
    };
    let listed = wait_until_loaded(api, &task, serves).await;
    tracing::info!(%task, %version, "task uploaded");
    match listed {
        Some(listed) => {
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            Ok(json::response(status, &TaskJson::of(api, &listed)))
        }
        // The file is in the folder, but not loaded in time. Someone else may have changed the folder since.
        None => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            Ok(response)
        }
    }
}

/// Remove a task file. `None` if there is no such file.
async fn delete(api: &Arc<Api>, task: TaskRef) -> Result<Option<Response>, Problem> {
    let _changing = api.uploads.changing.lock().await;
    let (registry, name) = (Arc::clone(&api.registry), task.clone());
    if !blocking(move || registry.remove(&name)).await? {
        return Ok(None);
    }
    wait_until_loaded(api, &task, |listed| listed.is_none()).await;
    tracing::info!(%task, "task removed");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(Some(response))
}

/// Wait until the registry's entry of a task is as `wanted`, and return it. `None` if there is
/// no entry, or it is not so in time.
async fn wait_until_loaded(
    api: &Api,
    task: &TaskRef,
    wanted: impl Fn(Option<&ListedFile>) -> bool,
) -> Option<ListedFile> {
    let mut changes = api.registry.changes();
    let loaded = async {
        loop {
            let listed = api.registry.listed(task);
            if wanted(listed.as_ref()) {
                return listed;
            }
            changes.changed().await;
        }
    };
    tokio::time::timeout(LOAD_TIMEOUT, loaded).await.unwrap_or(None)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InstallError> + Send + 'static,
) -> Result<T, Problem> {
    let worked = tokio::task::spawn_blocking(work).await.map_err(|_| {
        // A library panicked because of a malformed file.
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-task", "loading this file failed")
    })?;
    worked.map_err(|error| {
        let detail = error.to_string();
        match error {
            InstallError::Invalid(problem) if problem.is_host_error() => {
                Problem::unavailable("task-not-loaded", detail, RETRY_AFTER)
            }
            InstallError::Invalid(_) => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-task", detail)
            }
            InstallError::PathConflict(..) => Problem::new(StatusCode::CONFLICT, "path-conflict", detail),
            InstallError::NotWritable(_) => Problem::new(StatusCode::CONFLICT, "not-writable", detail),
            InstallError::Failed(_) => {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "tasks-folder-failed", detail)
            }
        }
    })
}
