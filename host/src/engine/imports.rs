//! The functions that a guest can call: each checks its arguments here, at the
//! boundary, and answers with a typed error. None of them traps because of what
//! it was given.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use wasmtime::component::{HasSelf, Linker};

use super::bindings::streamtask::task::types::{Error, ErrorCode};
use super::bindings::streamtask::task::{checkpoints, children, control, events, run, types};
use super::filesystem;
use super::guest::Guest;
use crate::model::{
    Channel, Content, ContentType, EventType, Json, MAX_NAME_BYTES, NewEvent, Refusal, RefusalCode,
    SignalName, Timestamp,
};

/// Largest checkpoint in bytes; larger state belongs into a file.
const MAX_CHECKPOINT_BYTES: usize = 1 << 20;

/// Longer than anything waits.
pub(super) const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Adds everything that a guest may import.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    filesystem::link(linker)?;
    // Also for tasks that may send nothing: they load, and are told what they lack when they try.
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    events::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    run::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    control::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    checkpoints::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    children::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

/// The outer error ends the guest, the inner one is its answer.
pub(super) type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl types::Host for Guest {}

impl events::Host for Guest {
    // The hot path begins here.
    async fn send_event(&mut self, event_type: String, data: String) -> Answer<()> {
        match self.json_event(None, self.masked(event_type), data) {
            Ok(event) => self.send(event).await,
            Err(refusal) => Ok(Err(refusal.into())),
        }
    }

    async fn send_event_on(&mut self, channel: String, event_type: String, data: String) -> Answer<()> {
        let event = Channel::of_guest(self.masked(channel))
            .and_then(|channel| self.json_event(channel, self.masked(event_type), data));
        match event {
            Ok(event) => self.send(event).await,
            Err(refusal) => Ok(Err(refusal.into())),
        }
    }

    async fn send_bytes(
        &mut self,
        channel: String,
        event_type: String,
        content_type: String,
        data: Vec<u8>,
    ) -> Answer<()> {
        match self.bytes_event(channel, event_type, content_type, data) {
            Ok(event) => self.send(event).await,
            Err(refusal) => Ok(Err(refusal.into())),
        }
    }

    async fn flush(&mut self) -> Answer<()> {
        Ok(self.host.flush().await.map_err(Error::from))
    }
}

impl Guest {
    fn json_event(
        &self,
        channel: Option<Channel>,
        event_type: String,
        data: String,
    ) -> Result<NewEvent, Refusal> {
        let event_type = EventType::of_guest(event_type)?;
        self.check_size(data.len())?;
        let data = Json::parse(data).map_err(|error| {
            Refusal::new(RefusalCode::InvalidArgument, format!("the event's data is not valid JSON: {error}"))
        })?;
        let content = self.masked_content(Content::Json(data));
        Ok(NewEvent { event_type, channel, content, time: Timestamp::now() })
    }

    fn bytes_event(
        &self,
        channel: String,
        event_type: String,
        content_type: String,
        data: Vec<u8>,
    ) -> Result<NewEvent, Refusal> {
        let channel = Channel::of_guest(self.masked(channel))?;
        let event_type = EventType::of_guest(self.masked(event_type))?;
        let content_type = ContentType::of_guest(self.masked(content_type))?;
        self.check_size(data.len())?;
        let content = self.masked_content(Content::Bytes(content_type, data.into_boxed_slice()));
        Ok(NewEvent { event_type, channel, content, time: Timestamp::now() })
    }

    /// Without secrets; the same for a task that has none.
    fn masked(&self, text: String) -> String {
        match &self.mask {
            None => text,
            Some(mask) => mask.text(text),
        }
    }

    fn masked_content(&self, content: Content) -> Content {
        match &self.mask {
            None => content,
            Some(mask) => mask.content(content),
        }
    }

    fn check_size(&self, len: usize) -> Result<(), Refusal> {
        let limit = self.limits.event_bytes;
        if len <= limit { Ok(()) } else { Err(Refusal::too_large("the event's data", len, limit)) }
    }

    /// Takes one event of so many bytes off what is left to the attempt.
    fn spend(&mut self, bytes: usize) -> Result<(), Refusal> {
        let over = |what: &str, limit: Option<u64>| {
            let message = format!("the attempt may send {} {what}, and has", limit.unwrap_or_default());
            Refusal::new(RefusalCode::LimitExceeded, message)
        };
        if self.events_left == Some(0) {
            return Err(over("events", self.limits.events));
        }
        let bytes = bytes as u64;
        if self.event_bytes_left.is_some_and(|left| left < bytes) {
            return Err(over("bytes of events", self.limits.events_bytes));
        }
        self.events_left = self.events_left.map(|left| left - 1);
        self.event_bytes_left = self.event_bytes_left.map(|left| left - bytes);
        Ok(())
    }

    /// Hands the event over; waits while the guest is too fast, and while too many wait
    /// for the disk.
    async fn send(&mut self, mut event: NewEvent) -> Answer<()> {
        if let Err(refusal) = self.spend(event.content.len()) {
            return Ok(Err(refusal.into()));
        }
        if let Some(pace) = &self.pace {
            pace.turn(&*self.host).await;
            pace.sent(event.content.len());
            event.time = Timestamp::now();
        }
        while let Some(refused) = self.host.send(event)? {
            event = refused;
            self.host.room().await;
        }
        Ok(Ok(()))
    }
}

impl run::Host for Guest {
    async fn info(&mut self) -> wasmtime::Result<run::RunInfo> {
        let info = self.host.info();
        Ok(run::RunInfo {
            id: info.id.clone(),
            app: info.task.app.to_string(),
            task: info.task.task.to_string(),
            version: info.version.to_string(),
            attempt: info.attempt,
            labels: info.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        })
    }

    async fn remaining_ms(&mut self) -> wasmtime::Result<Option<u32>> {
        let left = self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Ok(left.map(|left| u32::try_from(left.as_millis()).unwrap_or(u32::MAX)))
    }
}

impl control::Host for Guest {
    async fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self.host.is_cancelled())
    }

    async fn sleep_ms(&mut self, ms: u32) -> wasmtime::Result<bool> {
        Ok(tokio::select! {
            // A cancelled run does not sleep, not even for 0 ms.
            biased;
            () = self.host.cancelled() => false,
            () = sleep(Duration::from_millis(ms.into())) => true,
        })
    }

    async fn receive_signal(
        &mut self,
        name: Option<String>,
        timeout_ms: Option<u32>,
    ) -> wasmtime::Result<Option<control::Signal>> {
        let name = match name.map(|name| SignalName::parse(&name)).transpose() {
            Ok(name) => name,
            // No signal has such a name, so none will ever come.
            Err(_) => return Ok(None),
        };
        let time_is_over = sleep(timeout_ms.map_or(FOREVER, |ms| Duration::from_millis(ms.into())));
        tokio::pin!(time_is_over);
        let signal = loop {
            // Counted before looking: what comes in between ends the wait.
            let seen = self.host.signals();
            let taken = self.host.take_signal(name.clone()).await?;
            if taken.is_some() {
                break taken;
            }
            tokio::select! {
                biased;
                () = self.host.more_signals(seen) => {}
                () = self.host.cancelled() => break None,
                () = &mut time_is_over => break None,
            }
        };
        Ok(signal.map(|signal| control::Signal {
            name: signal.name.as_str().to_owned(),
            payload: signal.payload.into_string(),
        }))
    }

    async fn parameter(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.host.parameter(&name).map(Json::into_string))
    }
}

impl checkpoints::Host for Guest {
    async fn save(&mut self, key: String, value: Vec<u8>) -> Answer<()> {
        if let Err(refusal) = check_key(&key) {
            return Ok(Err(refusal.into()));
        }
        if value.len() > MAX_CHECKPOINT_BYTES {
            return Ok(Err(Refusal::too_large("the checkpoint", value.len(), MAX_CHECKPOINT_BYTES).into()));
        }
        Ok(self.host.save_checkpoint(key, Some(value)).await.map_err(Error::from))
    }

    async fn remove(&mut self, key: String) -> Answer<()> {
        if let Err(refusal) = check_key(&key) {
            return Ok(Err(refusal.into()));
        }
        Ok(self.host.save_checkpoint(key, None).await.map_err(Error::from))
    }

    async fn load(&mut self, key: String) -> Answer<Option<Vec<u8>>> {
        if let Err(refusal) = check_key(&key) {
            return Ok(Err(refusal.into()));
        }
        Ok(self.host.load_checkpoint(key).await.map_err(Error::from))
    }
}

fn check_key(key: &str) -> Result<(), Refusal> {
    if (1..=MAX_NAME_BYTES).contains(&key.len()) && !key.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("a checkpoint key has 1 to {MAX_NAME_BYTES} bytes without control characters");
    Err(Refusal::new(RefusalCode::InvalidArgument, message))
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code {
            RefusalCode::InvalidArgument => ErrorCode::InvalidArgument,
            RefusalCode::TooLarge => ErrorCode::TooLarge,
            RefusalCode::LimitExceeded => ErrorCode::LimitExceeded,
            RefusalCode::Denied => ErrorCode::Denied,
            RefusalCode::NotFound => ErrorCode::NotFound,
            RefusalCode::Conflict => ErrorCode::Conflict,
            RefusalCode::Unavailable => ErrorCode::Unavailable,
            RefusalCode::Internal => ErrorCode::Internal,
        };
        Self { code, message: refusal.message }
    }
}
