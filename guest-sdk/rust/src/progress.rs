//! The event type `progress`, which the host and its clients understand.

use std::fmt;

use serde::{Serialize, Serializer};

/// The progress of a run: the data of a `progress` event.
///
/// For sequential work, count the steps:
///
/// ```
/// # fn main() -> Result<(), streamtask_sdk::Error> {
/// # let ctx = streamtask_sdk::testing::Recording::new();
/// use streamtask_sdk::Progress;
///
/// ctx.progress(Progress::step(3).total(10).message("reading page 3"))?;
/// # assert_eq!(ctx.data("progress")[0].to_string(), r#"{"message":"reading page 3","step":3,"total":10}"#);
/// # Ok(())
/// # }
/// ```
///
/// For work in several parts, report a tree of items. Each event updates one item,
/// identified by its ID; omitted values do not change. The host computes the
/// progress of parents from their items by weight, and estimates the time left.
///
/// ```
/// # fn main() -> Result<(), streamtask_sdk::Error> {
/// # let ctx = streamtask_sdk::testing::Recording::new();
/// use streamtask_sdk::{Progress, Status};
///
/// ctx.progress(Progress::item("import").message("Importing"))?;
/// ctx.progress(Progress::item("fetch").parent("import").weight(1.0).total(80))?;
/// ctx.progress(Progress::item("index").parent("import").weight(3.0).status(Status::Waiting))?;
///
/// ctx.progress(Progress::item("fetch").done(20))?;
/// ctx.progress(Progress::item("index").status(Status::Running).percent(12.5))?;
/// # assert_eq!(ctx.data("progress")[4]["percent"], 12.5);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, Serialize)]
#[must_use = "`Context::progress` sends it"]
pub struct Progress<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
}

impl<'a> Progress<'a> {
    /// Step `step` is done, counted from 1.
    pub fn step(step: u64) -> Self {
        Self { step: Some(step), ..Self::default() }
    }

    /// Updates the item with this ID; creates it if it is new.
    pub fn item(id: &'a str) -> Self {
        Self { id: Some(id), ..Self::default() }
    }

    /// The item that this one is a part of. An item without a parent is a root.
    pub fn parent(self, parent: &'a str) -> Self {
        Self { parent: Some(parent), ..self }
    }

    /// The weight of the item among its siblings; 1 by default.
    pub fn weight(self, weight: f64) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// The status of the item.
    pub fn status(self, status: Status) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The part of the item's [`total`](Self::total) that is done.
    pub fn done(self, done: u64) -> Self {
        Self { done: Some(done), ..self }
    }

    /// The total amount of work, in steps or in any other unit.
    pub fn total(self, total: u64) -> Self {
        Self { total: Some(total), ..self }
    }

    /// The percentage that is done, for work that can't be counted.
    pub fn percent(self, percent: f64) -> Self {
        Self { percent: Some(percent), ..self }
    }

    /// One line for people. [`format_args!`] gives one without an allocation.
    pub fn message(self, message: impl Into<Message<'a>>) -> Self {
        Self { message: Some(message.into()), ..self }
    }
}

/// The status of an item of a [`Progress`] tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// It has not started.
    Waiting,
    /// It is active.
    Running,
    /// It is done.
    Completed,
    /// It failed.
    Failed,
    /// It turned out not to be needed; it counts as done.
    Skipped,
}

/// The text of a [`Progress`]: a `&str`, a `String`, or [`format_args!`].
#[derive(Clone)]
pub struct Message<'a>(Text<'a>);

#[derive(Clone)]
enum Text<'a> {
    Borrowed(&'a str),
    Owned(String),
    Format(fmt::Arguments<'a>),
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Self(Text::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Self {
        Self(Text::Borrowed(text))
    }
}

impl From<String> for Message<'_> {
    fn from(text: String) -> Self {
        Self(Text::Owned(text))
    }
}

impl<'a> From<fmt::Arguments<'a>> for Message<'a> {
    fn from(text: fmt::Arguments<'a>) -> Self {
        Self(Text::Format(text))
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Text::Borrowed(text) => f.write_str(text),
            Text::Owned(text) => f.write_str(text),
            Text::Format(text) => f.write_fmt(*text),
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(progress: &Progress<'_>) -> String {
        serde_json::to_string(progress).unwrap()
    }

    #[test]
    fn only_what_was_said_is_sent() {
        assert_eq!(json(&Progress::step(1)), r#"{"step":1}"#);
        assert_eq!(json(&Progress::item("a").done(2).total(4)), r#"{"id":"a","done":2,"total":4}"#);
        let item = Progress::item("b").parent("a").weight(2.5).status(Status::Skipped).percent(100.0);
        assert_eq!(json(&item), r#"{"id":"b","parent":"a","weight":2.5,"status":"skipped","percent":100.0}"#);
    }

    #[test]
    fn a_message_is_escaped_whatever_it_came_from() {
        let (owned, name) = (String::from("a\n"), "a");
        for progress in [
            Progress::step(1).message("a\n"),
            Progress::step(1).message(&owned),
            Progress::step(1).message(owned.clone()),
            Progress::step(1).message(format_args!("{name}\n")),
        ] {
            assert_eq!(json(&progress), r#"{"step":1,"message":"a\n"}"#);
        }
    }
}
