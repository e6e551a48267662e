//! Threads, where the system may have none left to give.
//!
//! Libraries start threads of their own and panic when there are none. So they are asked for
//! beforehand, where an error can still be told.

use std::any::Any;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// What an operator can do about it.
const REMEDY: &str = "raise the limit of threads (pids.max, TasksMax, ulimit -u) or of memory (ulimit -v)";

/// Whether this process can have `count` more threads at once, found out by having them for a
/// moment.
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
        // It does nothing that could panic.
        let _ = thread.join();
    }
    refused.map_or(Ok(()), |error| Err(none_left(count, &error)))
}

/// Starts a thread, with an error that says what to do.
pub fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| none_left(1, &error))
}

/// Builds a runtime with `workers` threads, if they and `others` beside them can be had.
pub fn start_runtime(builder: &mut Builder, workers: usize, others: usize) -> io::Result<Runtime> {
    can_start(workers + others)?;
    // Others may have taken them meanwhile.
    panic::catch_unwind(AssertUnwindSafe(|| builder.worker_threads(workers).build()))
        .unwrap_or_else(|panic| Err(none_left(workers, &panicked(&*panic))))
}

/// [`tokio::task::spawn_blocking`], with an error where that panics because there is no thread
/// for it.
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

/// What a panic said, if it said something.
pub fn panic_message(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
}

/// Whether a panic's message is tokio's, when it has no thread for
/// [`tokio::task::spawn_blocking`].
pub fn is_threadless(message: &str) -> bool {
    message.starts_with("OS can't spawn worker thread")
}
