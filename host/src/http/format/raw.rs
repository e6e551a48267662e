//! The run's own text or bytes, and nothing else.

use std::borrow::Cow;

use serde::Deserialize;

use super::EventWriter;
use crate::model::{Content, Event, HOST_PREFIX, Json};

/// Media types whose bytes are text.
const TEXTUAL: &str = "text/";
/// A line of an ordinary program, without its end.
const OUTPUT: &str = "output";
/// What the run says about itself, for people who look after it.
const LOG: &str = "log";
/// An update of a page.
const VIEW: &str = "view";

/// An update that adds text at the end. What it does otherwise can't be said by text that only grows.
#[derive(Deserialize)]
struct Appended<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow, default)]
    mode: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// Strings that the run sends, lines that it prints, text that it adds to a page, and bytes that are text.
pub(super) fn text(writer: &mut EventWriter<'_>, event: &Event) {
    let kind = event.what.event_type.as_str();
    if kind.starts_with(HOST_PREFIX) || kind == LOG {
        return;
    }
    match &event.what.content {
        Content::Bytes(media, bytes) if media.as_str().starts_with(TEXTUAL) => {
            writer.out.extend_from_slice(bytes);
        }
        Content::Bytes(..) => {}
        Content::Json(json) if kind == VIEW => {
            if let Some(text) = appended(json) {
                writer.text(&text);
            }
        }
        Content::Json(json) if json.as_str().starts_with('"') => {
            let text: Cow<'_, str> =
                serde_json::from_str::<Text<'_>>(json.as_str()).map(|text| text.0).unwrap_or_default();
            writer.text(&text);
            if kind == OUTPUT {
                writer.text("\n");
            }
        }
        Content::Json(_) => {}
    }
}

/// Borrows what has no escapes, which `Cow` alone would not.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn appended(json: &Json) -> Option<Cow<'_, str>> {
    // An array would do for a struct, too.
    let json = Some(json.as_str()).filter(|json| json.trim_start().starts_with('{'))?;
    let Appended { op, mode, text } = serde_json::from_str(json).ok()?;
    (op == "text" && mode.is_none_or(|mode| mode == "append")).then_some(text)
}

/// What the run sends as bytes.
pub(super) fn bytes(writer: &mut EventWriter<'_>, event: &Event) {
    if let Content::Bytes(_, bytes) = &event.what.content {
        writer.out.extend_from_slice(bytes);
    }
}
