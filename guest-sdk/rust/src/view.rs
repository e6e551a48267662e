//! The event type `view`, which the browser client understands.

use serde::Serialize;

/// An update of a web page: the data of a `view` event. A target is an element with
/// `data-stream="NAME"`.
///
/// ```
/// # fn main() -> Result<(), streamtask_sdk::Error> {
/// # let ctx = streamtask_sdk::testing::Recording::new();
/// use streamtask_sdk::View;
///
/// ctx.view(View::start("answer"))?;
/// for token in ["Hello", ", ", "Ada"] {
///     ctx.view(View::text("answer", token))?;
/// }
/// ctx.view(View::done("answer"))?;
/// # assert_eq!(ctx.data("view")[1], serde_json::json!({"op":"text","target":"answer","text":"Hello"}));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Serialize)]
#[must_use = "`Context::view` sends it"]
pub struct View<'a>(Op<'a>);

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Op<'a> {
    Text {
        target: &'a str,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        mode: Option<Mode>,
    },
    Html {
        target: &'a str,
        html: &'a str,
    },
    Insert {
        target: &'a str,
        html: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<Mode>,
    },
    Remove {
        target: &'a str,
        selector: &'a str,
    },
    Prune {
        target: &'a str,
        limit: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        edge: Option<Edge>,
    },
    Start {
        target: &'a str,
    },
    Done {
        target: &'a str,
    },
    Error {
        target: &'a str,
        message: &'a str,
    },
    State {
        state: serde_json::Value,
    },
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Prepend,
    Replace,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Edge {
    Bottom,
}

impl<'a> View<'a> {
    /// Adds plain text at the end of the target.
    pub const fn text(target: &'a str, text: &'a str) -> Self {
        Self(Op::Text { target, text, mode: None })
    }

    /// Replaces the target's content by HTML. Escape all data in it.
    pub const fn html(target: &'a str, html: &'a str) -> Self {
        Self(Op::Html { target, html })
    }

    /// Adds HTML at the end of the target. Escape all data in it.
    pub const fn insert(target: &'a str, html: &'a str) -> Self {
        Self(Op::Insert { target, html, at: None })
    }

    /// Removes the elements in the target that match a CSS selector.
    pub const fn remove(target: &'a str, selector: &'a str) -> Self {
        Self(Op::Remove { target, selector })
    }

    /// Removes child elements at the top of the target until `limit` are left.
    pub const fn prune(target: &'a str, limit: u32) -> Self {
        Self(Op::Prune { target, limit, edge: None })
    }

    /// Marks the target as being written.
    pub const fn start(target: &'a str) -> Self {
        Self(Op::Start { target })
    }

    /// Marks the target as complete.
    pub const fn done(target: &'a str) -> Self {
        Self(Op::Done { target })
    }

    /// Marks the target as failed. Its content stays.
    pub const fn error(target: &'a str, message: &'a str) -> Self {
        Self(Op::Error { target, message })
    }

    /// Sends a value to the page's own code.
    pub const fn state(state: serde_json::Value) -> Self {
        Self(Op::State { state })
    }

    /// Adds text or HTML at the beginning of the target instead.
    pub fn prepend(mut self) -> Self {
        if let Op::Text { mode: place, .. } | Op::Insert { at: place, .. } = &mut self.0 {
            *place = Some(Mode::Prepend);
        }
        self
    }

    /// Replaces the target's content by the text instead.
    pub fn replace(mut self) -> Self {
        if let Op::Text { mode, .. } = &mut self.0 {
            *mode = Some(Mode::Replace);
        }
        self
    }

    /// Prunes at the bottom instead.
    pub fn bottom(mut self) -> Self {
        if let Op::Prune { edge, .. } = &mut self.0 {
            *edge = Some(Edge::Bottom);
        }
        self
    }
}
