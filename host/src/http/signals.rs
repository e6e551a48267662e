//! Messages to a run: pause, resume, signals, parameters.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::StatusCode;

use super::body::Response;
use super::json::RunJson;
use super::problem::Problem;
use super::{Api, json, runs};
use crate::model::{Json, Signal, SignalName};
use crate::storage::MessageOutcome;

/// `POST /api/runs/{run}/pause` and `…/resume`. Idempotent.
pub(super) async fn set_paused(api: &Api, id: &str, paused: bool) -> Result<Response, Problem> {
    let reached = api.scheduler.set_paused(&runs::parse_id(id)?, paused).await?;
    respond(id, reached, StatusCode::OK)
}

/// `POST /api/runs/{run}/signals/{name}`: the body is the payload.
pub(super) async fn signal(api: &Api, id: &str, name: &str, body: Bytes) -> Result<Response, Problem> {
    let payload = if body.is_empty() { Json::null() } else { json::from_body(body)? };
    let signal = Signal { name: parse_name(name)?, payload };
    let reached = api.scheduler.signal(&runs::parse_id(id)?, signal).await?;
    respond(id, reached, StatusCode::ACCEPTED)
}

/// `PUT /api/runs/{run}/parameters/{name}`: the body is the value.
pub(super) async fn set_parameter(api: &Api, id: &str, name: &str, body: Bytes) -> Result<Response, Problem> {
    let value = json::from_body(body)?;
    let reached = api.scheduler.set_parameter(&runs::parse_id(id)?, parse_name(name)?, value).await?;
    respond(id, reached, StatusCode::OK)
}

/// `GET /api/runs/{run}/parameters`.
pub(super) async fn parameters(api: &Api, id: &str) -> Result<Response, Problem> {
    let run = runs::find(api, id).await?;
    let parameters = api.storage.parameters(run.key.no).await?;
    let parameters: BTreeMap<&str, &Json> =
        parameters.iter().map(|(name, value)| (name.as_str(), value)).collect();
    Ok(json::response(StatusCode::OK, &parameters))
}

pub(super) fn parse_name(name: &str) -> Result<SignalName, Problem> {
    SignalName::parse(name).map_err(|refusal| Problem::bad_request("invalid-name", refusal.message))
}

fn respond(id: &str, reached: MessageOutcome, status: StatusCode) -> Result<Response, Problem> {
    match reached {
        MessageOutcome::NotFound => Err(runs::unknown(id)),
        MessageOutcome::AlreadyEnded(run) => Err(runs::already_ended(&run)),
        MessageOutcome::Owner { run, message } if message != 0 => {
            // Another host executes it, and has not noted the message yet.
            Ok(json::response(StatusCode::ACCEPTED, &RunJson::from(&run)))
        }
        MessageOutcome::Unchanged(run) | MessageOutcome::Owner { run, .. } | MessageOutcome::Kept(run) => {
            Ok(json::response(status, &RunJson::from(&run)))
        }
    }
}
