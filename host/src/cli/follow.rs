//! Following runs from the command line to their end, across lost connections.

use std::time::Duration;

use serde_json::Value;

use super::Exit;
use super::client::{Client, ClientError, Lines};
use super::run_outcome::RunOutcome;
use super::screen::Screen;
use super::stream_event::{is_terminal, parse_event};

/// Delays before attempts to reconnect a lost stream; the last one repeats.
const RETRY_DELAYS: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// A source of events that is read over a series of connections.
pub(super) trait EventSource {
    /// How the followed runs ended.
    type Outcome;

    /// Reads one connection until it ends. Returns the outcome, or none if there are more events to read. Sets
    /// `failures` to 0 as soon as an event arrives.
    async fn read(
        &mut self,
        screen: &mut Screen,
        failures: &mut usize,
    ) -> Result<Option<Self::Outcome>, StreamError>;

    /// A message for a user who stops following: whether the runs continue.
    fn interrupt_message(&self) -> String;
}

/// Shows every event until the runs have ended. With `interruptible`, Ctrl-C stops it too; otherwise the command
/// handles Ctrl-C itself.
pub(super) async fn follow_to_end<S: EventSource>(
    mut source: S,
    mut screen: Screen,
    interruptible: bool,
) -> Result<S::Outcome, Exit> {
    let mut failures = 0;
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    loop {
        let read = tokio::select! {
            read = source.read(&mut screen, &mut failures) => read,
            _ = &mut interrupt, if interruptible => {
                screen.finish();
                return Err(Exit::Interrupted(source.interrupt_message()));
            }
        };
        match read {
            Ok(Some(outcome)) => {
                screen.finish();
                return Ok(outcome);
            }
            // The host closes streams before their end when it stops; it may be restarted.
            Ok(None) | Err(StreamError::Stream(ClientError::Unreachable { .. } | ClientError::Broken(_))) => {
                let delay = RETRY_DELAYS[failures.min(RETRY_DELAYS.len() - 1)];
                failures += 1;
                screen.note("connection lost; reconnecting");
                tokio::time::sleep(delay).await;
            }
            Err(StreamError::Stream(error)) => return Err(error.into()),
            Err(StreamError::Screen(error)) => return Err(error.into()),
        }
    }
}

/// The events of one run.
pub(super) struct RunStream {
    client: Client,
    run: String,
    stream: String,
    /// Whether the host cancels the run when it has no followers.
    cancelled_if_alone: bool,
    /// Number of the last event read. None: nothing read yet, start at `tail`, or at the next event.
    after: Option<u64>,
    tail: Option<u64>,
}

impl RunStream {
    /// Follows `run`, a record as the host sends it.
    pub(super) fn new(
        client: Client,
        run: &Value,
        after: Option<u64>,
        tail: Option<u64>,
    ) -> Result<Self, Exit> {
        let text = |name: &str| run[name].as_str().map(str::to_owned);
        let cancelled_if_alone = run["on_disconnect"] == "cancel";
        match (text("id"), text("stream")) {
            (Some(run), Some(stream)) => Ok(Self { client, run, stream, cancelled_if_alone, after, tail }),
            _ => Err(Exit::Unreachable("the response of the host does not describe a run".to_owned())),
        }
    }

    /// Connects. None if the run has ended and no event is left to read.
    async fn open(&self) -> Result<Option<Lines>, ClientError> {
        let position = match (self.after, self.tail) {
            (Some(after), _) => format!("after={after}"),
            (None, Some(tail)) => format!("tail={tail}"),
            (None, None) => "from=now".to_owned(),
        };
        self.client.follow(&format!("{}?{position}&heartbeat=15", self.stream)).await
    }
}

impl EventSource for RunStream {
    /// From the terminal event, or else from the record.
    type Outcome = RunOutcome;

    async fn read(
        &mut self,
        screen: &mut Screen,
        failures: &mut usize,
    ) -> Result<Option<RunOutcome>, StreamError> {
        let Some(mut lines) = self.open().await? else {
            // No event after that position: the run has ended, and its record has the outcome.
            let record = self.client.get_text(&format!("/api/runs/{}", self.run)).await?;
            return Ok(Some(RunOutcome::parse(&record)?));
        };
        while let Some(line) = lines.next().await? {
            let Some(event) = parse_event(&line)? else { continue };
            if let Some(seq) = event["seq"].as_u64() {
                self.after = Some(seq);
                *failures = 0;
            }
            screen.event(&event, &line)?;
            if is_terminal(&event) {
                return Ok(Some(RunOutcome::of_event(&line)?));
            }
        }
        Ok(None)
    }

    fn interrupt_message(&self) -> String {
        let cancel = format!("`streamtask cancel {}`", self.run);
        match self.cancelled_if_alone {
            true => format!(
                "the host cancels the run soon unless another client follows it; {cancel} cancels it now"
            ),
            false => format!("the run continues; {cancel} cancels it"),
        }
    }
}

/// Why a connection can no longer be read.
pub(super) enum StreamError {
    Stream(ClientError),
    Screen(std::io::Error),
}

impl From<ClientError> for StreamError {
    fn from(error: ClientError) -> Self {
        Self::Stream(error)
    }
}

impl From<std::io::Error> for StreamError {
    fn from(error: std::io::Error) -> Self {
        Self::Screen(error)
    }
}
