//! Following what runs say from the command line, across lost connections, to its end.

use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use super::Exit;
use super::client::{Client, ClientError, Lines};
use super::screen::Screen;

/// Pauses between tries to get a lost stream back; the last one repeats.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// What can be followed over several connections, one after the other.
pub(super) trait Source {
    /// How it ended.
    type End;

    /// Reads one connection. Returns how all of it ended, if it has; none if there is more to come. `failures` is set
    /// to 0 as soon as something came.
    async fn read(&mut self, screen: &mut Screen, failures: &mut usize) -> Result<Option<Self::End>, Failed>;

    /// What becomes of it without who followed.
    fn farewell(&self) -> String;
}

/// Shows every event until there will be no more. Ctrl-C ends it too, unless the command hears of that itself.
pub(super) async fn until_end<S: Source>(
    mut source: S,
    mut screen: Screen,
    interruptible: bool,
) -> Result<S::End, Exit> {
    let mut failures = 0;
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    loop {
        let read = tokio::select! {
            read = source.read(&mut screen, &mut failures) => read,
            _ = &mut interrupt, if interruptible => {
                screen.finish();
                return Err(Exit::Interrupted(source.farewell()));
            }
        };
        match read {
            Ok(Some(end)) => {
                screen.finish();
                return Ok(end);
            }
            // The host closed the stream before the end: it stops, and comes back.
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

/// A run that is followed.
pub(super) struct Follow {
    client: Client,
    run: String,
    stream: String,
    /// Whether the host ends it when nobody follows it.
    ends_alone: bool,
    /// The last event seen; none before the first when beginning at the tail.
    after: Option<u64>,
    tail: Option<u64>,
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
        let ends_alone = run["on_disconnect"] == "cancel";
        match (text("id"), text("stream")) {
            (Some(run), Some(stream)) => Ok(Self { client, run, stream, ends_alone, after, tail }),
            _ => Err(Exit::Unreachable("the host's answer describes no run".to_owned())),
        }
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

impl Source for Follow {
    /// What its last event, or else its record, says of the end.
    type End = End;

    async fn read(&mut self, screen: &mut Screen, failures: &mut usize) -> Result<Option<End>, Failed> {
        let Some(mut lines) = self.open().await? else {
            // Nothing follows that position: the run has ended, and its record says how.
            let record = self.client.get_text(&format!("/api/runs/{}", self.run)).await?;
            return Ok(Some(End::read(&record)?));
        };
        while let Some(line) = lines.next().await? {
            let Some(event) = event_of(&line)? else { continue };
            if let Some(seq) = event["seq"].as_u64() {
                self.after = Some(seq);
                *failures = 0;
            }
            screen.event(&event, &line)?;
            if ends(&event) {
                return Ok(Some(End::of_event(&line)?));
            }
        }
        Ok(None)
    }

    fn farewell(&self) -> String {
        let cancel = format!("`streamtask cancel {}`", self.run);
        match self.ends_alone {
            true => format!("the run is cancelled soon, unless somebody follows it; at once with {cancel}"),
            false => format!("the run goes on; end it with {cancel}"),
        }
    }
}

/// What a line of a stream says; none if it is only a sign of life.
pub(super) fn event_of(line: &[u8]) -> Result<Option<Value>, ClientError> {
    if line.is_empty() {
        return Ok(None);
    }
    let event = serde_json::from_slice(line);
    event.map(Some).map_err(|error| ClientError::Broken(format!("an event is not JSON: {error}")))
}

/// Whether an event says how its run ended.
pub(super) fn ends(event: &Value) -> bool {
    let terminal = matches!(event["type"].as_str(), Some("run.completed" | "run.failed" | "run.cancelled"));
    terminal && event["data"]["_type"] == "completion"
}

/// What an event carries, as it was sent: parsed, an integer of 60 digits would be a rounded one.
pub(super) fn data_of(line: &[u8]) -> Option<&RawValue> {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    serde_json::from_slice::<Event<'_>>(line).ok()?.data
}

/// How a run ended, as its last event or its record says.
#[derive(Debug, serde::Deserialize)]
pub(super) struct End {
    pub(super) status: String,
    #[serde(default)]
    pub(super) error: Option<Value>,
    /// As it was sent.
    #[serde(default)]
    pub(super) final_value: Option<Box<RawValue>>,
}

impl End {
    fn read(text: &str) -> Result<Self, ClientError> {
        serde_json::from_str(text)
            .map_err(|error| ClientError::Broken(format!("this is no run's end: {error}")))
    }

    /// Of the event in that line, which `ends` its run.
    pub(super) fn of_event(line: &[u8]) -> Result<Self, ClientError> {
        Self::read(data_of(line).map_or("null", RawValue::get))
    }
}

/// Why a connection is read no further.
pub(super) enum Failed {
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
