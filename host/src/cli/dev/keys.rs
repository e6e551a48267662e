//! Keys that control `streamtask dev` in a terminal.

use std::future::pending;
use std::io::{self, IsTerminal as _, Read as _};
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::cli::echo::SingleKeys;
use crate::process::start_thread;

/// Keys that may wait while a build runs; more are ignored.
const MAX_WAITING: usize = 4;

/// What a key asks for, besides the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Run the task again.
    Run,
    /// Open the page in the browser.
    Open,
}

/// The keys that the user presses. None if no terminal is there.
pub(super) struct Keys {
    pressed: Option<mpsc::Receiver<Key>>,
    quit: Arc<Notify>,
    /// Restores the terminal.
    _mode: Option<SingleKeys>,
}

impl Keys {
    /// Starts to read keys, on a thread of its own, which ends with the process.
    pub(super) fn read() -> Self {
        let quit = Arc::new(Notify::new());
        let mode = if io::stdin().is_terminal() { SingleKeys::begin() } else { None };
        let pressed = mode.as_ref().and_then(|_| {
            let (sender, pressed) = mpsc::channel(MAX_WAITING);
            let quit = Arc::clone(&quit);
            start_thread("keys", move || forward(&sender, &quit)).ok().map(|_| pressed)
        });
        Self { pressed, quit, _mode: mode }
    }

    /// Whether keys are read.
    pub(super) fn are_read(&self) -> bool {
        self.pressed.is_some()
    }

    /// The signal of the key that ends the command, also during a build.
    pub(super) fn quit(&self) -> Arc<Notify> {
        Arc::clone(&self.quit)
    }

    /// Waits for the next key.
    pub(super) async fn next(&mut self) -> Key {
        if let Some(pressed) = &mut self.pressed
            && let Some(key) = pressed.recv().await
        {
            return key;
        }
        // The terminal is closed, or there is none.
        self.pressed = None;
        pending().await
    }
}

fn forward(keys: &mpsc::Sender<Key>, quit: &Notify) {
    for byte in io::stdin().lock().bytes().map_while(Result::ok) {
        match byte {
            b'r' | b'R' => drop(keys.try_send(Key::Run)),
            b'o' | b'O' => drop(keys.try_send(Key::Open)),
            b'q' | b'Q' => quit.notify_one(),
            _ => {}
        }
    }
}
