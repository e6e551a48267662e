//! Answers the calls that a program prints. Names are those of the contract.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::lines::decode;
use crate::engine::guest::{ApiResult, ChildOptions, HostApi};
use crate::engine::guest_host::RunLost;
use crate::engine::wasi::{Outgoing, PlainRequest};
use crate::model::{Json, Outcome, Refusal, RefusalCode, also_null};

#[derive(Serialize)]
struct SignalAnswer<'a> {
    name: &'a str,
    payload: &'a Json,
}

#[derive(Serialize)]
struct ParameterAnswer {
    value: Json,
}

#[derive(Serialize)]
struct ChildAnswer {
    index: u32,
    outcome: OutcomeAnswer,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum OutcomeAnswer {
    Completed(Json),
    Cancelled(Option<Json>),
    Failed { kind: &'static str, message: String, code: Option<String>, details: Option<Json> },
}

impl From<Outcome> for OutcomeAnswer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed(result) => Self::Completed(result),
            Outcome::Cancelled(result) => Self::Cancelled(result),
            Outcome::Failed(error) => Self::Failed {
                kind: error.kind.as_str(),
                message: error.message,
                code: error.code,
                details: error.details,
            },
        }
    }
}

/// Executes the calls of one program.
pub(super) struct CallHandler {
    pub(super) api: HostApi,
    pub(super) outgoing: Mutex<Outgoing>,
}

#[derive(Deserialize)]
struct SendEvent<'a> {
    r#type: String,
    #[serde(borrow, default, deserialize_with = "also_null")]
    data: Option<&'a RawValue>,
    channel: Option<String>,
}

#[derive(Deserialize)]
struct SendBytes<'a> {
    r#type: String,
    content_type: String,
    #[serde(borrow)]
    base64: Cow<'a, str>,
    channel: Option<String>,
}

#[derive(Deserialize)]
struct Sleep {
    ms: u32,
}

#[derive(Deserialize)]
struct ReceiveSignal {
    name: Option<String>,
    timeout_ms: Option<u32>,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
}

#[derive(Deserialize)]
struct SaveCheckpoint<'a> {
    key: String,
    #[serde(borrow)]
    base64: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Checkpoint {
    key: String,
}

#[derive(Deserialize)]
struct StartChild<'a> {
    task: String,
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(flatten)]
    options: ChildOptions,
}

#[derive(Deserialize)]
struct WaitChildren {
    runs: Vec<String>,
    timeout_ms: Option<u32>,
}

#[derive(Deserialize)]
struct CancelChild {
    run: String,
}

#[derive(Deserialize)]
struct HttpRequest<'a> {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(borrow, default)]
    base64: Cow<'a, str>,
    timeout_ms: Option<u32>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    call: Cow<'a, str>,
}

impl CallHandler {
    /// Executes a call. The answer is one line: `{"ok":…}` or `{"error":…}`.
    pub(super) async fn answer(&self, call: &str) -> Vec<u8> {
        let mut line = match self.execute(call).await {
            Ok(value) => format!("{{\"ok\":{}}}", value.as_str()),
            Err(Refusal { code, message }) => {
                json!({ "error": { "code": code.as_str(), "message": message } }).to_string()
            }
        }
        .into_bytes();
        line.push(b'\n');
        line
    }

    async fn execute(&self, call: &str) -> Result<Json, Refusal> {
        let api = &self.api;
        match &*arguments::<Name<'_>>(call)?.call {
            "send-event" => {
                let SendEvent { r#type, data, channel } = arguments(call)?;
                let data = data.map_or("null", RawValue::get).to_owned();
                no_value(api.send_event(channel, r#type, data).await)
            }
            "send-bytes" => {
                let SendBytes { r#type, content_type, base64, channel } = arguments(call)?;
                no_value(api.send_bytes(channel, r#type, content_type, decode(&base64)?).await)
            }
            "flush" => api.host.flush().await.map(null),
            "info" => Ok(self.info()),
            "remaining-ms" => Ok(Json::of(&api.remaining_ms())),
            "cancelled" => Ok(Json::of(&api.host.is_cancelled())),
            "sleep-ms" => Ok(Json::of(&api.sleep(arguments::<Sleep>(call)?.ms).await)),
            "receive-signal" => self.receive_signal(arguments(call)?).await,
            "parameter" => Ok(self.parameter(&arguments(call)?)),
            "save-checkpoint" => {
                let SaveCheckpoint { key, base64 } = arguments(call)?;
                api.save_checkpoint(key, Some(decode(&base64)?)).await.map(null)
            }
            "load-checkpoint" => self.load_checkpoint(arguments(call)?).await,
            "remove-checkpoint" => {
                api.save_checkpoint(arguments::<Checkpoint>(call)?.key, None).await.map(null)
            }
            "start-child" => {
                let StartChild { task, input, options } = arguments(call)?;
                api.start_child(&task, input.get().to_owned(), options).await.map(|run| Json::of(&run))
            }
            "wait-children" => self.wait_for_children(arguments(call)?).await,
            "cancel-child" => api.host.cancel_child(&arguments::<CancelChild>(call)?.run).await.map(null),
            "http-request" => self.request(arguments(call)?).await,
            other => {
                let message = format!("there is no call {other:?}; docs/commands.md lists them");
                Err(Refusal::new(RefusalCode::NotFound, message))
            }
        }
    }

    fn info(&self) -> Json {
        let info = self.api.host.info();
        Json::of(&json!({
            "id": info.id, "app": info.task.app.as_str(), "task": info.task.task.as_str(),
            "version": info.version.to_string(), "attempt": info.attempt, "labels": info.labels,
        }))
    }

    async fn receive_signal(&self, call: ReceiveSignal) -> Result<Json, Refusal> {
        let signal = self.api.receive_signal(call.name, call.timeout_ms).await.map_err(lost)?;
        Ok(signal.map_or_else(Json::null, |signal| {
            Json::of(&SignalAnswer { name: signal.name.as_str(), payload: &signal.payload })
        }))
    }

    fn parameter(&self, call: &Parameter) -> Json {
        let value = self.api.host.parameter(&call.name);
        value.map_or_else(Json::null, |value| Json::of(&ParameterAnswer { value }))
    }

    async fn load_checkpoint(&self, call: Checkpoint) -> Result<Json, Refusal> {
        let value = self.api.load_checkpoint(call.key).await?;
        Ok(value
            .map_or_else(Json::null, |value| Json::of(&json!({ "base64": BASE64_STANDARD.encode(value) }))))
    }

    async fn wait_for_children(&self, call: WaitChildren) -> Result<Json, Refusal> {
        let ended = self.api.wait_for_children(&call.runs, call.timeout_ms).await?;
        Ok(ended.map_or_else(Json::null, |(index, outcome)| {
            Json::of(&ChildAnswer { index, outcome: outcome.into() })
        }))
    }

    async fn request(&self, request: HttpRequest<'_>) -> Result<Json, Refusal> {
        let HttpRequest { method, url, headers, base64, timeout_ms } = request;
        let timeout = timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let request = PlainRequest { method, url, headers, body: decode(&base64)?, timeout };
        let sent = self.outgoing.lock().send_plain(request)?;
        let response = sent.await?;
        Ok(Json::of(&json!({
            "status": response.status, "headers": response.headers,
            "base64": BASE64_STANDARD.encode(response.body),
        })))
    }
}

fn arguments<'a, T: Deserialize<'a>>(call: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(call).map_err(|error| {
        Refusal::new(RefusalCode::InvalidArgument, format!("the call is not valid: {error}"))
    })
}

fn null((): ()) -> Json {
    Json::null()
}

fn no_value(result: ApiResult<()>) -> Result<Json, Refusal> {
    result.map_err(lost)?.map(null)
}

/// The answer when the run is lost. The program does not receive it.
fn lost(lost: RunLost) -> Refusal {
    Refusal::new(RefusalCode::Unavailable, lost.to_string())
}
