//! `Context`: everything that a task can do.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::{Host, ThisHost};
use crate::{Cancelled, Error, Failure, Level, Progress, RunInfo, Signal, View};

/// The run, as its task sees it. The task gets a reference when it is called.
///
/// No call panics or traps because of what it was given; those that can be
/// refused return an [`Error`].
pub struct Context {
    pub(crate) host: ThisHost,
    /// Where events are put into JSON. It is kept from one to the next, so that
    /// sending does not allocate.
    buffer: Cell<Vec<u8>>,
}

/// # Events
///
/// An event has a type, which is the task's own choice: 1 to 128 bytes without
/// control characters, not beginning with `run.` and not `gap`. Everyone who
/// follows the run gets every event, in order, once it is durable.
impl Context {
    /// Sends one event. Returns as soon as the host has taken it; waits if the
    /// task is faster than the disk.
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

    /// Sends one event on a named channel. Clients can follow one channel alone.
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
        // The contract's name of the default channel.
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

    /// Returns once every event sent so far is durable.
    pub fn flush(&self) -> Result<(), Error> {
        self.host.flush()
    }

    /// Says how far the run is.
    pub fn progress(&self, progress: Progress<'_>) -> Result<(), Error> {
        self.send("progress", &progress)
    }

    /// Updates a page.
    pub fn view(&self, view: View<'_>) -> Result<(), Error> {
        self.send("view", &view)
    }

    /// Sends a line for the log.
    pub fn log(&self, level: Level, message: impl fmt::Display) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            level: Level,
            message: fmt::Arguments<'a>,
        }
        self.send("log", &Line { level, message: format_args!("{message}") })
    }

    /// Sends each value as a `progress` event and returns the last. A generator
    /// is a task in one line:
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
    /// Asks before each value whether the run is cancelled, and fails if so.
    pub fn stream<T: Serialize>(&self, values: impl IntoIterator<Item = T>) -> Result<Option<T>, Failure> {
        self.try_stream(values.into_iter().map(Ok::<T, Infallible>))
    }

    /// Like [`stream`](Self::stream), for values that can fail. The first
    /// failure ends it.
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
        // Taken, not borrowed: what is put into JSON could itself send.
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
/// A cancelled run gets a grace time to clean up and return. What it returns is
/// kept. After that the host ends it.
impl Context {
    /// Waits. The host suspends the task, so a sleeping task costs no thread.
    ///
    /// Fails at once when the run is or gets cancelled, so `ctx.sleep(..)?` is
    /// all that most tasks need to end in time. [`Cancelled`] shows how to clean
    /// up first. `std::thread::sleep` works too but knows nothing of this.
    pub fn sleep(&self, time: Duration) -> Result<(), Cancelled> {
        for ms in waits(time) {
            if !self.host.sleep_ms(ms) {
                return Err(Cancelled);
            }
        }
        Ok(())
    }

    /// Whether someone asked to cancel the run.
    pub fn cancelled(&self) -> bool {
        self.host.cancelled()
    }

    /// Fails if someone asked to cancel the run: for tasks that compute and do
    /// not sleep.
    pub fn check_cancelled(&self) -> Result<(), Cancelled> {
        if self.cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// The time left until the host ends this attempt; none if it has no
    /// deadline. Times above 49 days are given as 49 days.
    pub fn remaining(&self) -> Option<Duration> {
        self.host.remaining_ms().map(|ms| Duration::from_millis(ms.into()))
    }
}

/// # Signals and parameters
impl Context {
    /// Takes the oldest signal that waits; with a name, the oldest of that name.
    ///
    /// Waits for one, at most `timeout`: zero does not wait, none waits without
    /// limit. Returns none if the time is over or the run is cancelled.
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
            // The longest wait may be one of many.
            if signal.is_some() || ms < u32::MAX || self.cancelled() {
                return signal;
            }
        }
        None
    }

    /// The present value of a parameter; none if it was never set. Clients can
    /// set parameters while the run is under way.
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
/// State that survives the attempt. A run that has saved a checkpoint is
/// continued by a new attempt after a crash of the host; a retry finds it too.
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
    /// Saves a value under a key, as JSON, and replaces what was there. When it
    /// returns, the value is durable, and so is every event sent before.
    pub fn save_checkpoint(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let json = serde_json::to_vec(value).map_err(|error| Error::json("the checkpoint", &error))?;
        self.save_checkpoint_bytes(key, &json)
    }

    /// The value that this or an earlier attempt last saved under the key.
    ///
    /// Fails if what was saved is not a `T`.
    pub fn load_checkpoint<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(json) = self.load_checkpoint_bytes(key)? else { return Ok(None) };
        serde_json::from_slice(&json)
            .map(Some)
            .map_err(|error| Error::json(&format!("the checkpoint {key:?}"), &error))
    }

    /// Forgets what was saved under the key, if anything. What a run keeps is
    /// limited in all.
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

/// # The run itself
impl Context {
    /// The facts of this attempt. They do not change while it runs.
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

/// The waits that make up a time: whole milliseconds, rounded up, each as long
/// as the contract's u32 can say. There is always one, so that even no time at
/// all asks the host whether the run is cancelled.
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
