use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::mailbox::Mailbox;
use crate::engine::PauseGate;
use crate::event_log::RunLog;

/// Handle through which a running attempt is cancelled, paused and sent messages.
pub(super) struct Control {
    pub(super) cancel: CancellationToken,
    /// Cancelled to end this run alone, at once: it is paused, and the host stops.
    pub(super) cut_off: CancellationToken,
    pub(super) gate: Arc<PauseGate>,
    pub(super) mailbox: Mailbox,
    pub(super) log: Arc<RunLog>,
}

impl Control {
    pub(super) fn new(log: Arc<RunLog>) -> Self {
        Self {
            cancel: CancellationToken::new(),
            cut_off: CancellationToken::new(),
            gate: Arc::default(),
            mailbox: Mailbox::new(),
            log,
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
