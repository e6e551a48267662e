//! Signals of the operating system, received on a thread of their own, so that a process whose other threads are stuck
//! can still be stopped.

use std::future::pending;
use std::io::{self, IsTerminal as _};
use std::sync::mpsc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Exit, echo, log};
use crate::process::start_thread;

/// Time from the second interrupt of a command until it is ended by force: enough to remove its temporary files.
const CLEANUP_TIME: Duration = Duration::from_secs(3);

/// Receiver of SIGINT and SIGTERM. Each signal counts.
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
    /// For a command in a terminal. Other signals keep their default actions.
    pub(super) fn of_command() -> Result<Self, Exit> {
        let deadlines = Deadlines { first: None, second: CLEANUP_TIME };
        let (sender, count) = watch::channel(0);
        listen(deadlines, sender, None)?;
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
        listen(deadlines, sender, Some(hangup))?;
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

/// Starts the thread. When this returns, the handlers of all signals are installed.
fn listen(
    deadlines: Deadlines,
    interrupts: watch::Sender<u32>,
    hangups: Option<watch::Sender<u32>>,
) -> Result<(), Exit> {
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
    /// None: SIGHUP has its default action, which ends the process.
    hangup: Option<Hangup>,
}

struct Hangup {
    signal: Signal,
    receiver: watch::Sender<u32>,
    /// Handlers of signals whose default action ends the process.
    _ignored: [Signal; 2],
    /// Whether the process was started in a terminal.
    in_terminal: bool,
}

impl Signals {
    fn register(hangups: Option<watch::Sender<u32>>) -> io::Result<Self> {
        let hangup = |receiver| {
            Ok::<_, io::Error>(Hangup {
                signal: signal(SignalKind::hangup())?,
                receiver,
                _ignored: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
                in_terminal: io::stdin().is_terminal(),
            })
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangups.map(hangup).transpose()?,
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

    /// Waits for a signal to stop. SIGHUP counts as one if the terminal of the process is closed.
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
                    if hangup.in_terminal && !io::stdin().is_terminal() {
                        return;
                    }
                    hangup.receiver.send_modify(|count| *count += 1);
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
