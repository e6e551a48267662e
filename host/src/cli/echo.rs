//! The terminal's own reaction to keys: a `^C` behind a bar wraps its line, and the bars would be drawn again below it.

use std::io::{self, Stdin};

use parking_lot::Mutex;
use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};

/// The previous settings of the terminal, with the number of values that have changed them.
static PREVIOUS: Mutex<Option<(Termios, usize)>> = Mutex::new(None);

/// Suppresses the echo of control keys until it is dropped. The keys work as before.
pub(super) struct EchoSuppressed(());

impl EchoSuppressed {
    /// None if this process does not control the terminal.
    pub(super) fn begin() -> Option<Self> {
        change(|modes| modes.local_modes.remove(LocalModes::ECHOCTL)).map(|()| Self(()))
    }
}

impl Drop for EchoSuppressed {
    fn drop(&mut self) {
        release();
    }
}

/// Passes on each key at once, without echo, until it is dropped. Ctrl-C works as before.
pub(super) struct SingleKeys(());

impl SingleKeys {
    /// None if this process does not control the terminal.
    pub(super) fn begin() -> Option<Self> {
        let changed = change(|modes| {
            modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHOCTL);
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        });
        changed.map(|()| Self(()))
    }
}

impl Drop for SingleKeys {
    fn drop(&mut self) {
        release();
    }
}

fn change(change: impl FnOnce(&mut Termios)) -> Option<()> {
    let terminal = io::stdin();
    // The system stops a background process that changes the terminal.
    if tcgetpgrp(&terminal).ok()? != getpgrp() {
        return None;
    }
    let mut previous = PREVIOUS.lock();
    let before = tcgetattr(&terminal).ok()?;
    let mut modes = before.clone();
    change(&mut modes);
    set(&terminal, &modes);
    // Only the first sees the settings of the user.
    previous.get_or_insert((before, 0)).1 += 1;
    Some(())
}

/// The last one restores the terminal.
fn release() {
    let mut previous = PREVIOUS.lock();
    if let Some((before, users)) = previous.as_mut() {
        *users -= 1;
        if *users == 0 {
            set(&io::stdin(), before);
            *previous = None;
        }
    }
}

/// Restores the terminal; also for a process that exits without dropping values.
pub(super) fn end() {
    if let Some((before, _)) = PREVIOUS.lock().take() {
        set(&io::stdin(), &before);
    }
}

/// An error means that the terminal is closed.
fn set(terminal: &Stdin, modes: &Termios) {
    let _ = tcsetattr(terminal, OptionalActions::Now, modes);
}
