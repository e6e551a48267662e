use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;

use super::body::Response;
use super::problem::Problem;
use super::{Api, json};
use crate::process::are_descriptors_scarce;

/// `GET /`: links to the main resources.
pub(super) fn index() -> Response {
    let links =
        json!({ "tasks": "/api/tasks", "runs": "/api/runs", "health": "/healthz", "readiness": "/readyz" });
    let index = json!({ "name": "streamtask", "version": env!("CARGO_PKG_VERSION"), "links": links });
    json::response(StatusCode::OK, &index)
}

/// Time for a loop that seems stuck to send a heartbeat. Ample for a process that resumes after it was suspended as a
/// whole, and shorter than the timeout of any probe.
const STALL_GRACE: Duration = Duration::from_millis(500);

/// `GET /healthz`: the loops of the host are running, as far as their heartbeats show. Otherwise the process has to be
/// restarted. Temporary problems belong to `/readyz`.
pub(super) async fn healthy(api: &Api) -> Result<Response, Problem> {
    match api.liveness.stall(STALL_GRACE).await {
        None => Ok(json::response(StatusCode::OK, &json!({ "status": "ok" }))),
        Some((name, stall)) => {
            let detail = format!("the {name} {stall}; restart the host");
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stalled", detail).with("component", name))
        }
    }
}

/// `GET /readyz`: whether runs can be started now, with the reasons if not.
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
    reasons.extend(api.scheduler.late_lease().map(str::to_owned));
    if reasons.is_empty() {
        // Warnings are for operators. A load balancer may still send requests.
        let descriptors = are_descriptors_scarce()
            .then(|| "no file descriptors are left for new connections, which wait (ulimit -n)".to_owned());
        let warnings = api.pruner.suspended().into_iter().chain(api.storage.condition().warning);
        let warnings = warnings.chain(api.notifier.problem().map(str::to_owned));
        let warnings: Vec<String> = warnings.chain(descriptors).collect();
        let ready = match warnings.is_empty() {
            true => json!({ "status": "ready" }),
            false => json!({ "status": "ready", "warnings": warnings }),
        };
        return json::response(StatusCode::OK, &ready);
    }
    json::response(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not ready", "reasons": reasons }))
}
