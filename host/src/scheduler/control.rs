use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::lease::Registration;
use super::mailbox::Mailbox;
use crate::engine::PauseGate;
use crate::event_log::RunLog;

/// Handle through which a running attempt is cancelled, paused and sent messages.
pub(super) struct Control {
    /// Its place in the order in which the attempts of this host were registered.
    pub(super) nth: u64,
    pub(super) cancel: CancellationToken,
    /// Cancelled to end this run alone, at once: it is paused, and the host stops.
    pub(super) cut_off: CancellationToken,
    pub(super) gate: Arc<PauseGate>,
    pub(super) mailbox: Mailbox,
    pub(super) log: Arc<RunLog>,
    /// The registration under which the run was claimed.
    pub(super) registration: Arc<Registration>,
    /// Cancelled when the guest is gone.
    pub(super) gone: CancellationToken,
}

impl Control {
    pub(super) fn new(nth: u64, log: Arc<RunLog>, registration: Arc<Registration>) -> Self {
        Self {
            nth,
            cancel: CancellationToken::new(),
            cut_off: CancellationToken::new(),
            gate: Arc::default(),
            mailbox: Mailbox::new(),
            log,
            registration,
            gone: CancellationToken::new(),
        }
    }

    /// Requests cancellation: starts the grace time, and resumes a paused run.
    pub(super) fn cancel(&self) {
        self.cancel.cancel();
        self.gate.resume();
    }

    /// Pauses the run, unless its cancellation was requested: then it continues, to clean up.
    pub(super) fn pause(&self) {
        self.gate.pause();
        // Checked last: a concurrent `cancel` opens the gate after it has set the token.
        if self.cancel.is_cancelled() {
            self.gate.resume();
        }
    }
}
