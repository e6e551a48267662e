use serde::Serialize;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::http::format::lines;

/// A message that is not in the log and has no number.
#[derive(Serialize)]
struct Notice<'a, T> {
    r#type: &'static str,
    data: &'a T,
}

/// Encode a message that is not in the log.
pub(super) fn encode<T: Serialize>(event_type: &'static str, data: &T) -> Utf8Bytes {
    let line = String::from_utf8(lines::line(&Notice { r#type: event_type, data }));
    line.expect("JSON is UTF-8").into()
}
