use hyper::StatusCode;
use serde_json::json;

use super::body::Response;
use super::{Api, json};

/// `GET /`: where to go.
pub(super) fn index() -> Response {
    let links =
        json!({ "tasks": "/api/tasks", "runs": "/api/runs", "health": "/healthz", "readiness": "/readyz" });
    let index = json!({ "name": "streamtask", "version": env!("CARGO_PKG_VERSION"), "links": links });
    json::response(StatusCode::OK, &index)
}

/// `GET /healthz`: the process answers.
pub(super) fn healthy() -> Response {
    json::response(StatusCode::OK, &json!({ "status": "ok" }))
}

/// `GET /readyz`: runs can be started now, or why not.
pub(super) fn ready(api: &Api) -> Response {
    let mut reasons = Vec::new();
    if api.stopping.is_cancelled() {
        reasons.push("the host is stopping".to_owned());
    }
    if !api.registry.is_complete() {
        reasons.push("the host is still loading its tasks".to_owned());
    }
    reasons.extend(api.registry.trouble());
    if let Err(error) = api.storage.health() {
        reasons.push(error.to_string());
    }
    if reasons.is_empty() {
        // Nothing of which a balancer should keep away, and which someone should look at.
        let warnings: Vec<String> =
            api.pruner.suspended().into_iter().chain(api.storage.condition().warning).collect();
        let ready = match warnings.is_empty() {
            true => json!({ "status": "ready" }),
            false => json!({ "status": "ready", "warnings": warnings }),
        };
        return json::response(StatusCode::OK, &ready);
    }
    json::response(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not ready", "reasons": reasons }))
}
