//! Watches the size of the write-ahead log, and finds the programs that keep it from restarting.
//!
//! The log restarts when all of it is in the database and no reader needs an older state. A program that keeps a
//! transaction open, such as a forgotten shell, makes it grow.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::storage::Condition;

/// Pages of write-ahead log after which it is copied into the database (16
/// MiB): rarely enough to cost little, often enough to bound the log.
pub(super) const CHECKPOINT_PAGES: u64 = 4096;
/// Bytes of a page in the log, with its header.
const FRAME_BYTES: u64 = 4096 + 24;
/// Pages from which the log counts as long: twice its usual length when it is copied. A group of large events can exceed
/// the usual length.
const LONG: u64 = 2 * CHECKPOINT_PAGES;
/// Number of incomplete copies in a row before the warning: one may be caused by a list that the host itself reads.
const TIMES: u32 = 2;
/// Most bytes that are read of the system's locks, and most programs that the warning names.
const MAX_LOCKS_BYTES: u64 = 1 << 20;
const MAX_NAMED: usize = 5;
/// Bytes of the index that readers lock to keep a state (https://sqlite.org/walformat.html, section 2.3.1).
const READ_MARKS: std::ops::RangeInclusive<u64> = 123..=127;

/// Result of copying the log into the database, in pages.
pub(super) struct Copied {
    /// Pages in the log.
    pub(super) pages: u64,
    /// Pages of the log that are in the database.
    pub(super) copied: u64,
}

/// Watches the size of the log.
pub(super) struct LogSize {
    index: PathBuf,
    /// Number of times in a row that it was long and not fully copied.
    held_up: u32,
    condition: Arc<Mutex<Condition>>,
}

impl LogSize {
    /// Watches the log of the database at that path.
    pub(super) fn new(database: &Path, condition: Arc<Mutex<Condition>>) -> Self {
        let mut index = database.as_os_str().to_owned();
        index.push("-shm");
        Self { index: index.into(), held_up: 0, condition }
    }

    /// Where the size and the warning are reported.
    pub(super) fn condition(&self) -> Arc<Mutex<Condition>> {
        Arc::clone(&self.condition)
    }

    /// Records a copy. Warns once if a reader blocks it, and logs once when that is over.
    pub(super) fn copied(&mut self, copied: &Copied) {
        let is_held_up = copied.pages >= LONG && copied.copied < copied.pages;
        self.held_up = if is_held_up { self.held_up.saturating_add(1) } else { 0 };
        if is_held_up && self.held_up == TIMES {
            let mib = bytes(copied.pages) >> 20;
            let who = match &*readers(&self.index) {
                [] => "a program that can't be seen from here".to_owned(),
                readers => readers.join(", "),
            };
            let warning = format!(
                "the write-ahead log grows ({mib} MiB now), because a transaction of {who} reads an old state of the \
                 database; it shrinks when that transaction ends"
            );
            tracing::warn!("{warning}");
            self.condition.lock().warning = Some(warning);
        } else if !is_held_up && self.condition.lock().warning.take().is_some() {
            tracing::info!(
                "no transaction reads an old state of the database any more; the write-ahead log restarts"
            );
        }
    }
}

/// The size of a log with that many pages.
pub(super) fn bytes(pages: u64) -> u64 {
    pages * FRAME_BYTES
}

/// The other programs that keep an old state, as far as the system lists them.
fn readers(index: &Path) -> Vec<String> {
    let (Ok(index), Ok(locks)) = (fs::metadata(index), File::open("/proc/locks")) else { return Vec::new() };
    let lines = BufReader::new(locks.take(MAX_LOCKS_BYTES)).lines().map_while(Result::ok);
    let mut processes: Vec<u32> = lines.filter_map(|line| reader(&line, index.ino())).collect();
    processes.sort_unstable();
    processes.dedup();
    processes.retain(|process| *process != std::process::id());
    processes.truncate(MAX_NAMED);
    processes.into_iter().map(named).collect()
}

/// The process of a lock, if a reader holds it: `1: POSIX ADVISORY READ 4711 08:01:131 123 123`.
fn reader(lock: &str, inode: u64) -> Option<u32> {
    let mut words = lock.split_whitespace();
    let is_read = words.nth(3)? == "READ";
    let process = words.next()?.parse().ok()?;
    let is_of_index = words.next()?.rsplit(':').next()?.parse() == Ok(inode);
    let is_mark = READ_MARKS.contains(&words.next()?.parse().ok()?);
    (is_read && is_of_index && is_mark).then_some(process)
}

fn named(process: u32) -> String {
    match fs::read_to_string(format!("/proc/{process}/comm")) {
        Ok(name) => format!("process {process} ({})", name.trim_end()),
        Err(_) => format!("process {process}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_known_by_its_lock() {
        assert_eq!(reader("1: POSIX  ADVISORY  READ 4711 08:01:131 123 123", 131), Some(4711));
        for other in [
            "1: POSIX  ADVISORY  READ 4711 08:01:132 123 123",
            "1: POSIX  ADVISORY  READ 4711 08:01:131 128 128",
            "1: POSIX  ADVISORY  WRITE 4711 08:01:131 123 123",
            "1: OFDLCK ADVISORY  READ -1 08:01:131 123 123",
            "1: -> POSIX ADVISORY READ",
            "",
        ] {
            assert_eq!(reader(other, 131), None, "{other}");
        }
    }

    #[test]
    fn the_warning_needs_a_log_that_is_long_and_stays_blocked() {
        let log = || LogSize::new(Path::new("/nonexistent/db"), Arc::default());
        let warned = |copies: &[(u64, u64)]| {
            let mut log = log();
            copies.iter().for_each(|&(pages, copied)| log.copied(&Copied { pages, copied }));
            log.condition().lock().warning.is_some()
        };
        let long = (LONG, LONG - 1);
        assert!(warned(&[long, long]) && warned(&[long, long, long]));
        assert!(!warned(&[long]), "once may be the host's own reader");
        assert!(!warned(&[long, (LONG, LONG), long]), "it was free in between");
        assert!(!warned(&[(LONG, LONG); 9]), "a large group alone");
        assert!(!warned(&[(LONG - 1, 0); 9]), "short");
        assert!(!warned(&[long, long, (10, 10)]), "it is over");
    }
}
