//! The echo of control keys: a `^C` behind a bar wraps its line, and the bars would be drawn again below it.

use std::io::{self, Stdin};

use parking_lot::Mutex;
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// The previous settings of the terminal.
static PREVIOUS: Mutex<Option<Termios>> = Mutex::new(None);

/// Suppresses the echo of control keys until it is dropped. The keys work as before.
pub(super) struct EchoSuppressed(());

impl EchoSuppressed {
    /// None if this process does not control the terminal.
    pub(super) fn begin() -> Option<Self> {
        let terminal = io::stdin();
        // The system stops a background process that changes the terminal.
        if tcgetpgrp(&terminal).ok()? != getpgrp() {
            return None;
        }
        let before = tcgetattr(&terminal).ok()?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHOCTL);
        set(&terminal, &modes);
        *PREVIOUS.lock() = Some(before);
        Some(Self(()))
    }
}

impl Drop for EchoSuppressed {
    fn drop(&mut self) {
        end();
    }
}

/// Restores the terminal; also for a process that exits without dropping values.
pub(super) fn end() {
    if let Some(before) = PREVIOUS.lock().take() {
        set(&io::stdin(), &before);
    }
}

/// An error means that the terminal is closed.
fn set(terminal: &Stdin, modes: &Termios) {
    let _ = tcsetattr(terminal, OptionalActions::Now, modes);
}
