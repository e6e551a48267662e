//! Threads for what guests do with files, apart from those for the host's own work.
//!
//! A call to a file may never return: a network file system hangs. Then the thread is
//! lost, and so are at most those of the task whose calls they were.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::model::TaskRef;

/// Calls of one task, by all its runs, that are made at once; more wait. What a disk can do at a time
/// for one program.
const TASK_THREADS: usize = 4;
/// Tasks that have threads of their own. Those beyond share them.
const MAX_LANES: usize = 32;

/// The threads of all tasks, started when they are needed.
#[derive(Default)]
pub(in crate::engine) struct FileThreads(Mutex<Lanes>);

#[derive(Default)]
struct Lanes {
    runtimes: Vec<Runtime>,
    of_tasks: HashMap<TaskRef, usize>,
    /// The lane of the next task that finds none.
    next: usize,
}

/// Threads on which one task's calls to files are made.
#[derive(Clone)]
pub(in crate::engine) struct Lane(Handle);

impl FileThreads {
    /// The threads of a task.
    pub(in crate::engine) fn of(&self, task: &TaskRef) -> io::Result<Lane> {
        let mut lanes = self.0.lock();
        if let Some(nth) = lanes.of_tasks.get(task) {
            return Ok(Lane(lanes.runtimes[*nth].handle().clone()));
        }
        let nth = if lanes.runtimes.len() < MAX_LANES {
            // Nothing is driven on it; it has the threads for calls that block, and none before the first.
            let mut builder = Builder::new_current_thread();
            lanes
                .runtimes
                .push(builder.max_blocking_threads(TASK_THREADS).thread_name("guest-file").build()?);
            lanes.runtimes.len() - 1
        } else {
            lanes.next = (lanes.next + 1) % MAX_LANES;
            // Not for ever, or the names of all tasks that ever ran would be kept.
            let shared = lanes.next;
            lanes.of_tasks.retain(|_, nth| *nth != shared);
            shared
        };
        lanes.of_tasks.insert(task.clone(), nth);
        Ok(Lane(lanes.runtimes[nth].handle().clone()))
    }
}

impl Drop for FileThreads {
    fn drop(&mut self) {
        for runtime in self.0.get_mut().runtimes.drain(..) {
            // Not waiting: a call may never return.
            runtime.shutdown_background();
        }
    }
}

impl Lane {
    /// Polls a call of the library, whose blocking part goes to these threads.
    pub(in crate::engine) async fn within<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        poll_fn(|context| {
            let _entered = self.0.enter();
            call.as_mut().poll(context)
        })
        .await
    }

    /// The same for one that begins something and returns.
    pub(in crate::engine) fn enter<T>(&self, call: impl FnOnce() -> T) -> T {
        let _entered = self.0.enter();
        call()
    }

    /// Makes a call that blocks.
    pub(in crate::engine) async fn block<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.0.spawn_blocking(call).await.map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn task(name: &str) -> TaskRef {
        TaskRef::parse_path(name).unwrap()
    }

    #[tokio::test]
    async fn calls_of_one_task_that_never_return_hold_up_no_other() {
        let threads = FileThreads::default();
        let (bad, good) = (threads.of(&task("a/bad")).unwrap(), threads.of(&task("a/good")).unwrap());
        let (release, stuck) = mpsc::channel::<()>();
        let stuck = std::sync::Arc::new(Mutex::new(stuck));
        let hanging: Vec<_> = (0..TASK_THREADS * 3)
            .map(|_| {
                let stuck = std::sync::Arc::clone(&stuck);
                bad.enter(|| tokio::task::spawn_blocking(move || stuck.lock().recv().is_ok()))
            })
            .collect();
        let patience = Duration::from_secs(60);
        let called = tokio::time::timeout(patience, good.block(|| 7)).await;
        assert_eq!(called.unwrap().unwrap(), 7);
        let within = good.within(async { tokio::task::spawn_blocking(|| 8).await.unwrap() });
        assert_eq!(tokio::time::timeout(patience, within).await.unwrap(), 8);
        // And the host's own are neither's.
        assert_eq!(tokio::task::spawn_blocking(|| 9).await.unwrap(), 9);
        drop(release);
        for call in hanging {
            assert!(!call.await.unwrap());
        }
    }

    #[tokio::test]
    async fn there_is_an_end_to_the_threads_of_all_tasks() {
        let threads = FileThreads::default();
        for nth in 0..MAX_LANES * 3 {
            let lane = threads.of(&task(&format!("a/t{nth}"))).unwrap();
            assert_eq!(lane.block(move || nth).await.unwrap(), nth);
        }
        let lanes = threads.0.lock();
        assert!(lanes.runtimes.len() == MAX_LANES && lanes.of_tasks.len() <= MAX_LANES);
    }
}
