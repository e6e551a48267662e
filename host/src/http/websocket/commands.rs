//! The client's requests: parse one, execute its command, encode the response.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::notice;
use crate::http::body::Response;
use crate::http::problem::Problem;
use crate::http::{Api, runs, signals};
use crate::model::{Run, also_null};

/// What a client can have done to the run.
enum Command {
    Cancel,
    Pause,
    Resume,
    Signal { name: String, payload: Bytes },
    SetParameter { name: String, value: Bytes },
}

/// A request as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    /// Chosen by the client, and returned with the response.
    #[serde(borrow, rename = "id")]
    _id: Option<&'a RawValue>,
    action: Action,
    name: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "also_null")]
    value: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Cancel,
    Pause,
    Resume,
    Signal,
    SetParameter,
}

/// Only the id of a request, which may be invalid otherwise.
#[derive(Deserialize)]
struct RequestId<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// The response to a request.
#[derive(Serialize)]
struct ResponseJson<'a> {
    id: Option<&'a RawValue>,
    /// The same as over HTTP.
    status: u16,
    body: Option<&'a RawValue>,
}

/// Execute a request, and return the message that responds to it.
pub(super) async fn respond(api: &Api, run: &Run, request: &str) -> Utf8Bytes {
    let response = match parse(request) {
        Ok(command) => execute(api, run.key.id.as_str(), command).await,
        Err(problem) => Err(problem),
    };
    encode(request, response.unwrap_or_else(Problem::response))
}

fn parse(request: &str) -> Result<Command, Problem> {
    let refuse = |detail: String| Problem::bad_request("invalid-message", detail);
    let request: Request<'_> =
        serde_json::from_str(request).map_err(|error| refuse(format!("the message is invalid: {error}")))?;
    let missing = |what: &str| refuse(format!("`{what}` is missing"));
    let name = request.name.ok_or_else(|| missing("name"));
    let bytes = |raw: &RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
    Ok(match request.action {
        Action::Cancel => Command::Cancel,
        Action::Pause => Command::Pause,
        Action::Resume => Command::Resume,
        Action::Signal => {
            Command::Signal { name: name?, payload: request.payload.map(bytes).unwrap_or_default() }
        }
        Action::SetParameter => {
            let value = bytes(request.value.ok_or_else(|| missing("value"))?);
            Command::SetParameter { name: name?, value }
        }
    })
}

async fn execute(api: &Api, run: &str, command: Command) -> Result<Response, Problem> {
    match command {
        Command::Cancel => runs::cancel(api, run).await,
        Command::Pause => signals::set_paused(api, run, true).await,
        Command::Resume => signals::set_paused(api, run, false).await,
        Command::Signal { name, payload } => signals::signal(api, run, &name, payload).await,
        Command::SetParameter { name, value } => signals::set_parameter(api, run, &name, value).await,
    }
}

/// Encode a response, with the id of its request.
fn encode(request: &str, response: Response) -> Utf8Bytes {
    let id = serde_json::from_str::<RequestId<'_>>(request).ok().and_then(|request| request.id);
    let status = response.status().as_u16();
    let body = response.into_body().into_whole().unwrap_or_default();
    let body = serde_json::from_slice::<&RawValue>(&body).ok();
    notice::encode("run.response", &ResponseJson { id, status, body })
}
