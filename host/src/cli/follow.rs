//! Following a run from the command line, across lost connections, to its end.

use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::Exit;
use super::bars::{Bars, plain};
use super::start::is_watched;
use crate::http::client::{Client, ClientError, Lines};

/// Pauses between tries to get a lost stream back; the last one repeats.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// A run that is followed.
pub(super) struct Follow {
    client: Client,
    run: String,
    stream: String,
    /// The last event seen; none before the first when beginning at the tail.
    after: Option<u64>,
    tail: Option<u64>,
    /// Whether Ctrl-C ends it.
    interruptible: bool,
}

impl Follow {
    /// Of the run that the host described as `run`.
    pub(super) fn new(
        client: Client,
        run: &Value,
        after: Option<u64>,
        tail: Option<u64>,
    ) -> Result<Self, Exit> {
        let text = |name: &str| run[name].as_str().map(str::to_owned);
        match (text("id"), text("stream")) {
            (Some(id), Some(stream)) => {
                Ok(Self { client, run: id, stream, after, tail, interruptible: true })
            }
            _ => Err(Exit::Unreachable("the host's answer describes no run".to_owned())),
        }
    }

    /// The same for a command that does more than to follow, and hears of Ctrl-C itself.
    pub(super) fn uninterrupted(self) -> Self {
        Self { interruptible: false, ..self }
    }

    /// Shows every event until the run ends; returns what its last one, or else its
    /// record, says of the end.
    pub(super) async fn until_end(mut self, mut screen: Screen) -> Result<Value, Exit> {
        let mut failures = 0;
        let interruptible = self.interruptible;
        let interrupt = tokio::signal::ctrl_c();
        tokio::pin!(interrupt);
        loop {
            let read = tokio::select! {
                read = self.read(&mut screen, &mut failures) => read,
                _ = &mut interrupt, if interruptible => {
                    screen.finish();
                    let message = format!("the run goes on; end it with `streamtask cancel {}`", self.run);
                    return Err(Exit::Interrupted(message));
                }
            };
            match read {
                Ok(Some(end)) => {
                    screen.finish();
                    return Ok(end);
                }
                // The host closed the stream before the run's end: it stops, and comes back.
                Ok(None) | Err(Failed::Stream(ClientError::Unreachable { .. } | ClientError::Broken(_))) => {
                    let pause = PAUSES[failures.min(PAUSES.len() - 1)];
                    failures += 1;
                    screen.note("connection lost; trying again");
                    tokio::time::sleep(pause).await;
                }
                Err(Failed::Stream(error)) => return Err(error.into()),
                Err(Failed::Screen(error)) => return Err(error.into()),
            }
        }
    }

    /// Reads one connection. Returns how the run ended if it has.
    async fn read(&mut self, screen: &mut Screen, failures: &mut usize) -> Result<Option<Value>, Failed> {
        let Some(mut lines) = self.open().await? else {
            // Nothing follows that position: the run has ended, and its record says how.
            return Ok(Some(self.client.get(&format!("/api/runs/{}", self.run)).await?));
        };
        while let Some(line) = lines.next().await? {
            if line.is_empty() {
                continue;
            }
            let event: Value = serde_json::from_slice(&line)
                .map_err(|error| ClientError::Broken(format!("an event is not JSON: {error}")))?;
            if let Some(seq) = event["seq"].as_u64() {
                self.after = Some(seq);
                *failures = 0;
            }
            screen.event(&event, &line)?;
            if let Some(end) = end_of(&event) {
                return Ok(Some(end.clone()));
            }
        }
        Ok(None)
    }

    /// None if the run has ended and nothing of it is left to read.
    async fn open(&self) -> Result<Option<Lines>, ClientError> {
        let position = match (self.after, self.tail) {
            (Some(after), _) => format!("after={after}"),
            (None, Some(tail)) => format!("tail={tail}"),
            (None, None) => "from=now".to_owned(),
        };
        self.client.follow(&format!("{}?{position}&heartbeat=15", self.stream)).await
    }
}

/// How the run ended, if that is what the event says.
pub(super) fn end_of(event: &Value) -> Option<&Value> {
    let terminal = matches!(event["type"].as_str(), Some("run.completed" | "run.failed" | "run.cancelled"));
    (terminal && event["data"]["_type"] == "completion").then_some(&event["data"])
}

enum Failed {
    Stream(ClientError),
    Screen(std::io::Error),
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        Self::Stream(error)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Screen(error)
    }
}

/// Where events are shown.
pub(super) enum Screen {
    /// Nowhere.
    Silent,
    /// On stdout, as the host sent them.
    Json,
    /// On stdout, a line for each.
    Lines,
    /// On stderr, a line for each.
    Notes,
    /// On a terminal: progress as bars, the rest as lines above them.
    Bars(Bars),
}

impl Screen {
    /// As the flags of a command say: the events as JSON, or nothing, or else progress.
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        match (json, quiet) {
            (true, _) => Self::Json,
            (_, true) => Self::Silent,
            _ => Self::progress(),
        }
    }

    pub(super) fn json() -> Self {
        Self::Json
    }

    pub(super) fn lines() -> Self {
        Self::Lines
    }

    /// Bars if a person watches, plain lines else.
    pub(super) fn progress() -> Self {
        if is_watched() { Self::Bars(Bars::new()) } else { Self::Notes }
    }

    /// Shows an event, of which `line` is the JSON.
    pub(super) fn event(&mut self, event: &Value, line: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Silent => Ok(()),
            Self::Json => {
                let mut out = std::io::stdout().lock();
                out.write_all(line)?;
                out.write_all(b"\n")
            }
            Self::Lines => writeln!(std::io::stdout().lock(), "{}", describe(event)),
            Self::Notes => writeln!(std::io::stderr().lock(), "{}", describe(event)),
            Self::Bars(bars) => {
                if event["type"] != "progress" || !bars.update(&event["data"]) {
                    bars.line(&describe(event));
                }
                Ok(())
            }
        }
    }

    /// Says what is no event, beside them.
    pub(super) fn note(&self, text: &str) {
        match self {
            Self::Silent => {}
            Self::Bars(bars) => bars.line(text),
            Self::Json | Self::Lines | Self::Notes => {
                let _ = writeln!(std::io::stderr().lock(), "{text}");
            }
        }
    }

    /// Leaves what it shows as it is.
    pub(super) fn finish(&self) {
        if let Self::Bars(bars) = self {
            bars.finish();
        }
    }
}

/// One line: when, what, and the data.
fn describe(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    // The time of day is enough beside a live run.
    let time = text("timestamp").get(11..23).unwrap_or_default();
    match event["data"]["message"].as_str() {
        Some(message) if text("type") == "log" => format!("{time} log {}", plain(message)),
        _ => format!("{time} {} {}", text("type"), event["data"]),
    }
}
