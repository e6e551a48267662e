//! Threads for the file calls of guests, separate from those for the host's own work.
//!
//! A call to a file may never return, on a network file system that hangs. Its thread is lost
//! then, so each task has a pool of its own: a task can lose only the threads of its pool.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::model::TaskRef;

/// Most concurrent calls of one task, by all its runs; others queue. About as many as a disk serves at a time
/// for one program.
const TASK_THREADS: usize = 4;
/// Most pools. Further tasks share them.
const MAX_POOLS: usize = 32;

/// The pools of all tasks. Threads are started when they are needed.
#[derive(Default)]
pub(in crate::engine) struct FilePools(Mutex<PoolMap>);

#[derive(Default)]
struct PoolMap {
    runtimes: Vec<Runtime>,
    of_tasks: HashMap<TaskRef, usize>,
    /// The pool that the next task shares.
    next: usize,
}

/// The threads for the file calls of one task.
#[derive(Clone)]
pub(in crate::engine) struct FilePool(Handle);

impl FilePools {
    /// The pool of a task.
    pub(in crate::engine) fn of(&self, task: &TaskRef) -> io::Result<FilePool> {
        let mut pools = self.0.lock();
        if let Some(nth) = pools.of_tasks.get(task) {
            return Ok(FilePool(pools.runtimes[*nth].handle().clone()));
        }
        let nth = if pools.runtimes.len() < MAX_POOLS {
            // No future runs on it. It has only blocking threads, started by the first call.
            let mut builder = Builder::new_current_thread();
            pools
                .runtimes
                .push(builder.max_blocking_threads(TASK_THREADS).thread_name("guest-file").build()?);
            pools.runtimes.len() - 1
        } else {
            pools.next = (pools.next + 1) % MAX_POOLS;
            // The earlier owner is forgotten, or the names of all tasks that ever ran would be kept.
            let shared = pools.next;
            pools.of_tasks.retain(|_, nth| *nth != shared);
            shared
        };
        pools.of_tasks.insert(task.clone(), nth);
        Ok(FilePool(pools.runtimes[nth].handle().clone()))
    }
}

impl Drop for FilePools {
    fn drop(&mut self) {
        for runtime in self.0.get_mut().runtimes.drain(..) {
            // Without waiting, because a call may never return.
            runtime.shutdown_background();
        }
    }
}

impl FilePool {
    /// Polls a call of the library, whose blocking part runs on these threads.
    pub(in crate::engine) async fn within<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        poll_fn(|context| {
            let _entered = self.0.enter();
            call.as_mut().poll(context)
        })
        .await
    }

    /// Makes a call that starts blocking work on these threads and returns.
    pub(in crate::engine) fn enter<T>(&self, call: impl FnOnce() -> T) -> T {
        let _entered = self.0.enter();
        call()
    }

    /// Makes a blocking call on these threads.
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
    async fn calls_of_one_task_that_never_return_block_no_other_task() {
        let threads = FilePools::default();
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
        // Nor are the host's own threads affected.
        assert_eq!(tokio::task::spawn_blocking(|| 9).await.unwrap(), 9);
        drop(release);
        for call in hanging {
            assert!(!call.await.unwrap());
        }
    }

    #[tokio::test]
    async fn the_number_of_pools_is_bounded() {
        let threads = FilePools::default();
        for nth in 0..MAX_POOLS * 3 {
            let pool = threads.of(&task(&format!("a/t{nth}"))).unwrap();
            assert_eq!(pool.block(move || nth).await.unwrap(), nth);
        }
        let pools = threads.0.lock();
        assert!(pools.runtimes.len() == MAX_POOLS && pools.of_tasks.len() <= MAX_POOLS);
    }
}
