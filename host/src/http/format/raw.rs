//! Raw formats: only the text or the bytes that the run sends.

use std::borrow::Cow;

use serde::Deserialize;

use super::writer::{EventWriter, Numbers};
use super::{Encoder, Layout};
use crate::model::{Content, HOST_PREFIX, Json, NewEvent};

/// Prefix of media types whose bytes are text.
const TEXTUAL: &str = "text/";
/// Event type of a line printed by an ordinary program, without its line end.
const OUTPUT: &str = "output";
/// Event type of log messages, which are for operators.
const LOG: &str = "log";
/// Event type of an update of a page.
const VIEW: &str = "view";

/// An update of a page that appends text. Other updates have no place in a text that only grows.
#[derive(Deserialize)]
struct Appended<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow, default)]
    mode: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// The encoder of `text/plain`: strings, printed lines, text appended to a page, and bytes of a textual media type.
pub(super) struct Text;

impl Encoder for Text {
    fn event(&self, writer: &mut EventWriter<'_>, event: &NewEvent, _: Numbers, _: Layout) {
        let event_type = event.event_type.as_str();
        if event_type.starts_with(HOST_PREFIX) || event_type == LOG {
            return;
        }
        match &event.content {
            Content::Bytes(media_type, bytes) if media_type.as_str().starts_with(TEXTUAL) => {
                writer.out.extend_from_slice(bytes);
            }
            Content::Bytes(..) => {}
            Content::Json(json) if event_type == VIEW => {
                if let Some(text) = appended(json) {
                    writer.text(&text);
                }
            }
            Content::Json(json) if json.as_str().starts_with('"') => {
                let text: Cow<'_, str> = serde_json::from_str::<JsonString<'_>>(json.as_str())
                    .map(|text| text.0)
                    .unwrap_or_default();
                writer.text(&text);
                if event_type == OUTPUT {
                    writer.text("\n");
                }
            }
            Content::Json(_) => {}
        }
    }
}

/// The encoder of `application/octet-stream`: the bytes that the run sends.
pub(super) struct Binary;

impl Encoder for Binary {
    fn event(&self, writer: &mut EventWriter<'_>, event: &NewEvent, _: Numbers, _: Layout) {
        if let Content::Bytes(_, bytes) = &event.content {
            writer.out.extend_from_slice(bytes);
        }
    }
}

/// A string that is borrowed if it has no escapes. `Cow` alone would always copy.
#[derive(Deserialize)]
struct JsonString<'a>(#[serde(borrow)] Cow<'a, str>);

fn appended(json: &Json) -> Option<Cow<'_, str>> {
    // serde also accepts an array for a struct.
    let json = Some(json.as_str()).filter(|json| json.trim_start().starts_with('{'))?;
    let Appended { op, mode, text } = serde_json::from_str(json).ok()?;
    (op == "text" && mode.is_none_or(|mode| mode == "append")).then_some(text)
}
