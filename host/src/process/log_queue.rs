//! Queue of log lines to be written.
//!
//! Lines are put into a bounded queue, and a separate thread writes them. So logging never waits for a stopped reader, a full
//! disk or a closed pipe. Lines that don't fit or can't be written are dropped and counted.
//!
//! Not `tracing-appender`: its guard prints to the standard error when the writer is stuck,
//! which is that same pipe, and so keeps the process from exiting for ever. It also bounds
//! lines and not bytes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::threads::start_thread;

/// Most bytes in the queue: some thousand lines, enough for a short pause of the reader.
const MAX_BYTES: usize = 1 << 20;
/// Overhead per line, so that the number of empty lines is limited, too.
const LINE_OVERHEAD_BYTES: usize = 64;
/// Bytes in the queue below which dropped lines are reported, so that the report does not take the space of the next burst.
const ROOM_TO_REPORT_BYTES: usize = MAX_BYTES / 2;
/// Pause before a write to a full non-blocking output is retried.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Number of lines that this process has dropped. Global, because a process has one log.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Number of log lines that were dropped since the process started.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Writer into the queue. Each write is one line, never waits and never fails.
#[derive(Clone)]
pub struct LogQueue(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Notified when a line is added.
    came: Condvar,
    /// Notified when all lines are written or dropped.
    idle: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether the thread is writing a line that it has taken.
    writing: bool,
    /// Lines dropped since the last report.
    dropped: u64,
}

impl LogQueue {
    /// Starts the thread that writes to `output`. After lines were dropped, it calls `report` with their number as soon as there
    /// is space again.
    pub fn start(
        output: impl Write + Send + 'static,
        report: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let queue =
            Self(Arc::new(Shared { queue: Mutex::default(), came: Condvar::new(), idle: Condvar::new() }));
        let shared = Arc::clone(&queue.0);
        let mut output = Output { output, torn: false };
        start_thread("log", move || {
            loop {
                let written = output.line(&shared.next());
                if let Some(dropped) = shared.written(written.is_ok()) {
                    report(dropped);
                }
            }
        })?;
        Ok(queue)
    }

    /// Adds a line if there is space.
    pub fn push(&self, line: &[u8]) {
        let mut queue = self.0.queue.lock();
        let size = line.len() + LINE_OVERHEAD_BYTES;
        if queue.bytes + size > MAX_BYTES {
            queue.drop_line();
            return;
        }
        queue.bytes += size;
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.0.came.notify_one();
    }

    /// Waits until all lines are written or dropped, for at most `limit`. Returns whether they are.
    pub fn flush(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut queue = self.0.queue.lock();
        while queue.writing || !queue.lines.is_empty() {
            if self.0.idle.wait_until(&mut queue, until).timed_out() {
                return false;
            }
        }
        true
    }
}

impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn drop_line(&mut self) {
        self.dropped += 1;
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn next(&self) -> Vec<u8> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len() + LINE_OVERHEAD_BYTES;
                queue.writing = true;
                return line;
            }
            queue.writing = false;
            self.idle.notify_all();
            self.came.wait(&mut queue);
        }
    }

    /// Records the result of writing a line. Returns the number of dropped lines to report.
    fn written(&self, whole: bool) -> Option<u64> {
        let mut queue = self.queue.lock();
        if !whole {
            queue.drop_line();
        }
        let report = whole && queue.dropped > 0 && queue.bytes <= ROOM_TO_REPORT_BYTES;
        report.then(|| std::mem::take(&mut queue.dropped))
    }
}

/// Output of the lines.
struct Output<W> {
    output: W,
    /// Whether the last line was written only partially.
    torn: bool,
}

impl<W: Write> Output<W> {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.all(b"\n")?;
            self.torn = false;
        }
        self.all(line)?;
        self.output.flush()
    }

    fn all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.output.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = &bytes[count..];
                    self.torn = !bytes.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_PAUSE),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// An output whose writes wait for a result from the test.
    struct Told {
        answers: Receiver<io::Result<usize>>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let answer = self.answers.recv().unwrap_or(Ok(usize::MAX));
            let count = answer?.min(bytes.len());
            let _ = self.written.send(bytes[..count].to_vec());
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Log {
        queue: LogQueue,
        /// None: every further write succeeds.
        answers: Option<Sender<io::Result<usize>>>,
        written: Receiver<Vec<u8>>,
        reports: Receiver<u64>,
    }

    fn log() -> Log {
        let ((answers, answered), (sender, written)) = (mpsc::channel(), mpsc::channel());
        let (report, reports) = mpsc::channel();
        let output = Told { answers: answered, written: sender };
        let queue = LogQueue::start(output, move |count| {
            let _ = report.send(count);
        })
        .unwrap();
        Log { queue, answers: Some(answers), written, reports }
    }

    impl Log {
        fn answer(&self, answer: io::Result<usize>) {
            self.answers.as_ref().unwrap().send(answer).unwrap();
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_that_has_stopped_and_dropped_lines_are_reported_when_it_goes_on() {
        let mut log = log();
        let line = vec![b'x'; 1024];
        let lines = 2 * MAX_BYTES / line.len();
        // The test gives no results, so the first write never returns.
        for _ in 0..lines {
            log.queue.push(&line);
        }
        assert!(!log.queue.flush(Duration::ZERO), "it is stuck, and says so in time");
        let dropped = log.queue.0.queue.lock().dropped;
        let waiting = log.queue.0.queue.lock().lines.len() as u64;
        assert!(dropped > 0 && log.queue.0.queue.lock().bytes <= MAX_BYTES);

        log.answers = None;
        assert_eq!(log.reports.recv_timeout(PATIENCE), Ok(dropped));
        assert!(log.queue.flush(PATIENCE));
        let written = log.written.try_iter().count() as u64;
        // The thread may have taken a line before all were added.
        assert!((waiting..=waiting + 1).contains(&written) && written + dropped == lines as u64);
        assert_eq!(log.reports.try_iter().count(), 0, "reported once");
    }

    #[test]
    fn lines_that_cannot_be_written_are_dropped_and_the_next_one_begins_a_line_of_its_own() {
        let mut log = log();
        log.answer(Ok(3));
        log.answer(Err(ErrorKind::StorageFull.into()));
        log.queue.push(b"first\n");
        log.answer(Err(ErrorKind::StorageFull.into()));
        log.queue.push(b"second\n");
        assert!(log.queue.flush(PATIENCE), "given up");
        assert_eq!(log.queue.0.queue.lock().dropped, 2);
        assert_eq!(log.reports.try_iter().count(), 0, "no report before there is room");

        log.answers = None;
        log.queue.push(b"third\n");
        assert_eq!(log.reports.recv_timeout(PATIENCE), Ok(2));
        let written: Vec<u8> = log.written.try_iter().flatten().collect();
        assert_eq!(String::from_utf8(written).unwrap(), "fir\nthird\n");
    }

    #[test]
    fn an_output_that_does_not_block_is_waited_for() {
        let mut log = log();
        log.answer(Err(ErrorKind::WouldBlock.into()));
        log.answer(Err(ErrorKind::Interrupted.into()));
        log.answer(Ok(2));
        log.answers = None;
        log.queue.push(b"line\n");
        assert!(log.queue.flush(PATIENCE));
        assert_eq!(log.queue.0.queue.lock().dropped, 0);
        assert_eq!(log.written.try_iter().flatten().collect::<Vec<u8>>(), b"line\n");
    }
}
