//! Log lines on their way to whoever reads them.
//!
//! A line is put into a bounded queue, and a thread of its own writes it. So nobody who logs
//! waits for a reader that has stopped, a full disk or a closed pipe. Lines that find no room,
//! or that can't be written, are dropped and counted.
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

/// Most bytes that wait to be written: some thousand lines, which a reader that pauses for a
/// moment does not lose, and little enough to have beside everything else.
const MAX_BYTES: usize = 1 << 20;
/// What a line takes besides its text, so that empty lines are bounded too.
const LINE_OVERHEAD_BYTES: usize = 64;
/// Dropped lines are reported when the queue is down to this: the report shall not take the
/// room of the next burst.
const ROOM_TO_REPORT_BYTES: usize = MAX_BYTES / 2;
/// Pause before an output is tried again that is set not to block and takes nothing now.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Lines that this process has dropped. A process has one log.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines of the log were dropped since the process began.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The way into the log. Each write is one line, never waits and never fails.
#[derive(Clone)]
pub struct LogQueue(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Notified when a line comes.
    came: Condvar,
    /// Notified when all lines are written or given up.
    idle: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The thread is not done with what it has taken out.
    writing: bool,
    /// Lines dropped since that was last reported.
    dropped: u64,
}

impl LogQueue {
    /// Starts the thread that writes to `output`. When there is room again after lines were
    /// dropped, `report` is called with their number, on that thread.
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

    /// Puts a line in, if there is room.
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

    /// Waits until all that was put in is written or given up, at most for `limit`. Returns
    /// whether it is.
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

    /// Takes in what became of the line, and returns how many dropped lines are to be reported.
    fn written(&self, whole: bool) -> Option<u64> {
        let mut queue = self.queue.lock();
        if !whole {
            queue.drop_line();
        }
        let report = whole && queue.dropped > 0 && queue.bytes <= ROOM_TO_REPORT_BYTES;
        report.then(|| std::mem::take(&mut queue.dropped))
    }
}

/// Where lines go.
struct Output<W> {
    output: W,
    /// The last line broke off in its middle.
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

    /// An output that answers each write as it is told, and waits until it is.
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
        // Nothing is answered, so the first write never returns.
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
        // The thread may have taken one out before all were in.
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
