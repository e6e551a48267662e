//! What the terminal itself writes of keys: `^C` behind a bar breaks its line, and the bars are drawn once more below.

use std::io::{self, Stdin};

use parking_lot::Mutex;
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// How the terminal was before.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// While this is held, the terminal writes nothing of control keys. They do what they did.
pub(super) struct Unechoed(());

impl Unechoed {
    /// None if the terminal is not this process's to set.
    pub(super) fn begin() -> Option<Self> {
        let terminal = io::stdin();
        // Who is in the background is stopped for setting it.
        if tcgetpgrp(&terminal).ok()? != getpgrp() {
            return None;
        }
        let before = tcgetattr(&terminal).ok()?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHOCTL);
        set(&terminal, &modes);
        *BEFORE.lock() = Some(before);
        Some(Self(()))
    }
}

impl Drop for Unechoed {
    fn drop(&mut self) {
        end();
    }
}

/// Has the terminal write what it wrote before; also for a process that ends without dropping anything.
pub(super) fn end() {
    if let Some(before) = BEFORE.lock().take() {
        set(&io::stdin(), &before);
    }
}

/// A terminal that has gone away has nothing to set.
fn set(terminal: &Stdin, modes: &Termios) {
    let _ = tcsetattr(terminal, OptionalActions::Now, modes);
}
