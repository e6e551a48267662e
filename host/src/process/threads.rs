//! Threads on systems that may have none left.
//!
//! Libraries start threads and panic if there are none. So their number is checked in advance, where an error can still be
//! reported.

use std::any::Any;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Advice for the operator.
const REMEDY: &str = "raise the limit of threads (pids.max, TasksMax, ulimit -u) or of memory (ulimit -v)";

/// Checks whether this process can start `count` more threads, by starting them for a moment.
pub fn can_start(count: usize) -> io::Result<()> {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let (mut threads, mut refused) = (Vec::new(), None);
    while threads.len() < count && refused.is_none() {
        let gate = Arc::clone(&gate);
        match thread::Builder::new().spawn(move || drop(gate.lock())) {
            Ok(thread) => threads.push(thread),
            Err(error) => refused = Some(error),
        }
    }
    drop(closed);
    for thread in threads {
        // The thread does nothing that could panic.
        let _ = thread.join();
    }
    refused.map_or(Ok(()), |error| Err(none_left(count, &error)))
}

/// Starts a thread. The error contains advice for the operator.
pub fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| none_left(1, &error))
}

/// Builds a runtime with `workers` threads, if the system can start them and `others` more.
pub fn start_runtime(builder: &mut Builder, workers: usize, others: usize) -> io::Result<Runtime> {
    can_start(workers + others)?;
    // Other processes may have used them up meanwhile.
    panic::catch_unwind(AssertUnwindSafe(|| builder.worker_threads(workers).build()))
        .unwrap_or_else(|panic| Err(none_left(workers, &panicked(&*panic))))
}

/// [`tokio::task::spawn_blocking`], with an error instead of a panic if the system has no thread.
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    panic::catch_unwind(AssertUnwindSafe(|| tokio::task::spawn_blocking(work)))
        .map_err(|panic| none_left(1, &panicked(&*panic)))
}

fn none_left(count: usize, error: &io::Error) -> io::Error {
    let threads = if count == 1 { "a thread".to_owned() } else { format!("{count} threads") };
    io::Error::new(error.kind(), format!("the system does not give {threads}: {error}; {REMEDY}"))
}

fn panicked(panic: &(dyn Any + Send)) -> io::Error {
    io::Error::other(panic_message(panic).unwrap_or("a panic without a word").to_owned())
}

/// Message of a panic, if any.
pub fn panic_message(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
}

/// Whether the message of a panic is tokio's for a failed start of a thread in [`tokio::task::spawn_blocking`].
pub fn is_threadless(message: &str) -> bool {
    message.starts_with("OS can't spawn worker thread")
}
