//! `GET /metrics`, in the text format of Prometheus.

use std::fmt::Write as _;

use hyper::header::{self, HeaderValue};

use super::Api;
use super::body::{Body, Response};
use super::presence::StreamCounts;
use crate::process::dropped_lines;

/// `GET /metrics`.
pub(super) fn get(api: &Api) -> Response {
    let mut response = Response::new(Body::whole(text(api)));
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn text(api: &Api) -> String {
    let StreamCounts { by_format, runs, opened, sent_bytes } = api.presence.counts();
    let mut by_format: Vec<(String, u64)> =
        by_format.into_iter().map(|(format, count)| (format!("{{format=\"{format}\"}}"), count)).collect();
    by_format.sort();
    let mut text = Metrics::default();
    text.put("streams", "gauge", "Streams of runs that clients read now.", &by_format);
    text.gauge("streamed_runs", "Runs that are read by at least one client now.", runs);
    text.counter("streams_opened_total", "Streams opened since the start.", opened);
    text.counter("stream_sent_bytes_total", "Bytes sent to clients of streams since the start.", sent_bytes);
    text.gauge("running_runs", "Runs that this host executes now.", api.scheduler.running().into());
    text.gauge(
        "write_ahead_log_bytes",
        "Bytes of the write-ahead log that are not yet copied into the database.",
        api.storage.condition().log_bytes,
    );
    text.counter(
        "log_lines_dropped_total",
        "Lines of the host's log that could not be written since the start.",
        dropped_lines(),
    );
    text.0
}

/// Metrics in the text format.
#[derive(Default)]
struct Metrics(String);

impl Metrics {
    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.put(name, "gauge", help, &[(String::new(), value)]);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.put(name, "counter", help, &[(String::new(), value)]);
    }

    /// Add a metric. Each value comes with its labels, in braces.
    fn put(&mut self, name: &str, kind: &str, help: &str, values: &[(String, u64)]) {
        let text = &mut self.0;
        let _ = writeln!(text, "# HELP streamtask_{name} {help}\n# TYPE streamtask_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "streamtask_{name}{labels} {value}");
        }
    }
}
