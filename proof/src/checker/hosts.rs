//! Checks what several hosts share: locks, messages, numbers of runs, and counters.

use std::collections::HashMap;

use super::Findings;
use crate::history::{History, StoredRun, TAIL_TYPES, Told, Violation};

/// Checks what concerns more than one run.
pub(super) fn check(findings: &mut Findings, history: &History, stored: &[StoredRun]) {
    findings.run = None;
    for _ in 0..history.row_checks {
        findings.check("counters agree with the rows", true, None, String::new);
    }
    for fault in &history.row_faults {
        findings.violations.push(Violation::of_host(format!("counters agree with the rows: {fault}")));
    }
    locks(findings, stored);
    for tail in &history.tails {
        for run in stored {
            findings.begin(&run.id);
            let kept: Vec<u64> = run
                .events
                .iter()
                .filter(|event| TAIL_TYPES.contains(&event.kind.as_str()))
                .map(|event| event.seq)
                .collect();
            let seen = tail.seen.get(&run.id).map_or(&[][..], Vec::as_slice);
            findings.check("a reader of all runs sees every run once", kept == seen, None, || {
                format!("at host {} it saw {seen:?} of {kept:?}", tail.host)
            });
        }
    }
}

/// The times of the first and the last event of a guest, and its run.
type Span<'a> = (i64, i64, &'a str);

/// What guests of runs that hold a lock do does not overlap beyond its capacity. From the first to the last event of a
/// guest, because a claim takes its time before it waits for the lock.
fn locks(findings: &mut Findings, stored: &[StoredRun]) {
    let mut by_lock: HashMap<&str, (usize, Vec<Span<'_>>)> = HashMap::new();
    for run in stored {
        let mut attempts: HashMap<u64, (i64, i64)> = HashMap::new();
        for event in run.events.iter().filter(|event| !event.kind.starts_with("run.")) {
            let span = attempts.entry(event.attempt).or_insert((event.time, event.time));
            span.1 = span.1.max(event.time);
        }
        for (name, capacity) in &run.locks {
            let (_, spans) = by_lock.entry(name).or_insert_with(|| (*capacity, Vec::new()));
            spans.extend(attempts.values().map(|(from, to)| (*from, *to, run.id.as_str())));
        }
    }
    for (name, (capacity, mut spans)) in by_lock {
        spans.sort_unstable();
        let mut held: Vec<Span<'_>> = Vec::new();
        for span in spans {
            held.retain(|(_, to, _)| *to > span.0);
            held.push(span);
            findings.begin(span.2);
            findings.check("no lock is held above its capacity", held.len() <= capacity, None, || {
                format!("{name} has capacity {capacity}: {held:?}")
            });
        }
    }
}

/// No message is noted more often than it was sent.
pub(super) fn notes(findings: &mut Findings, run: &StoredRun, told: &Told) {
    for kind in ["run.signal", "run.parameter", "run.paused", "run.resumed"] {
        let noted = run.events.iter().filter(|event| event.kind == kind).count() as u64;
        let sent = told.sent.get(kind).copied().unwrap_or(0);
        findings.check("no message is noted twice", noted <= sent, None, || {
            format!("{kind} was sent {sent} times, and the log has {noted}")
        });
    }
    for (level, _) in told.levels.iter().filter(|(level, _)| !told.repeated_levels.contains(level)) {
        let noted = run.events.iter().filter(|event| {
            event.kind == "run.parameter" && event.data["name"] == "level" && event.data["value"] == *level
        });
        let noted = noted.count();
        findings.check("no message is noted twice", noted <= 1, None, || {
            format!("level {level} was set once, and noted {noted} times")
        });
    }
    let backwards = run.events.windows(2).find(|pair| pair[1].attempt < pair[0].attempt);
    findings.check("no event of an attempt after the next began", backwards.is_none(), None, || {
        format!("{backwards:?}")
    });
}
