//! The ticker, which makes guests that compute yield.
//!
//! Compiled code checks wasmtime's epoch at every loop and call; the ticker's thread
//! increments the epoch. A guest that sees a new epoch yields its thread and queues
//! behind the others. So a guest that never calls the host delays others by at most
//! a tick for each guest that computes on the same thread.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread::{self, Thread};
use std::time::Duration;

use pin_project_lite::pin_project;
use wasmtime::EngineWeak;

use crate::process::start_thread;

/// Longest time that a guest computes without a yield. Each tick costs a task switch
/// (about a microsecond); longer ticks delay others.
const TICK: Duration = Duration::from_millis(3);
/// Ticks without a guest on any thread after which the ticker stops, so that an
/// idle host causes no wake-ups.
const IDLE_TICKS: u32 = 16;

/// Increments the epoch of engines until they are dropped.
pub(in crate::engine) struct Ticker {
    /// The number of guests on a thread.
    executing: AtomicUsize,
    stopped: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

impl Ticker {
    /// Starts the ticker's thread.
    pub(in crate::engine) fn start(engines: Vec<EngineWeak>) -> io::Result<Arc<Self>> {
        let ticker = Arc::new(Self {
            executing: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            thread: std::sync::OnceLock::new(),
        });
        let weak = Arc::downgrade(&ticker);
        let thread = start_thread("guest-ticker", move || {
            let mut idle = 0;
            while let Some(ticker) = weak.upgrade() {
                let alive = engines.iter().filter_map(EngineWeak::upgrade);
                if alive.map(|engine| engine.increment_epoch()).count() == 0 {
                    break;
                }
                idle = if ticker.executing.load(Ordering::Relaxed) == 0 { idle + 1 } else { 0 };
                if idle < IDLE_TICKS {
                    drop(ticker);
                    thread::sleep(TICK);
                } else {
                    ticker.wait_for_work();
                    idle = 0;
                }
            }
        })?;
        let _ = ticker.thread.set(thread.thread().clone());
        Ok(ticker)
    }

    fn wait_for_work(&self) {
        // Stores before it checks again: a guest that starts in between sees the flag and wakes this thread.
        self.stopped.store(true, Ordering::SeqCst);
        if self.executing.load(Ordering::SeqCst) == 0 {
            // With a timeout, to notice when the engines are dropped.
            thread::park_timeout(Duration::from_secs(1));
        }
        self.stopped.store(false, Ordering::SeqCst);
    }

    /// Keeps the ticker running while `future` is polled.
    pub(in crate::engine) fn watch<F>(ticker: &Arc<Self>, future: F) -> Watched<F> {
        Watched { ticker: Arc::clone(ticker), future }
    }
}

pin_project! {
    /// A future whose polls keep the ticker running.
    pub(in crate::engine) struct Watched<F> {
        ticker: Arc<Ticker>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _executing = Executing::new(this.ticker);
        this.future.poll(context)
    }
}

/// Counts one guest as executing, until it is dropped: also after a panic.
struct Executing<'a>(&'a Ticker);

impl<'a> Executing<'a> {
    fn new(ticker: &'a Ticker) -> Self {
        ticker.executing.fetch_add(1, Ordering::SeqCst);
        if ticker.stopped.load(Ordering::SeqCst)
            && let Some(thread) = ticker.thread.get()
        {
            thread.unpark();
        }
        Self(ticker)
    }
}

impl Drop for Executing<'_> {
    fn drop(&mut self) {
        self.0.executing.fetch_sub(1, Ordering::Relaxed);
    }
}
