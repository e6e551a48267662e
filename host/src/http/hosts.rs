//! The hosts that share the database of this one.

use hyper::StatusCode;
use serde::Serialize;

use super::body::Response;
use super::problem::Problem;
use super::{Api, json};
use crate::model::Timestamp;

/// A host that is alive, as JSON.
#[derive(Serialize)]
struct HostJson<'a> {
    id: &'a str,
    name: &'a str,
    url: Option<&'a str>,
    version: &'a str,
    started_at: Timestamp,
    /// Null with a database of its own: nobody else can take its runs.
    lease_until: Option<Timestamp>,
    /// How many runs it executes.
    runs: u32,
    /// Whether it is the host that answers.
    answers: bool,
}

/// `GET /api/hosts`: the hosts that are alive, in the order in which they registered.
pub(super) async fn list(api: &Api) -> Result<Response, Problem> {
    let hosts = api.storage.hosts().await?;
    let (own, is_shared) = (api.scheduler.host(), api.scheduler.shares_database());
    let hosts: Vec<HostJson<'_>> = hosts
        .iter()
        .map(|host| HostJson {
            id: host.info.id.as_str(),
            name: &host.info.name,
            url: host.info.url.as_deref(),
            version: &host.info.build,
            started_at: host.info.started_at,
            lease_until: is_shared.then_some(host.lease_until),
            runs: host.runs,
            answers: host.info.id == own,
        })
        .collect();
    Ok(json::response(StatusCode::OK, &serde_json::json!({ "hosts": hosts })))
}
