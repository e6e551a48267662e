//! How one reader wants to read.

use std::time::Duration;

use hyper::header::HeaderMap;

use super::NDJSON_NAMES;
use crate::http::Config;
use crate::http::format::{BYTES, Envelope, Format, SSE, TEXT};
use crate::http::position::Wish;
use crate::http::presence;
use crate::http::problem::Problem;
use crate::http::request::{Query, invalid};
use crate::model::{Content, Event};

/// Most seconds between two signs of life; more would be none.
const MAX_HEARTBEAT_SECS: u64 = 3600;
/// Most milliseconds for which events are gathered; more would not be live.
const MAX_INTERVAL_MS: u64 = 10_000;

/// In place of a media type: lines of NDJSON, each a message, with signs of life.
pub(in crate::http) const WEBSOCKET: &str = "websocket";

/// How one reader wants to read.
pub(in crate::http) struct Options {
    pub(super) format: Format,
    /// The other name by which the client asked for that format.
    asked_as: Option<&'static str>,
    pub(super) wish: Wish,
    pub(super) filter: Filter,
    /// None: no signs of life.
    pub(super) heartbeat: Option<Duration>,
    /// Whether to wait for what comes.
    pub(super) live: bool,
    /// Time for which what comes is gathered; none: it is sent at once.
    pub(super) interval: Option<Duration>,
    /// What the client calls itself.
    pub(super) client: Option<Box<str>>,
    /// Whether it is one that the run can be lost with: who only makes a browser fetch is none.
    pub(super) is_client: bool,
    /// The form's name, for the operator.
    pub(super) form: &'static str,
}

impl Options {
    /// From a request for the media type `media`.
    pub(in crate::http) fn of(
        config: &Config,
        headers: &HeaderMap,
        query: &Query,
        media: &'static str,
    ) -> Result<Self, Problem> {
        let envelope = envelope(query)?;
        let named = query.parse("named", "`true` or `false`")?.unwrap_or(true);
        let format = match media {
            SSE => Format::Sse { envelope, named },
            TEXT => Format::Text,
            BYTES => Format::Bytes,
            _ => Format::Ndjson { envelope },
        };
        // What is not the run's own stands in no raw body.
        let heartbeat = heartbeat(config, query, media)?.filter(|_| !format.is_raw());
        let live = query.parse("live", "`true` or `false`")?.unwrap_or(true);
        Ok(Self {
            format,
            asked_as: NDJSON_NAMES.contains(&media).then_some(media),
            wish: Wish::of(headers, query)?,
            filter: Filter::of(query, format)?,
            heartbeat,
            live,
            interval: interval(query)?,
            client: presence::client_id(query)?,
            is_client: true,
            form: match media {
                SSE => "sse",
                TEXT => "text",
                BYTES => "bytes",
                WEBSOCKET => "websocket",
                _ => "ndjson",
            },
        })
    }

    pub(super) fn is_raw(&self) -> bool {
        self.format.is_raw()
    }

    /// Whether the client has said what the bytes are.
    pub(super) fn has_own_media(&self) -> bool {
        self.filter.media.is_some()
    }

    /// The `Content-Type` of the body.
    pub(super) fn content_type(&self) -> &str {
        let named = self.filter.media.as_deref().or(self.asked_as);
        named.unwrap_or(self.format.content_type())
    }
}

/// `?envelope=`.
pub(in crate::http) fn envelope(query: &Query) -> Result<Envelope, Problem> {
    match query.get("envelope") {
        None | Some("full") => Ok(Envelope::Full),
        Some("data") => Ok(Envelope::Data),
        Some(other) => Err(invalid("envelope", other, "`full` or `data`")),
    }
}

/// `?heartbeat=`, or what is usual for that media type; none: no signs of life.
pub(in crate::http) fn heartbeat(
    config: &Config,
    query: &Query,
    media: &str,
) -> Result<Option<Duration>, Problem> {
    let heartbeat = match query.parse::<u64>("heartbeat", "seconds, or 0 for none")? {
        Some(seconds) => Some(Duration::from_secs(seconds.min(MAX_HEARTBEAT_SECS))),
        // Not every reader of lines skips empty ones.
        None => (media == SSE || media == WEBSOCKET).then_some(config.heartbeat),
    };
    // Always due, it would leave no time for events.
    Ok(heartbeat.filter(|time| !time.is_zero()))
}

/// `?interval=`: how long what comes is gathered; none: it is sent at once.
pub(in crate::http) fn interval(query: &Query) -> Result<Option<Duration>, Problem> {
    let interval = query.parse::<u64>("interval", "milliseconds, or 0 to send at once")?;
    let interval = interval.map(|millis| Duration::from_millis(millis.min(MAX_INTERVAL_MS)));
    Ok(interval.filter(|time| !time.is_zero()))
}

/// Which events a reader wants. The terminal event always passes.
#[derive(Default)]
pub(in crate::http) struct Filter {
    types: Vec<String>,
    /// The empty name is the default channel.
    channels: Vec<String>,
    /// Only bytes of this media type.
    media: Option<String>,
}

impl Filter {
    pub(in crate::http) fn of(query: &Query, format: Format) -> Result<Self, Problem> {
        let list = |name| query.all(name).flat_map(|names| names.split(',')).map(str::to_owned).collect();
        let media = query.get("media").map(|media| own_media(media, format)).transpose()?;
        Ok(Self { types: list("types"), channels: list("channel"), media })
    }

    pub(in crate::http) fn is_empty(&self) -> bool {
        self.types.is_empty() && self.channels.is_empty() && self.media.is_none()
    }

    pub(in crate::http) fn passes(&self, event: &Event) -> bool {
        let channel = event.what.channel.as_ref().map_or("", |channel| channel.as_str());
        let wanted =
            |list: &[String], name: &str| list.is_empty() || list.iter().any(|wanted| wanted == name);
        let media = self.media.as_deref().is_none_or(|media| {
            matches!(&event.what.content, Content::Bytes(own, _) if essence(own.as_str()).eq_ignore_ascii_case(media))
        });
        event.is_terminal()
            || media && wanted(&self.types, event.what.event_type.as_str()) && wanted(&self.channels, channel)
    }
}

/// A media type without its parameters.
fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}

/// `?media=`: what the bytes are said to be. Never what a browser would execute, for a guest has written them
/// and the host's address stands above them.
fn own_media(media: &str, format: Format) -> Result<String, Problem> {
    let what = "with `format=bytes` a type of image, audio or video, such as `image/png`";
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.+-_".contains(c);
    let shown =
        ["image/", "audio/", "video/"].iter().any(|kind| media.starts_with(kind) && media.len() > kind.len());
    let executes = media.contains("svg") || media.contains("xml");
    if format == Format::Bytes && shown && !executes && media.chars().all(plain) {
        Ok(media.to_ascii_lowercase())
    } else {
        Err(invalid("media", media, what))
    }
}
