//! The options of one subscriber.

use std::time::Duration;

use hyper::header::HeaderMap;

use crate::http::Config;
use crate::http::format::{BYTES, Envelope, Format, Layout, content_type};
use crate::http::position::StartPosition;
use crate::http::presence;
use crate::http::problem::Problem;
use crate::http::request::{Query, invalid};
use crate::model::{Content, Event};

/// Longest heartbeat interval in seconds; a longer one would detect nothing.
const MAX_HEARTBEAT_SECS: u64 = 3600;
/// Longest interval in milliseconds for which events are coalesced; a longer one would not be live.
const MAX_INTERVAL_MS: u64 = 10_000;

/// The options of one subscriber.
pub(in crate::http) struct Options {
    pub(super) format: Format,
    /// The `Content-Type` of the body.
    content_type: &'static str,
    pub(super) start: StartPosition,
    pub(super) filter: Filter,
    /// The heartbeat interval. `None` for no heartbeats.
    pub(super) heartbeat: Option<Duration>,
    /// Whether to wait for new events. Otherwise the stream ends after the stored ones.
    pub(super) live: bool,
    /// Time for which events are coalesced. `None` to send each at once.
    pub(super) interval: Option<Duration>,
    /// The client's `client_id`.
    pub(super) client: Option<Box<str>>,
    /// Whether its disconnect can cancel the run. A page that only makes a browser fetch the stream does not count.
    pub(super) is_client: bool,
    /// The name of the format or protocol, for operators.
    pub(super) format_name: &'static str,
    /// Whether `next` must not split lines.
    pub(super) whole_lines: bool,
}

impl Options {
    /// Parse the options of a request for `media_type`, which is an event format or an alias.
    pub(in crate::http) fn of(
        config: &Config,
        headers: &HeaderMap,
        query: &Query,
        media_type: &'static str,
    ) -> Result<Self, Problem> {
        let layout = layout(query)?;
        let format = Format::of(media_type, layout).expect("callers negotiate only event formats");
        // A raw body contains only output of the run.
        let heartbeat =
            heartbeat(config, query, format.has_default_heartbeat())?.filter(|_| !format.is_raw());
        let options = Self::with(headers, query, format, heartbeat)?;
        Ok(Self { content_type: content_type(media_type), ..options })
    }

    /// Parse the options of a request for a WebSocket: lines of NDJSON, each a message, with heartbeats.
    pub(in crate::http) fn of_websocket(
        config: &Config,
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Self, Problem> {
        let format = Format::ndjson(layout(query)?.envelope);
        let options = Self::with(headers, query, format, heartbeat(config, query, true)?)?;
        Ok(Self { format_name: "websocket", whole_lines: true, ..options })
    }

    fn with(
        headers: &HeaderMap,
        query: &Query,
        format: Format,
        heartbeat: Option<Duration>,
    ) -> Result<Self, Problem> {
        let live = query.parse("live", "`true` or `false`")?.unwrap_or(true);
        Ok(Self {
            format,
            content_type: content_type(format.media_type()),
            start: StartPosition::of(headers, query)?,
            filter: Filter::of(query, format)?,
            heartbeat,
            live,
            interval: interval(query)?,
            client: presence::client_id(query)?,
            is_client: true,
            format_name: format.name(),
            whole_lines: false,
        })
    }

    pub(super) fn is_raw(&self) -> bool {
        self.format.is_raw()
    }

    /// Whether the client has chosen the media type of the bytes.
    pub(super) fn has_own_media(&self) -> bool {
        self.filter.media_type.is_some()
    }

    /// The `Content-Type` of the body.
    pub(super) fn content_type(&self) -> &str {
        self.filter.media_type.as_deref().unwrap_or(self.content_type)
    }
}

fn layout(query: &Query) -> Result<Layout, Problem> {
    let envelope = envelope(query)?;
    let named = query.parse("named", "`true` or `false`")?.unwrap_or(true);
    Ok(Layout { envelope, named })
}

/// Parse `?envelope=`.
pub(in crate::http) fn envelope(query: &Query) -> Result<Envelope, Problem> {
    match query.get("envelope") {
        None | Some("full") => Ok(Envelope::Full),
        Some("data") => Ok(Envelope::Data),
        Some(other) => Err(invalid("envelope", other, "`full` or `data`")),
    }
}

/// Parse `?heartbeat=`. Without it, the configured interval applies if `by_default` is set. `None` for no heartbeats.
pub(in crate::http) fn heartbeat(
    config: &Config,
    query: &Query,
    by_default: bool,
) -> Result<Option<Duration>, Problem> {
    let heartbeat = match query.parse::<u64>("heartbeat", "seconds, or 0 for none")? {
        Some(seconds) => Some(Duration::from_secs(seconds.min(MAX_HEARTBEAT_SECS))),
        None => by_default.then_some(config.heartbeat),
    };
    // A heartbeat that is always due would leave no time for events.
    Ok(heartbeat.filter(|time| !time.is_zero()))
}

/// Parse `?interval=`: the time for which events are coalesced. `None` to send each at once.
pub(in crate::http) fn interval(query: &Query) -> Result<Option<Duration>, Problem> {
    let interval = query.parse::<u64>("interval", "milliseconds, or 0 to send at once")?;
    let interval = interval.map(|millis| Duration::from_millis(millis.min(MAX_INTERVAL_MS)));
    Ok(interval.filter(|time| !time.is_zero()))
}

/// Selects events for a subscriber. The terminal event always passes.
#[derive(Default)]
pub(in crate::http) struct Filter {
    types: Vec<String>,
    /// The empty name is the default channel.
    channels: Vec<String>,
    /// Only bytes of this media type.
    media_type: Option<String>,
}

impl Filter {
    pub(in crate::http) fn of(query: &Query, format: Format) -> Result<Self, Problem> {
        let list = |name| query.all(name).flat_map(|names| names.split(',')).map(str::to_owned).collect();
        let media_type = query.get("media").map(|media_type| own_media(media_type, format)).transpose()?;
        Ok(Self { types: list("types"), channels: list("channel"), media_type })
    }

    pub(in crate::http) fn is_empty(&self) -> bool {
        self.types.is_empty() && self.channels.is_empty() && self.media_type.is_none()
    }

    pub(in crate::http) fn passes(&self, event: &Event) -> bool {
        let channel = event.what.channel.as_ref().map_or("", |channel| channel.as_str());
        let wanted =
            |list: &[String], name: &str| list.is_empty() || list.iter().any(|wanted| wanted == name);
        let has_media_type = self.media_type.as_deref().is_none_or(|wanted| {
            matches!(&event.what.content, Content::Bytes(own, _) if essence(own.as_str()).eq_ignore_ascii_case(wanted))
        });
        event.is_terminal()
            || has_media_type
                && wanted(&self.types, event.what.event_type.as_str())
                && wanted(&self.channels, channel)
    }
}

/// A media type without its parameters.
fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// Parse `?media=`, the media type under which bytes are served. Never a type that a browser executes: guests write the
/// bytes, and a browser would run them with the host's origin.
fn own_media(media_type: &str, format: Format) -> Result<String, Problem> {
    let what = "with `format=bytes` a type of image, audio or video, such as `image/png`";
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.+-_".contains(c);
    let shown = ["image/", "audio/", "video/"]
        .iter()
        .any(|kind| media_type.starts_with(kind) && media_type.len() > kind.len());
    let executes = media_type.contains("svg") || media_type.contains("xml");
    if format.media_type() == BYTES && shown && !executes && media_type.chars().all(plain) {
        Ok(media_type.to_ascii_lowercase())
    } else {
        Err(invalid("media", media_type, what))
    }
}
