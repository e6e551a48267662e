//! The log of a command that runs a host.
//!
//! All of it goes through a queue to a thread that writes it (`process::LogQueue`), panics and the command's
//! last word too: whoever reads the standard error may have stopped, and must keep neither a thread of the
//! host nor the end of the process.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::Exit;
use crate::config::{LogFormat, Settings};
use crate::process::{LogQueue, panic_message, plain, plain_json, plain_lines};

/// Time that the last lines have to be written when the process ends: one who reads takes them in
/// milliseconds, and one who doesn't shall not keep the process.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// There is one standard error. None: the command logs nothing.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Changes what is logged.
pub(super) struct Filter(reload::Handle<EnvFilter, Registry>);

/// Logs to the standard error from now on.
pub(super) fn init(settings: &Settings) -> Result<Filter, Exit> {
    let (filter, handle) = reload::Layer::new(filter(settings).map_err(Exit::Usage)?);
    let queue = start()?;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        // Which would print them, past the queue.
        .log_internal_errors(false)
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    match settings.log_format.unwrap_or_default() {
        LogFormat::Text => {
            let fields = debug_fn(write_field).delimited(" ");
            registry.with(lines.fmt_fields(fields).with_writer(move || queue.clone())).init();
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            registry.with(lines.with_writer(move || JsonLines(queue.clone()))).init();
        }
    }
    std::panic::set_hook(Box::new(|panic| {
        let (thread, place, message, trace) = describe(panic);
        tracing::error!(thread, place, trace, "a thread panicked: {message}");
    }));
    Ok(Filter(handle))
}

/// Without a log of its own, a command still says when it panics.
pub(super) fn init_panics() -> Result<(), Exit> {
    let queue = start()?;
    std::panic::set_hook(Box::new(|panic| {
        let (thread, place, message, trace) = describe(panic);
        let trace = trace.map(|trace| format!("\n{trace}")).unwrap_or_default();
        let message = plain(&message);
        queue.push(format!("thread {thread:?} panicked at {place}: {message}{trace}\n").as_bytes());
    }));
    Ok(())
}

/// One field of a line: nothing that a guest or a file's name has in it ends the line or steers a terminal.
fn write_field(
    writer: &mut Writer<'_>,
    field: &tracing::field::Field,
    value: &dyn fmt::Debug,
) -> fmt::Result {
    let value = format!("{value:?}");
    let value = plain(&value);
    match field.name() {
        "message" => write!(writer, "{value}"),
        name if writer.has_ansi_escapes() => write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
        name => write!(writer, "{name}={value}"),
    }
}

/// The same for lines that are JSON, whose own escapes leave some such characters as they are.
struct JsonLines(LogQueue);

impl io::Write for JsonLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(plain_json(&String::from_utf8_lossy(line)).as_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Filter {
    /// Goes by the settings from now on.
    pub(super) fn set(&self, settings: &Settings) -> Result<(), String> {
        self.0.reload(filter(settings)?).map_err(|error| error.to_string())
    }
}

/// What a log filter can say of everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Says the last that the process has to say, if there is something, and waits until all is written, but
/// not for long.
pub(super) fn finish(last: Option<&str>) {
    let line = last.map(|message| format!("streamtask: {}\n", plain_lines(message)));
    match (QUEUE.get(), line) {
        (Some(queue), line) => {
            if let Some(line) = line {
                queue.push(line.as_bytes());
            }
            queue.flush(FLUSH_TIME);
        }
        (None, Some(line)) => {
            // A closed standard error must not turn into a panic.
            let _ = io::stderr().write_all(line.as_bytes());
        }
        (None, None) => {}
    }
}

/// Whether the filter of the settings can be used.
pub(super) fn check(settings: &Settings) -> Result<(), String> {
    filter(settings).map(drop)
}

fn filter(settings: &Settings) -> Result<EnvFilter, String> {
    let filter = settings.log.as_deref().unwrap_or("info");
    let refused = |why: String| format!("log filter {filter:?}: {why}");
    // Taken for the name of a library, a misspelt level would log nothing at all.
    if let Some(word) = filter.split(',').map(str::trim).find(|directive| !is_directive(directive)) {
        let levels = LEVELS.join(", ");
        return Err(refused(format!(
            "{word:?} is no level; write one of {levels}, or as in streamtask_host=debug,info"
        )));
    }
    filter.parse().map_err(|error: tracing_subscriber::filter::ParseError| refused(error.to_string()))
}

fn is_directive(text: &str) -> bool {
    text.contains(['=', '[']) || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text))
}

fn start() -> Result<&'static LogQueue, Exit> {
    let queue = LogQueue::start(io::stderr(), |lines| {
        tracing::warn!(lines, "lines of this log were dropped, because they could not be written in time");
    });
    let queue = queue.map_err(|error| Exit::Start(format!("can't start the thread that logs: {error}")))?;
    Ok(QUEUE.get_or_init(|| queue))
}

fn describe(panic: &PanicHookInfo<'_>) -> (String, String, String, Option<String>) {
    let thread = std::thread::current().name().unwrap_or("without a name").to_owned();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic_message(panic.payload()).unwrap_or("without a word").to_owned();
    // Taken only if RUST_BACKTRACE asks for it.
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    (thread, place, message, trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_would_log_nothing_by_mistake_is_refused() {
        let filter = |text: &str| {
            filter(&Settings { log: Some(text.to_owned()), ..Settings::default() })
                .map(|filter| filter.to_string())
        };
        for fine in ["info", "OFF", "streamtask_host=debug,info", "warn,streamtask_host::http=trace"] {
            assert!(filter(fine).is_ok(), "{fine}");
        }
        for (faulty, reason) in [
            ("nonsense", "is no level"),
            ("", "is no level"),
            ("info,streamtask_host", "streamtask_host=debug"),
            ("a=b", "a=b"),
        ] {
            assert!(
                filter(faulty).is_err_and(|error| error.contains(reason)),
                "{faulty}: {:?}",
                filter(faulty)
            );
        }
    }
}
