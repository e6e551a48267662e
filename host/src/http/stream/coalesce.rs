//! Coalescing of events, for subscribers that render them: `?interval=`.
//!
//! A screen shows all updates between two of its frames together. So consecutive updates of a page become one event:
//! text appended to the same target is concatenated, and of several replacements of a target or of the state only the
//! last one stays, in an order with the same result. The event has the number of the last update, so a subscriber that
//! reconnects before or after it misses no event and gets none twice.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::format::{Format, Names};
use crate::model::{Content, Event, Json};

/// Event type of an update of a page.
const VIEW: &str = "view";

/// Coalesce consecutive updates among the events of a run. Each event comes with its bytes; a coalesced one is returned
/// with the last of its events.
pub(in crate::http) fn coalesce<'a>(
    events: Vec<(&'a Event, Bytes)>,
    names: &Names,
    format: Format,
) -> Vec<(&'a Event, Bytes)> {
    if format.is_raw() {
        return events;
    }
    let one = |updates: &[(&'a Event, Bytes)]| match updates {
        [(first, _), .., (last, _)] => {
            let data = coalesced_data(updates.iter().map(|(event, _)| *event));
            Some((*last, format.coalesced(names, first.seq, last, data)))
        }
        single => single.first().cloned(),
    };
    events
        .chunk_by(|(before, _), (event, _)| is_update(before) && can_follow(before, event))
        .filter_map(one)
        .collect()
}

fn is_update(event: &Event) -> bool {
    event.what.event_type.as_str() == VIEW && matches!(event.what.content, Content::Json(_))
}

fn can_follow(before: &Event, event: &Event) -> bool {
    is_update(event) && event.attempt == before.attempt && event.what.channel == before.what.channel
}

/// Coalesce the data of consecutive updates: into one update, or into `{"op":"frame","ops":[…]}`.
pub(in crate::http) fn coalesced_data<'a>(updates: impl Iterator<Item = &'a Event>) -> Json {
    let mut coalescer = Coalescer::default();
    for event in updates {
        if let Content::Json(json) = &event.what.content {
            coalescer.add(json.as_str());
        }
    }
    coalescer.into_json()
}

/// A text update of a target. One with other members stays unchanged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextUpdate<'a> {
    #[serde(rename = "op")]
    _op: &'a str,
    #[serde(borrow)]
    target: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(default)]
    mode: Mode,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Append,
    Prepend,
    Replace,
}

impl Mode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Prepend => "prepend",
            Self::Replace => "replace",
        }
    }
}

/// The members that matter of an update that stays unchanged.
#[derive(Deserialize)]
struct AnyUpdate<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow, default)]
    target: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    html: Option<&'a RawValue>,
}

enum Op<'a> {
    Text {
        target: Cow<'a, str>,
        mode: Mode,
        text: String,
    },
    Unchanged(&'a str),
    /// A later operation replaces its effect.
    Superseded,
}

/// Coalesces the data of updates. All indices are those of `ops`.
#[derive(Default)]
struct Coalescer<'a> {
    ops: Vec<Op<'a>>,
    /// Text operations that can still be extended, by target.
    open: HashMap<Cow<'a, str>, usize>,
    /// Operations that a replacement of their target supersedes, by target.
    content: HashMap<Cow<'a, str>, Vec<usize>>,
    /// The last update of the state.
    state: Option<usize>,
}

impl<'a> Coalescer<'a> {
    fn add(&mut self, data: &'a str) {
        // serde also accepts an array for a struct.
        let update = data.trim_start().starts_with('{').then(|| serde_json::from_str::<AnyUpdate<'a>>(data));
        let Some(Ok(update)) = update else {
            // Nothing may move past an unknown update.
            self.open.clear();
            self.ops.push(Op::Unchanged(data));
            return;
        };
        match &*update.op {
            "text" => match serde_json::from_str::<TextUpdate<'a>>(data) {
                Ok(update) => self.text(update),
                Err(_) => self.other(update, data),
            },
            "state" => {
                if let Some(earlier) = self.state.replace(self.ops.len()) {
                    self.ops[earlier] = Op::Superseded;
                }
                self.ops.push(Op::Unchanged(data));
            }
            _ => self.other(update, data),
        }
    }

    fn text(&mut self, TextUpdate { target, text, mode, .. }: TextUpdate<'a>) {
        if mode == Mode::Replace {
            self.supersede(&target);
        } else if let Some(&at) = self.open.get(&target)
            && let Op::Text { mode: earlier_mode, text: earlier, .. } = &mut self.ops[at]
        {
            match (*earlier_mode, mode) {
                (Mode::Append | Mode::Replace, Mode::Append) => return earlier.push_str(&text),
                (Mode::Prepend | Mode::Replace, Mode::Prepend) => return earlier.insert_str(0, &text),
                _ => {}
            }
        }
        let at = self.ops.len();
        self.open.insert(target.clone(), at);
        self.content.entry(target.clone()).or_default().push(at);
        self.ops.push(Op::Text { target, mode, text: text.into_owned() });
    }

    /// Add an update past which no operation on the same target may move.
    fn other(&mut self, update: AnyUpdate<'a>, data: &'a str) {
        let at = self.ops.len();
        self.ops.push(Op::Unchanged(data));
        // It may create targets, and operations on these must stay behind it.
        if update.html.is_some_and(|html| html.get().contains("-stream")) {
            self.open.clear();
        }
        let Some(target) = update.target else {
            self.open.clear();
            return;
        };
        self.open.remove(&target);
        match &*update.op {
            "html" => {
                self.supersede(&target);
                self.content.entry(target).or_default().push(at);
            }
            "insert" | "remove" | "prune" => self.content.entry(target).or_default().push(at),
            _ => {}
        }
    }

    fn supersede(&mut self, target: &str) {
        for at in self.content.remove(target).unwrap_or_default() {
            self.ops[at] = Op::Superseded;
        }
        self.open.remove(target);
    }

    fn into_json(self) -> Json {
        let mut ops: Vec<String> = self.ops.into_iter().filter_map(Op::into_text).collect();
        if ops.len() == 1 {
            return Json::from_valid(ops.remove(0));
        }
        let mut text = String::from(r#"{"op":"frame","ops":["#);
        for (nth, op) in ops.iter().enumerate() {
            text.push_str(if nth == 0 { "" } else { "," });
            text.push_str(op);
        }
        text.push_str("]}");
        Json::from_valid(text)
    }
}

impl Op<'_> {
    fn into_text(self) -> Option<String> {
        match self {
            Self::Superseded => None,
            Self::Unchanged(data) => Some(data.to_owned()),
            Self::Text { target, mode, text } => {
                let mut op = String::with_capacity(text.len() + target.len() + 64);
                let (target, text) = (Json::of(&*target), Json::of(text.as_str()));
                write!(op, r#"{{"op":"text","target":{},"text":{}"#, target.as_str(), text.as_str())
                    .expect("writing to memory can't fail");
                if mode != Mode::Append {
                    write!(op, r#","mode":"{}""#, mode.as_str()).expect("writing to memory can't fail");
                }
                op.push('}');
                Some(op)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(updates: &[Value]) -> Value {
        let texts: Vec<String> = updates.iter().map(Value::to_string).collect();
        let mut coalescer = Coalescer::default();
        for text in &texts {
            coalescer.add(text);
        }
        serde_json::from_str(coalescer.into_json().as_str()).unwrap()
    }

    fn text(target: &str, text: &str) -> Value {
        json!({ "op": "text", "target": target, "text": text })
    }

    #[test]
    fn text_appended_to_a_target_is_concatenated() {
        assert_eq!(of(&[text("a", "x"), text("a", "\"y\n"), text("a", "ü")]), text("a", "x\"y\nü"));
        let prepended = |text: &str| json!({ "op": "text", "target": "a", "text": text, "mode": "prepend" });
        assert_eq!(of(&[prepended("2"), prepended("1")]), prepended("12"));
    }

    #[test]
    fn text_of_different_targets_is_kept_apart() {
        let frame = of(&[text("a", "1"), text("b", "x"), text("a", "2"), text("b", "y")]);
        assert_eq!(frame, json!({ "op": "frame", "ops": [text("a", "12"), text("b", "xy")] }));
    }

    #[test]
    fn only_the_last_replacement_stays() {
        let html = |html: &str| json!({ "op": "html", "target": "a", "html": html });
        let state = |n: u32| json!({ "op": "state", "state": n });
        assert_eq!(
            of(&[html("1"), text("a", "x"), html("2"), state(1), state(2)]),
            json!({ "op": "frame", "ops": [html("2"), state(2)] })
        );
        let replaced = json!({ "op": "text", "target": "a", "text": "new", "mode": "replace" });
        let more = json!({ "op": "text", "target": "a", "text": "new!", "mode": "replace" });
        assert_eq!(of(&[text("a", "old"), replaced, text("a", "!")]), more);
    }

    #[test]
    fn nothing_moves_past_an_unknown_update_or_one_that_creates_its_target() {
        let done = json!({ "op": "done", "target": "a" });
        let ops = [text("a", "x"), done.clone(), text("a", "late")];
        assert_eq!(of(&ops), json!({ "op": "frame", "ops": ops }));
        let nested = json!({ "op": "insert", "target": "b", "html": "<p data-stream=\"a\"></p>" });
        let ops = [text("a", "x"), nested, text("a", "y")];
        assert_eq!(of(&ops), json!({ "op": "frame", "ops": ops }));
        let odd = json!(["no", "update"]);
        let ops = [text("a", "x"), odd, text("a", "y")];
        assert_eq!(of(&ops), json!({ "op": "frame", "ops": ops }));
    }

    #[test]
    fn an_update_with_other_members_stays_unchanged() {
        let own = json!({ "op": "text", "target": "a", "text": "y", "colour": "red" });
        let ops = [text("a", "x"), own, text("a", "z")];
        assert_eq!(of(&ops), json!({ "op": "frame", "ops": ops }));
    }
}
