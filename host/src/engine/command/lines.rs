//! Parses the lines that a program prints.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::guest::HostApi;
use crate::engine::guest::bindings::streamtask::task::types::Failure;
use crate::engine::wasi::stdio::LinePart;
use crate::model::{Json, NewEvent, Refusal, RefusalCode, also_null};

/// Longest line that can be the result by being the last line.
const MAX_LAST_LINE: usize = 64 << 10;

/// One printed line.
pub(super) enum PrintedLine<'a> {
    Event(EventLine<'a>),
    Result(String),
    Failure(FailureLine),
    /// A call, which `CallHandler` parses.
    Call,
    Plain,
}

/// `{"event":…,"data":…}`, or with `base64` and `content_type` in place of `data`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventLine<'a> {
    event: String,
    #[serde(borrow, default, deserialize_with = "also_null")]
    data: Option<&'a RawValue>,
    base64: Option<Cow<'a, str>>,
    content_type: Option<String>,
    channel: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResultLine<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailureKey {
    failure: FailureLine,
}

/// The value of `{"failure":…}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FailureLine {
    message: String,
    code: Option<String>,
    details: Option<Box<RawValue>>,
    #[serde(default)]
    retryable: bool,
    retry_after_ms: Option<u32>,
}

#[derive(Deserialize)]
struct CallKey<'a> {
    #[serde(borrow, rename = "call")]
    _call: Cow<'a, str>,
}

impl<'a> PrintedLine<'a> {
    pub(super) fn read(line: &'a str) -> Self {
        if !line.starts_with('{') {
            return Self::Plain;
        }
        match serde_json::from_str::<EventLine<'_>>(line) {
            Ok(event) if event.data.is_some() != event.base64.is_some() => return Self::Event(event),
            _ => {}
        }
        if let Ok(ResultLine { result }) = serde_json::from_str(line) {
            return Self::Result(result.get().to_owned());
        }
        if let Ok(FailureKey { failure }) = serde_json::from_str(line) {
            return Self::Failure(failure);
        }
        match serde_json::from_str::<CallKey<'_>>(line) {
            Ok(_) => Self::Call,
            Err(_) => Self::Plain,
        }
    }
}

impl EventLine<'_> {
    /// The event, if it is valid.
    pub(super) fn check(self, api: &HostApi) -> Result<NewEvent, Refusal> {
        match (self.data, self.base64) {
            (Some(data), _) => api.json_event(self.channel, self.event, data.get().to_owned()),
            (None, base64) => {
                let bytes = decode(&base64.unwrap_or_default())?;
                let content_type = self.content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
                api.bytes_event(self.channel, self.event, content_type, bytes)
            }
        }
    }
}

/// Decodes Base64.
pub(super) fn decode(base64: &str) -> Result<Vec<u8>, Refusal> {
    BASE64_STANDARD.decode(base64).map_err(|error| {
        Refusal::new(RefusalCode::InvalidArgument, format!("`base64` is not valid Base64: {error}"))
    })
}

impl From<FailureLine> for Failure {
    fn from(line: FailureLine) -> Self {
        let details = line.details.map(|details| details.get().to_owned());
        let FailureLine { message, code, retryable, retry_after_ms, .. } = line;
        Self { message, code, details, retryable, retry_after_ms }
    }
}

/// Plain output of a program, as far as it may be the result.
pub(super) struct PlainOutput {
    /// All of it; none once it exceeds the limit of a result.
    all: Option<String>,
    limit: usize,
    last: String,
}

impl PlainOutput {
    pub(super) fn new(limit: usize) -> Self {
        Self { all: Some(String::new()), limit, last: String::new() }
    }

    pub(super) fn add(&mut self, text: &str, part: LinePart<'_>) {
        self.all = self.all.take().filter(|all| all.len() + text.len() < self.limit).map(|mut all| {
            all.push_str(text);
            if part.ends {
                all.push('\n');
            }
            all
        });
        if part.is_whole() && text.len() <= MAX_LAST_LINE && !text.trim().is_empty() {
            self.last.clear();
            self.last.push_str(text);
        }
    }

    /// The result: the whole output if it is JSON, or else the last line if that is.
    pub(super) fn take(&mut self) -> Option<String> {
        let all = self.all.take().and_then(|all| Json::parse(all.trim()).ok());
        all.or_else(|| Json::parse(std::mem::take(&mut self.last)).ok()).map(Json::into_string)
    }
}

impl Default for PlainOutput {
    fn default() -> Self {
        Self::new(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: &str) -> &'static str {
        match PrintedLine::read(line) {
            PrintedLine::Event(_) => "event",
            PrintedLine::Result(_) => "result",
            PrintedLine::Failure(_) => "failure",
            PrintedLine::Call => "call",
            PrintedLine::Plain => "plain",
        }
    }

    #[test]
    fn only_a_complete_object_is_parsed() {
        for (line, is) in [
            (r#"{"event":"a","data":null}"#, "event"),
            (r#"{"event":"a","data":{"b":1},"channel":"c"}"#, "event"),
            (r#"{"event":"a","base64":"","content_type":"a/b"}"#, "event"),
            (r#"{"event":"a"}"#, "plain"),
            (r#"{"event":"a","data":1,"base64":""}"#, "plain"),
            (r#"{"event":"a","data":1,"level":"info"}"#, "plain"),
            (r#"{"event":7,"data":1}"#, "plain"),
            (r#"{"result":null}"#, "result"),
            (r#"{"result":1,"more":2}"#, "plain"),
            (r#"{"failure":{"message":"no"}}"#, "failure"),
            (r#"{"failure":"no"}"#, "plain"),
            (r#"{"call":"flush"}"#, "call"),
            (r#"{"call":1}"#, "plain"),
            ("{", "plain"),
            ("", "plain"),
            ("[1]", "plain"),
        ] {
            assert_eq!(kind(line), is, "{line}");
        }
    }

    #[test]
    fn the_result_is_all_that_was_printed_or_its_last_line() {
        let result = |limit: usize, lines: &[&str]| {
            let mut plain = PlainOutput::new(limit);
            for line in lines {
                plain.add(line, LinePart { text: line.as_bytes(), begins: true, ends: true });
            }
            plain.take()
        };
        assert_eq!(result(100, &["{", "  \"a\": 1", "}"]).as_deref(), Some("{   \"a\": 1 }"));
        assert_eq!(result(100, &["working", "42", ""]).as_deref(), Some("42"));
        assert_eq!(result(3, &["{", "\"a\": 1", "}", "7"]).as_deref(), Some("7"));
        assert_eq!(result(100, &["working"]), None);
        assert_eq!(result(100, &[]), None);
    }
}
