//! Threads of a host that stand still, as one does that waits for a disk which never answers.

use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often to look whether the thread has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A thread that stands still until this is dropped.
pub struct Stalled {
    release: Option<Sender<()>>,
    /// Only the thread that has stopped another may let it go on.
    tracer: Option<JoinHandle<()>>,
}

impl Stalled {
    /// Stops the thread of that name. None if this system does not let a process stop a thread of its child.
    pub fn thread(process: u32, name: &str) -> Option<Self> {
        let id = thread_id(process, name).unwrap_or_else(|| panic!("no thread {name} in {process}"));
        let ((release, released), (stopped, is_stopped)) = (mpsc::channel::<()>(), mpsc::channel());
        let tracer = thread::spawn(move || {
            let none = std::ptr::null_mut::<libc::c_void>();
            // SAFETY: these calls take no memory of this process but the status.
            unsafe {
                let mut status = 0;
                let seized = libc::ptrace(libc::PTRACE_SEIZE, id, none, none) == 0
                    && libc::ptrace(libc::PTRACE_INTERRUPT, id, none, none) == 0
                    && libc::waitpid(id, &mut status, libc::__WALL) == id;
                let _ = stopped.send(seized);
                // A process ends only when whoever traces its threads has heard of their end.
                while seized && released.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    if libc::waitpid(id, &mut status, libc::__WALL | libc::WNOHANG) != 0 {
                        return;
                    }
                }
                if seized {
                    libc::ptrace(libc::PTRACE_DETACH, id, none, none);
                }
            }
        });
        let stopped = is_stopped.recv().unwrap_or(false);
        stopped.then_some(Self { release: Some(release), tracer: Some(tracer) })
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(tracer) = self.tracer.take() {
            let _ = tracer.join();
        }
    }
}

fn thread_id(process: u32, name: &str) -> Option<libc::pid_t> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    threads.flatten().find_map(|thread| {
        let own = fs::read_to_string(thread.path().join("comm")).ok()?;
        // The kernel keeps 15 bytes of a name.
        (own.trim_end() == &name[..name.len().min(15)]).then(|| thread.file_name().to_str()?.parse().ok())?
    })
}
