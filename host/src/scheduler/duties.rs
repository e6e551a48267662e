//! Duties: what one host does for all that share the database.

use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use crate::platform;
use crate::storage::Result;

/// How long a duty is kept without being asked for again: longer than the longest interval of any of them, so that it stays
/// with one host while that host lives.
const KEPT: Duration = Duration::from_secs(30);
/// Pause before tasks that could not be offered are offered again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A duty, as far as this host knows who has it.
pub(super) struct Duty {
    name: &'static str,
    /// Until when this host has it, by the boot clock; none if another host has it.
    until: Option<Duration>,
}

/// The holder of a duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// This host, and no other one has had it since this was asked last.
    Still,
    /// This host. Another one may have had it before.
    Anew,
    /// Another host.
    Elsewhere,
}

impl Held {
    pub(super) fn is_held(self) -> bool {
        self != Self::Elsewhere
    }
}

impl Duty {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, until: None }
    }
}

impl Scheduler {
    /// Takes or keeps a duty. Without other hosts, this host has all of them.
    pub(super) async fn hold(&self, duty: &mut Duty) -> Result<Held> {
        if !self.lease.is_shared() {
            return Ok(Held::Still);
        }
        // Counted from before the call, so that storage's count never ends earlier.
        let now = platform::boot_clock();
        let before = duty.until.take().filter(|until| now < *until);
        let held = self.storage.hold_duty(duty.name, &self.lease.host(), KEPT.as_millis() as u32).await?;
        duty.until = held.then(|| now + KEPT);
        Ok(match (held, before) {
            (false, _) => Held::Elsewhere,
            (true, None) => Held::Anew,
            (true, Some(_)) => Held::Still,
        })
    }

    /// The same, if an error only means that it is tried again later.
    pub(super) async fn hold_or_log(&self, duty: &mut Duty) -> Held {
        self.hold(duty).await.unwrap_or_else(|error| {
            tracing::warn!(%error, duty = duty.name, "could not ask which host has the duty");
            Held::Elsewhere
        })
    }

    /// Whether this host still has a duty that it took. False when it has worked on for too long, or was suspended
    /// meanwhile.
    pub(super) fn has(&self, duty: &Duty) -> bool {
        !self.lease.is_shared() || duty.until.is_some_and(|until| platform::boot_clock() < until)
    }

    /// Tells the other hosts which tasks this one has loaded, until the host stops.
    pub(super) async fn keep_offering(self: Arc<Self>) {
        let mut tasks = self.registry.changes();
        while !self.stopping.is_cancelled() {
            let registration = self.lease.registration();
            let loaded = self.registry.tasks();
            let offered: Vec<_> = loaded.iter().map(|task| (task.name.clone(), task.version())).collect();
            let retry = match self.storage.offer(&registration.host, &offered).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::warn!(%error, "could not tell other hosts which tasks this one has");
                    Some(RETRY_PAUSE)
                }
            };
            let paused = async {
                match retry {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            let next = async {
                registration.lost.cancelled().await;
                drop(self.registration_after(&registration).await);
            };
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                () = tasks.changed() => {}
                () = next => {}
                () = paused => {}
            }
        }
    }
}
