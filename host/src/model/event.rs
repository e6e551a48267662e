use std::fmt;

use super::{Json, Refusal, RefusalCode, RunStatus, Timestamp};

/// Prefix of the host's event types. Guests can't send them.
pub const HOST_PREFIX: &str = "run.";
/// Type of the notice that stored events are missing at a subscriber's position. It is made for one subscriber and is not
/// in the log. Guests can't send it either.
pub const GAP: &str = "gap";
/// Longest event type, channel, content type or checkpoint key in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// Default limit of the data in one event, in bytes. Larger data belongs in a file, because every subscriber holds whole
/// events in memory.
pub const MAX_EVENT_BYTES: usize = 1 << 20;

/// Rejects control characters: line breaks could forge fields of a text stream, and U+0085, U+2028 and U+2029 break lines
/// too.
fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        let message = format!("{what} has {} bytes; it must have 1 to {MAX_NAME_BYTES}", name.len());
        return Err(Refusal::new(RefusalCode::InvalidArgument, message));
    }
    let breaks = |c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}';
    if let Some((at, found)) = name.char_indices().find(|&(_, c)| breaks(c)) {
        let message = format!("{what} has the control character {:?} at byte {at}", found);
        return Err(Refusal::new(RefusalCode::InvalidArgument, message));
    }
    Ok(())
}

/// The type of an event: 1 to 128 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType(Box<str>);

impl EventType {
    /// A type from a guest. Rejected if it is reserved for the host.
    pub fn of_guest(text: String) -> Result<Self, Refusal> {
        check_name("the event type", &text)?;
        if text.starts_with(HOST_PREFIX) || text == GAP {
            let message = format!("the event type {text:?} is reserved for the host");
            return Err(Refusal::new(RefusalCode::InvalidArgument, message));
        }
        Ok(Self(text.into_boxed_str()))
    }

    /// A type that storage returned. The caller guarantees that an [`EventType`] was stored, so it is not checked again.
    pub(crate) fn from_stored(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// `log`: a line that the guest printed, or one of the host.
    pub(crate) fn log() -> Self {
        Self("log".into())
    }

    /// `output`: what an ordinary program printed.
    pub(crate) fn output() -> Self {
        Self("output".into())
    }

    /// [`GAP`].
    pub(crate) fn gap() -> Self {
        Self(GAP.into())
    }

    /// The type of the terminal event for a terminal `status`.
    pub fn terminal(status: RunStatus) -> Self {
        debug_assert!(status.is_terminal());
        Self(format!("{HOST_PREFIX}{}", status.as_str()).into_boxed_str())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the type of the terminal event for `status`.
    pub fn is_end_of(&self, status: RunStatus) -> bool {
        self.0.strip_prefix(HOST_PREFIX) == Some(status.as_str())
    }

    /// Whether this is the type of a terminal event.
    pub fn is_terminal(&self) -> bool {
        self.ended_as().is_some()
    }

    /// The status that a terminal event of this type gives its run; none for other types.
    pub fn ended_as(&self) -> Option<RunStatus> {
        let status = self.0.strip_prefix(HOST_PREFIX).and_then(RunStatus::parse);
        status.filter(|status| status.is_terminal())
    }
}

/// A subset of a run's events that can be subscribed to separately. Same rules as for an event type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel(Box<str>);

impl Channel {
    /// A channel from a guest. Empty text is the default channel: none.
    pub fn of_guest(text: String) -> Result<Option<Self>, Refusal> {
        if text.is_empty() {
            return Ok(None);
        }
        check_name("the channel", &text)?;
        Ok(Some(Self(text.into_boxed_str())))
    }

    /// A channel that storage returned. The caller guarantees that a [`Channel`] was stored, so it is not checked again.
    pub(crate) fn from_stored(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The media type of an event's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType(Box<str>);

impl ContentType {
    /// A content type from a guest: `type/subtype` in visible ASCII, because it is sent as a header.
    pub fn of_guest(text: String) -> Result<Self, Refusal> {
        check_name("the content type", &text)?;
        let visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let parts = text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
        if visible && parts {
            return Ok(Self(text.into_boxed_str()));
        }
        let message = format!("the content type {text:?} is not of the form type/subtype");
        Err(Refusal::new(RefusalCode::InvalidArgument, message))
    }

    /// A content type that storage returned. The caller guarantees that a [`ContentType`] was stored, so it is not checked
    /// again.
    pub(crate) fn from_stored(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The data of an event.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// A JSON value.
    Json(Json),
    /// Bytes of some media type.
    Bytes(ContentType, Box<[u8]>),
}

impl Content {
    /// The size of the data in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(json) => json.as_str().len(),
            Self::Bytes(_, bytes) => bytes.len(),
        }
    }

    /// Whether there is no data at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(json) => json.fmt(f),
            Self::Bytes(content_type, bytes) => {
                write!(f, "{} bytes of {}", bytes.len(), content_type.as_str())
            }
        }
    }
}

/// An event that is not in the log yet, and has no number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The type.
    pub event_type: EventType,
    /// The channel; none is the default one.
    pub channel: Option<Channel>,
    /// The data.
    pub content: Content,
    /// When the host received it.
    pub time: Timestamp,
}

impl NewEvent {
    /// A lifecycle event of the host: `run.` and `name`.
    pub fn of_host<T: serde::Serialize + ?Sized>(name: &str, data: &T) -> Self {
        Self {
            event_type: EventType(format!("{HOST_PREFIX}{name}").into_boxed_str()),
            channel: None,
            content: Content::Json(Json::of(data)),
            time: Timestamp::now(),
        }
    }

    /// Memory that the event occupies while it waits, in bytes. The fixed part accounts for the value and its allocations.
    pub fn cost(&self) -> usize {
        const FIXED: usize = 128;
        FIXED + self.content.len()
    }
}

/// An event in a run's log: durable and immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The number within the run, from 1, without gaps.
    pub seq: u64,
    /// The attempt that sent it; 0 before the first attempt.
    pub attempt: u32,
    /// The event as it was sent.
    pub what: NewEvent,
}

impl Event {
    /// Whether this is the last event of its run.
    pub fn is_terminal(&self) -> bool {
        self.what.event_type.is_terminal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_can_not_forge_lines_or_imitate_the_host() {
        for bad in ["", "a\nb", "a\rb", "a\0", "\u{85}", "\u{2028}", "run.completed", "run.", "gap"] {
            assert!(EventType::of_guest(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(EventType::of_guest("x".repeat(129)).is_err());
        for good in ["complete", "error", "run", "running", "gaps", "ütf", " spaced out ", &"x".repeat(128)]
        {
            assert!(EventType::of_guest(good.to_owned()).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn only_three_types_end_a_run() {
        let terminal = |text: &str| EventType(text.into()).is_terminal();
        assert!(terminal("run.completed") && terminal("run.failed") && terminal("run.cancelled"));
        assert!(
            !terminal("run.started")
                && !terminal("completed")
                && !terminal("run.queued")
                && !terminal("run.")
        );
    }

    #[test]
    fn a_content_type_is_fit_for_a_header() {
        assert!(ContentType::of_guest("text/csv; charset=utf-8".to_owned()).is_ok());
        for bad in ["csv", "/csv", "text/", "text/ü", "a/b\r\nSet-Cookie: x"] {
            assert!(ContentType::of_guest(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
