//! Signals of the operating system, received on a thread of their own, so that a process whose other threads are stuck
//! can still be stopped.

use std::future::pending;
use std::io::{self, IsTerminal as _};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Signal as ProcessSignal;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Exit, echo, log};
use crate::process::start_thread;

/// Time from the second interrupt of a command until it is ended by force: enough to remove its temporary files.
const CLEANUP_TIME: Duration = Duration::from_secs(3);

/// Where the kernel lists the signals that a process ignores.
const STATUS: &str = "/proc/self/status";

/// Receiver of the signals that end a command. Each SIGINT and SIGTERM counts; a closed terminal counts once.
pub(super) struct Interrupts {
    count: watch::Receiver<u32>,
    /// The number of signals for which [`next`](Self::next) has returned.
    seen: u32,
}

/// Receiver of SIGHUP. Several signals before a read count as one.
pub(super) struct Hangups(watch::Receiver<u32>);

/// Deadlines after which the process is ended by force.
struct Deadlines {
    /// Time after the first interrupt, with the source of a last message. None: unlimited.
    first: Option<(Duration, Box<dyn Fn() -> String + Send>)>,
    /// Time after the second interrupt.
    second: Duration,
}

impl Interrupts {
    /// For a command in a terminal, which has something to clean up. SIGHUP, which says that the terminal was closed, is
    /// an interrupt too, unless the command was started to outlive it (`nohup`). Other signals keep their default actions.
    pub(super) fn of_command() -> Result<Self, Exit> {
        let deadlines = Deadlines { first: None, second: CLEANUP_TIME };
        let (sender, count) = watch::channel(0);
        let hangups = if ignores_hangups() { OnHangup::Nothing } else { OnHangup::End };
        listen(deadlines, sender, hangups)?;
        Ok(Self { count, seen: 0 })
    }

    /// For a host, which has `limit` to stop after the first interrupt, and ends at once at the second one. If it has
    /// not stopped in time, its last message is `late`.
    ///
    /// SIGHUP goes to the returned receiver; SIGUSR1 and SIGUSR2 are ignored.
    pub(super) fn of_host(
        limit: Duration,
        late: impl Fn() -> String + Send + 'static,
    ) -> Result<(Self, Hangups), Exit> {
        let deadlines = Deadlines { first: Some((limit, Box::new(late))), second: Duration::ZERO };
        let ((sender, count), (hangup, hangups)) = (watch::channel(0), watch::channel(0));
        listen(deadlines, sender, OnHangup::Forward(hangup))?;
        Ok((Self { count, seen: 0 }, Hangups(hangups)))
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) {
        let seen = self.seen;
        if self.count.wait_for(|count| *count > seen).await.is_err() {
            pending::<()>().await;
        }
        self.seen += 1;
    }
}

impl Hangups {
    /// Waits for the next signal.
    pub(super) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            pending::<()>().await;
        }
    }
}

/// The meaning of SIGHUP.
enum OnHangup {
    /// It stays ignored.
    Nothing,
    /// It ends the command.
    End,
    /// It goes to this receiver, unless the terminal of the process is closed.
    Forward(watch::Sender<u32>),
}

/// Whether this process was started with SIGHUP ignored, which a handler would undo.
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string(STATUS).unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Unknown without /proc: then the signal keeps its action.
    ignored.is_none_or(|mask| mask & (1 << (ProcessSignal::HUP.as_raw() - 1)) != 0)
}

/// Starts the thread. When this returns, the handlers of all signals are installed.
fn listen(deadlines: Deadlines, interrupts: watch::Sender<u32>, hangups: OnHangup) -> Result<(), Exit> {
    let failed = |error: io::Error| Exit::Start(format!("can't listen for signals: {error}"));
    let (listening, listens) = mpsc::channel();
    let listener = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(listening.send(Err(error))),
        };
        runtime.block_on(async {
            match Signals::register(hangups) {
                Ok(signals) => {
                    let _ = listening.send(Ok(()));
                    signals.forward(deadlines, interrupts).await;
                }
                Err(error) => drop(listening.send(Err(error))),
            }
        });
    };
    start_thread("signals", listener).map_err(failed)?;
    listens.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended"))).map_err(failed)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Hangup>,
}

struct Hangup {
    signal: Signal,
    /// None: the signal is an interrupt.
    receiver: Option<watch::Sender<u32>>,
    /// Handlers of signals whose default action ends the process.
    _ignored: Vec<Signal>,
    /// Whether the process was started in a terminal.
    in_terminal: bool,
    /// Whether one was an interrupt already.
    is_counted: bool,
}

impl Signals {
    fn register(hangups: OnHangup) -> io::Result<Self> {
        let hangup = |receiver, ignored: &[SignalKind]| {
            Ok::<_, io::Error>(Some(Hangup {
                signal: signal(SignalKind::hangup())?,
                receiver,
                _ignored: ignored.iter().map(|kind| signal(*kind)).collect::<io::Result<_>>()?,
                in_terminal: io::stdin().is_terminal(),
                is_counted: false,
            }))
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: match hangups {
                OnHangup::Nothing => None,
                OnHangup::End => hangup(None, &[])?,
                OnHangup::Forward(receiver) => {
                    hangup(Some(receiver), &[SignalKind::user_defined1(), SignalKind::user_defined2()])?
                }
            },
        })
    }

    /// Forwards signals until the process ends.
    async fn forward(mut self, deadlines: Deadlines, interrupts: watch::Sender<u32>) {
        let mut end_at = None;
        loop {
            let overdue = async {
                match end_at {
                    Some(time) => sleep_until(time).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.next() => {}
                () = overdue => end(&deadlines, *interrupts.borrow()),
            }
            interrupts.send_modify(|count| *count += 1);
            end_at = match *interrupts.borrow() {
                // A time beyond the range of the clock means no limit.
                1 => deadlines.first.as_ref().and_then(|(limit, _)| Instant::now().checked_add(*limit)),
                2 => Some(Instant::now() + deadlines.second),
                _ => Some(Instant::now()),
            };
        }
    }

    /// Waits for a signal to stop. SIGHUP counts as one if the terminal of the process is closed, and for a command.
    async fn next(&mut self) {
        loop {
            let hangup = async {
                match &mut self.hangup {
                    Some(hangup) => {
                        hangup.signal.recv().await;
                        hangup
                    }
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                hangup = hangup => {
                    let closed = hangup.in_terminal && !io::stdin().is_terminal();
                    match &hangup.receiver {
                        Some(receiver) if !closed => receiver.send_modify(|count| *count += 1),
                        Some(_) => return,
                        // The shell and the kernel both send one when a terminal is closed, and the second one must not
                        // end the command by force.
                        None if hangup.is_counted => {}
                        None => {
                            hangup.is_counted = true;
                            return;
                        }
                    }
                }
            }
        }
    }
}

/// Ends the process by force. Committed data is safe, and the next start repairs the rest.
fn end(deadlines: &Deadlines, interrupts: u32) -> ! {
    if let (1, Some((_, late))) = (interrupts, &deadlines.first) {
        log::finish(Some(&late()));
    }
    echo::end();
    std::process::exit(130)
}
