//! How a browser reads an event stream: word for word what the HTML standard says of parsing and
//! interpreting one (section 9.2). Unlike [`crate::sse`] it takes whole bodies, and bytes that are not ours.

use crate::Event;

/// What a browser makes of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Interpreted {
    /// What it dispatches.
    pub events: Vec<Event>,
    /// With what it comes back (`Last-Event-ID`).
    pub last_event_id: String,
    /// After how many milliseconds it comes back, if it was told.
    pub retry: Option<u64>,
    /// What follows the last blank line is not dispatched.
    pub is_complete: bool,
}

/// Interprets a whole stream.
pub fn interpret(bytes: &[u8]) -> Interpreted {
    let text = String::from_utf8_lossy(bytes);
    // UTF-8 decode takes one mark away, and no more.
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut read = Interpreted { is_complete: true, ..Interpreted::default() };
    let (mut data, mut event_type, mut id) = (String::new(), String::new(), String::new());
    while let Some(end) = rest.find(['\n', '\r']) {
        let line = &rest[..end];
        rest = &rest[end + if rest[end..].starts_with("\r\n") { 2 } else { 1 }..];
        if line.is_empty() {
            read.is_complete = true;
            read.last_event_id.clone_from(&id);
            let name = std::mem::take(&mut event_type);
            let mut data = std::mem::take(&mut data);
            if data.pop().is_some() {
                let name = if name.is_empty() { "message".to_owned() } else { name };
                read.events.push(Event { id: id.clone(), name, data });
            }
            continue;
        }
        read.is_complete = false;
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event_type),
            "data" => data.extend([value, "\n"]),
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                read.retry = value.parse().ok().or(read.retry);
            }
            // A comment, whose field has no name, or one that nobody knows.
            _ => {}
        }
    }
    read.is_complete &= rest.is_empty();
    read
}
