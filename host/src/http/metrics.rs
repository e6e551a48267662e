//! `GET /metrics`, in the text format of Prometheus.

use std::sync::atomic::AtomicU64;

use hyper::header::{self, HeaderValue};
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::Api;
use super::body::{Body, Response};
use super::presence::StreamCounts;
use crate::process::dropped_lines;

/// Gauges by the value of one label.
type Gauges = Family<[(&'static str, &'static str); 1], Gauge<u64, AtomicU64>>;

/// `GET /metrics`.
pub(super) fn get(api: &Api) -> Response {
    let mut response = Response::new(Body::whole(text(api)));
    let media_type = HeaderValue::from_static(prometheus_text::CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn text(api: &Api) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_text::encode(&mut text, &registry(api));
    text
}

/// All metrics, with their present values: the rooms count for themselves. The library appends `_total` to the name of a
/// counter, and a full stop to a description.
fn registry(api: &Api) -> Registry {
    let StreamCounts { by_format, runs, opened, sent_bytes } = api.presence.counts();
    let streams = Gauges::default();
    for (format, count) in by_format {
        streams.get_or_create(&[("format", format)]).set(count);
    }
    let mut registry = Registry::with_prefix("streamtask");
    let mut gauge =
        |name: &str, help: &str, value: u64| registry.register(name, help, ConstGauge::new(value));
    gauge("streamed_runs", "Runs that are read by at least one client now", runs);
    gauge("running_runs", "Runs that this host executes now", api.scheduler.running().into());
    gauge(
        "write_ahead_log_bytes",
        "Bytes of the write-ahead log that are not yet copied into the database",
        api.storage.condition().log_bytes,
    );
    registry.register("streams", "Streams of runs that clients read now", streams);
    let mut counter =
        |name: &str, help: &str, value: u64| registry.register(name, help, ConstCounter::new(value));
    counter("streams_opened", "Streams opened since the start", opened);
    counter("stream_sent_bytes", "Bytes sent to clients of streams since the start", sent_bytes);
    counter(
        "log_lines_dropped",
        "Lines of the host's log that could not be written since the start",
        dropped_lines(),
    );
    registry
}
