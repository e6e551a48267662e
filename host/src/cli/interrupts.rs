//! Signals of the operating system, heard on a thread of their own.
//!
//! So they are heard whatever the threads of the host do: a process that is stuck can still be asked to end.

use std::future::pending;
use std::io::{self, IsTerminal as _};
use std::sync::mpsc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Exit, echo, log};
use crate::process::start_thread;

/// Time from the second interrupt of a command to its end by force: enough to remove what it has left.
const LAST_TIME: Duration = Duration::from_secs(3);

/// SIGINT and SIGTERM, each as often as it comes.
pub(super) struct Interrupts {
    count: watch::Receiver<u32>,
    /// How many of them [`next`](Self::next) has returned for.
    seen: u32,
}

/// SIGHUP, several at once as one.
pub(super) struct Hangups(watch::Receiver<u32>);

/// When the process ends although it has not come to its end.
struct Bounds {
    /// After the first interrupt, with something to say; none: never.
    first: Option<(Duration, Box<dyn Fn() -> String + Send>)>,
    /// After the second one.
    second: Duration,
}

impl Interrupts {
    /// For a command in a terminal. Other signals do what they do by default.
    pub(super) fn of_command() -> Result<Self, Exit> {
        let bounds = Bounds { first: None, second: LAST_TIME };
        let (sender, count) = watch::channel(0);
        listen(bounds, sender, None)?;
        Ok(Self { count, seen: 0 })
    }

    /// For a host, which has `limit` to stop after the first one, and ends at once at the second. What it says if
    /// it has not stopped is `late`.
    ///
    /// SIGHUP is for whoever reads it; SIGUSR1 and SIGUSR2 are ignored.
    pub(super) fn of_host(
        limit: Duration,
        late: impl Fn() -> String + Send + 'static,
    ) -> Result<(Self, Hangups), Exit> {
        let bounds = Bounds { first: Some((limit, Box::new(late))), second: Duration::ZERO };
        let ((sender, count), (hangup, hangups)) = (watch::channel(0), watch::channel(0));
        listen(bounds, sender, Some(hangup))?;
        Ok((Self { count, seen: 0 }, Hangups(hangups)))
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        let seen = self.seen;
        if self.count.wait_for(|count| *count > seen).await.is_err() {
            pending::<()>().await;
        }
        self.seen += 1;
    }
}

impl Hangups {
    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            pending::<()>().await;
        }
    }
}

/// Returns when no signal goes past any more.
fn listen(
    bounds: Bounds,
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
                    signals.pass_on(bounds, interrupts).await;
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
    /// None: SIGHUP ends the process, as it does by default.
    hangup: Option<Hangup>,
}

struct Hangup {
    signal: Signal,
    pass_on: watch::Sender<u32>,
    /// Kept, for the default of these is to end the process.
    _ignored: [Signal; 2],
    /// Whether the process was started in a terminal.
    in_terminal: bool,
}

impl Signals {
    fn register(hangups: Option<watch::Sender<u32>>) -> io::Result<Self> {
        let hangup = |pass_on| {
            Ok::<_, io::Error>(Hangup {
                signal: signal(SignalKind::hangup())?,
                pass_on,
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

    /// Until the process ends.
    async fn pass_on(mut self, bounds: Bounds, interrupts: watch::Sender<u32>) {
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
                () = overdue => end(&bounds, *interrupts.borrow()),
            }
            interrupts.send_modify(|count| *count += 1);
            end_at = match *interrupts.borrow() {
                // A limit beyond what a clock can say is none.
                1 => bounds.first.as_ref().and_then(|(limit, _)| Instant::now().checked_add(*limit)),
                2 => Some(Instant::now() + bounds.second),
                _ => Some(Instant::now()),
            };
        }
    }

    /// Waits for a signal that asks the process to end. A terminal that has gone away does so too.
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
                    hangup.pass_on.send_modify(|count| *count += 1);
                }
            }
        }
    }
}

/// What is committed is safe; the next start settles the rest.
fn end(bounds: &Bounds, interrupts: u32) -> ! {
    if let (1, Some((_, late))) = (interrupts, &bounds.first) {
        log::finish(Some(&late()));
    }
    echo::end();
    std::process::exit(130)
}
