//! `Context`: the functions that a task can call.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::{Host, ThisHost};
use crate::{Cancelled, Error, Failure, Level, Progress, RunInfo, Signal, View};

/// The current run. A task receives a reference to it.
///
/// No call panics or traps because of its arguments; calls that the host can reject
/// return an [`Error`].
pub struct Context {
    pub(crate) host: ThisHost,
    /// Buffer for the JSON of events, reused so that sending does not allocate.
    buffer: Cell<Vec<u8>>,
}

/// # Events
///
/// The task chooses the type of an event: 1 to 128 bytes without control
/// characters, not beginning with `run.` and not `gap`. All subscribers of the run
/// get every event, in order, once it is durable.
impl Context {
    /// Sends one event. Returns as soon as the host has queued it; waits if the
    /// task sends faster than the disk can write.
    ///
    /// ```
    /// # use streamtask_sdk::{Context, Error, json};
    /// # fn f(ctx: &Context) -> Result<(), Error> {
    /// ctx.send("found", &json!({ "page": 3, "title": "Ada" }))?;
    /// ctx.send("line", "text is JSON too")?;
    /// # Ok(()) }
    /// ```
    pub fn send(&self, event_type: &str, data: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.send_json(None, event_type, data)
    }

    /// Sends one event on a named channel. Clients can subscribe to a single
    /// channel.
    pub fn send_on(
        &self,
        channel: &str,
        event_type: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(), Error> {
        self.send_json(Some(channel), event_type, data)
    }

    /// Sends bytes as one event. `content_type` is a media type such as
    /// `image/png`.
    pub fn send_bytes(&self, event_type: &str, content_type: &str, bytes: &[u8]) -> Result<(), Error> {
        // The contract's name for the default channel.
        self.send_bytes_on("", event_type, content_type, bytes)
    }

    /// Sends bytes as one event on a named channel.
    pub fn send_bytes_on(
        &self,
        channel: &str,
        event_type: &str,
        content_type: &str,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.host.send_bytes(channel, event_type, content_type, bytes)
    }

    /// Waits until all events sent so far are durable.
    pub fn flush(&self) -> Result<(), Error> {
        self.host.flush()
    }

    /// Reports progress.
    pub fn progress(&self, progress: Progress<'_>) -> Result<(), Error> {
        self.send("progress", &progress)
    }

    /// Updates a web page.
    pub fn view(&self, view: View<'_>) -> Result<(), Error> {
        self.send("view", &view)
    }

    /// Logs a message.
    pub fn log(&self, level: Level, message: impl fmt::Display) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            level: Level,
            message: fmt::Arguments<'a>,
        }
        self.send("log", &Line { level, message: format_args!("{message}") })
    }

    /// Sends each value as a `progress` event and returns the last. With it, a
    /// generator is a task in one line:
    ///
    /// ```
    /// use streamtask_sdk::{Context, Failure, task};
    ///
    /// /// The powers of two.
    /// #[task]
    /// fn powers(ctx: &Context, count: u32) -> Result<Option<u64>, Failure> {
    ///     ctx.stream((0..count).map(|n| 1u64 << n))
    /// }
    /// # let run = streamtask_sdk::testing::Recording::new();
    /// # assert_eq!(powers(&run, 4).unwrap(), Some(8));
    /// # assert_eq!(run.data("progress"), [1, 2, 4, 8]);
    /// ```
    ///
    /// Checks before each value whether the run is cancelled, and fails if so.
    pub fn stream<T: Serialize>(&self, values: impl IntoIterator<Item = T>) -> Result<Option<T>, Failure> {
        self.try_stream(values.into_iter().map(Ok::<T, Infallible>))
    }

    /// Like [`stream`](Self::stream), for values that can fail. It ends at the
    /// first failure.
    pub fn try_stream<T: Serialize, E: Into<Failure>>(
        &self,
        values: impl IntoIterator<Item = Result<T, E>>,
    ) -> Result<Option<T>, Failure> {
        let mut values = values.into_iter();
        let mut last = None;
        loop {
            self.check_cancelled()?;
            let Some(value) = values.next() else { return Ok(last) };
            let value = value.map_err(Into::into)?;
            self.send("progress", &value)?;
            last = Some(value);
        }
    }

    fn send_json<T: Serialize + ?Sized>(
        &self,
        channel: Option<&str>,
        event_type: &str,
        data: &T,
    ) -> Result<(), Error> {
        // Taken, not borrowed, because a `Serialize` implementation could send an
        // event itself.
        let mut buffer = self.buffer.take();
        buffer.clear();
        let sent = match serde_json::to_writer(&mut buffer, data) {
            Ok(()) => self.host.send(channel, event_type, as_text(&buffer)),
            Err(error) => Err(Error::json("the event's data", &error)),
        };
        self.buffer.set(buffer);
        sent
    }
}

/// # Waiting and cancelling
///
/// A cancelled run has a grace period to clean up and return. Its result is stored.
/// After that, the host stops it.
impl Context {
    /// Sleeps. The host suspends the task, so a sleeping task occupies no thread.
    ///
    /// Fails as soon as the run is cancelled, so `ctx.sleep(..)?` is enough for
    /// most tasks to end in time. [`Cancelled`] shows how to clean
    /// up first. `std::thread::sleep` works, too, but ignores cancellation.
    pub fn sleep(&self, time: Duration) -> Result<(), Cancelled> {
        for ms in waits(time) {
            if !self.host.sleep_ms(ms) {
                return Err(Cancelled);
            }
        }
        Ok(())
    }

    /// Whether cancellation of the run was requested.
    pub fn cancelled(&self) -> bool {
        self.host.cancelled()
    }

    /// Fails if cancellation of the run was requested: for tasks that compute
    /// without sleeping.
    pub fn check_cancelled(&self) -> Result<(), Cancelled> {
        if self.cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// The time left until this attempt's deadline; none if it has no deadline. The
    /// maximum is 49 days, also if more time is left.
    pub fn remaining(&self) -> Option<Duration> {
        self.host.remaining_ms().map(|ms| Duration::from_millis(ms.into()))
    }
}

/// # Signals and parameters
impl Context {
    /// Removes and returns the oldest queued signal; with a name, the oldest of
    /// that name.
    ///
    /// If there is none, waits for at most `timeout`: zero does not wait, none
    /// waits without limit. Returns none after the timeout or if the run is
    /// cancelled.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use streamtask_sdk::{Context, Failure};
    /// # fn f(ctx: &Context) -> Result<(), Failure> {
    /// ctx.send("question", "Go on?")?;
    /// let Some(answer) = ctx.receive_signal(Some("answer"), Some(Duration::from_secs(600))) else {
    ///     ctx.check_cancelled()?;
    ///     return Err(Failure::new("nobody answered").code("no-answer"));
    /// };
    /// let go_on: bool = answer.payload()?;
    /// # Ok(()) }
    /// ```
    pub fn receive_signal(&self, name: Option<&str>, timeout: Option<Duration>) -> Option<Signal> {
        let Some(timeout) = timeout else { return self.host.receive_signal(name, None) };
        for ms in waits(timeout) {
            let signal = self.host.receive_signal(name, Some(ms));
            // A long wait can consist of several calls.
            if signal.is_some() || ms < u32::MAX || self.cancelled() {
                return signal;
            }
        }
        None
    }

    /// The current value of a parameter; none if it was never set. Clients can set
    /// parameters until the run ends.
    ///
    /// ```
    /// # use streamtask_sdk::{Context, Error};
    /// # fn f(ctx: &Context) -> Result<(), Error> {
    /// let speed = ctx.parameter("speed")?.unwrap_or(10);
    /// # let _: u32 = speed;
    /// # Ok(()) }
    /// ```
    ///
    /// Fails if the value is not a `T`.
    pub fn parameter<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.host.parameter(name) else { return Ok(None) };
        serde_json::from_str(&value)
            .map(Some)
            .map_err(|error| Error::json(&format!("the parameter {name:?}"), &error))
    }
}

/// # Checkpoints
///
/// State that outlives the attempt. If the host crashes, a run that has saved a
/// checkpoint continues with a new attempt. Retries can load its checkpoints, too.
///
/// ```
/// # use streamtask_sdk::{Context, Error};
/// # fn work(_: u32) {}
/// # fn f(ctx: &Context) -> Result<(), Error> {
/// let begin = ctx.load_checkpoint("next")?.unwrap_or(0);
/// for item in begin..1000u32 {
///     work(item);
///     if item % 50 == 0 {
///         ctx.save_checkpoint("next", &(item + 1))?;
///     }
/// }
/// # Ok(()) }
/// ```
impl Context {
    /// Saves a value under a key, as JSON, replacing any earlier value. When it
    /// returns, the value and all events sent before it are durable.
    pub fn save_checkpoint(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let json = serde_json::to_vec(value).map_err(|error| Error::json("the checkpoint", &error))?;
        self.save_checkpoint_bytes(key, &json)
    }

    /// The last value saved under the key, in this attempt or an earlier one.
    ///
    /// Fails if the value is not a `T`.
    pub fn load_checkpoint<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(json) = self.load_checkpoint_bytes(key)? else { return Ok(None) };
        serde_json::from_slice(&json)
            .map(Some)
            .map_err(|error| Error::json(&format!("the checkpoint {key:?}"), &error))
    }

    /// Deletes the value under the key, if there is one. The total size of a run's
    /// checkpoints is limited.
    pub fn remove_checkpoint(&self, key: &str) -> Result<(), Error> {
        self.host.remove(key)
    }

    /// Saves bytes under a key; otherwise like
    /// [`save_checkpoint`](Self::save_checkpoint).
    pub fn save_checkpoint_bytes(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.host.save(key, value)
    }

    /// The bytes last saved under the key.
    pub fn load_checkpoint_bytes(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.host.load(key)
    }
}

/// # The current run
impl Context {
    /// Information about the current attempt. It does not change during the
    /// attempt.
    pub fn info(&self) -> RunInfo {
        self.host.info()
    }
}

impl Context {
    pub(crate) fn new(host: ThisHost) -> Self {
        Self { host, buffer: Cell::default() }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

fn as_text(json: &[u8]) -> &str {
    str::from_utf8(json).expect("JSON is UTF-8")
}

/// Splits a time into waits in whole milliseconds, rounded up, none longer than the
/// contract's u32 allows. Yields at least one, so that even a time of zero asks the
/// host whether the run is cancelled.
pub(crate) fn waits(time: Duration) -> impl Iterator<Item = u32> {
    let ms =
        time.as_secs().saturating_mul(1000).saturating_add(time.subsec_nanos().div_ceil(1_000_000).into());
    let mut left = Some(ms);
    std::iter::from_fn(move || {
        let wait = u32::try_from(left?).unwrap_or(u32::MAX);
        left = left.map(|left| left - u64::from(wait)).filter(|&left| left > 0);
        Some(wait)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_waited_for_in_full() {
        let waits = |time| waits(time).collect::<Vec<_>>();
        assert_eq!(waits(Duration::ZERO), [0]);
        assert_eq!(waits(Duration::from_nanos(1)), [1]);
        assert_eq!(waits(Duration::from_micros(1500)), [2]);
        assert_eq!(waits(Duration::from_millis(u32::MAX.into())), [u32::MAX]);
        assert_eq!(waits(Duration::from_millis(1 << 32)), [u32::MAX, 1]);
        assert_eq!(waits(Duration::from_secs(100 * 86_400)).len(), 3);
        assert_eq!(super::waits(Duration::MAX).next(), Some(u32::MAX));
    }
}
