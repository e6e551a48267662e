//! Checks the operations that the host acknowledged.

use std::collections::HashMap;

use super::Findings;
use crate::history::{StoredRun, Told};

/// Each request started exactly one run, however often it was repeated, and the run still
/// exists.
pub(super) fn runs_are_there_once(findings: &mut Findings, told: &[Told], stored: &[StoredRun]) {
    let mut by_nth: HashMap<Option<u64>, Vec<&StoredRun>> = HashMap::new();
    for run in stored {
        by_nth.entry(run.input["nth"].as_u64()).or_default().push(run);
    }
    for told in told {
        let runs = by_nth.get(&Some(told.work.nth)).map_or(&[][..], Vec::as_slice);
        findings.run = told.ids.first().cloned();
        let same = told.ids.windows(2).all(|pair| pair[0] == pair[1]) && runs.len() <= 1;
        findings.check("exactly one run per key", same, None, || {
            let stored: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
            format!("key {:?}, own id {:?}: answers {:?}, stored {stored:?}", told.key, told.own_id, told.ids)
        });
        let own = told.own_id.as_ref().is_none_or(|own| told.ids.iter().all(|id| id == own));
        findings.check("exactly one run per key", own, None, || {
            format!("asked for {:?}, got {:?}", told.own_id, told.ids)
        });
        if let Some(id) = told.ids.first() {
            let kept = runs.iter().find(|run| run.id == *id);
            let there = kept.is_some_and(|run| run.input == told.work.input() && run.key == told.key);
            findings.check("every started run exists", there, None, || format!("stored: {kept:?}"));
        }
    }
}

pub(super) fn check(findings: &mut Findings, run: &StoredRun, told: &Told) {
    for fault in &told.faults {
        findings.check("no client detects a fault", false, None, || fault.clone());
    }
    if let Some(acknowledged) = told.cancel {
        findings.check(
            "an acknowledged cancel takes effect",
            !acknowledged || run.status == "cancelled",
            run.last_seq,
            || format!("it ended as {}", run.status),
        );
    } else {
        findings.check(
            "no run is cancelled without a request",
            run.status != "cancelled",
            run.last_seq,
            || "nobody asked for it".to_owned(),
        );
    }
    notes(findings, run, told);
    signals(findings, run, told);
    levels(findings, run, told);
}

/// The log has all operations on the run.
fn notes(findings: &mut Findings, run: &StoredRun, told: &Told) {
    let sent = |list: &[(u64, bool)]| list.iter().filter(|(_, acknowledged)| *acknowledged).count() as u64;
    for (kind, acknowledged) in [
        ("run.signal", sent(&told.signals)),
        ("run.parameter", sent(&told.levels) + u64::from(told.stopped)),
        ("run.paused", told.pauses),
        ("run.resumed", told.resumes),
    ] {
        let noted = run.events.iter().filter(|event| event.kind == kind).count() as u64;
        // A run that ended during an operation does not have to record it: an interrupted
        // one, and one that received `stop`.
        let ended = u64::from(run.status != "completed" || kind == "run.parameter");
        findings.check("acknowledged operations are in the log", noted + ended >= acknowledged, None, || {
            format!("the host acknowledged {kind} {acknowledged} times, and the log has {noted}")
        });
    }
}

/// Signals are received at most once and in order. An acknowledged signal can be lost if
/// the host is killed while it is delivered: at most one per interrupted attempt.
fn signals(findings: &mut Findings, run: &StoredRun, told: &Told) {
    let heard: Vec<u64> = run
        .events
        .iter()
        .filter(|event| event.kind == "heard")
        .map(|event| event.data["signal"].as_u64().unwrap_or(0))
        .collect();
    let in_order = heard.windows(2).all(|pair| pair[0] < pair[1]);
    findings.check("signals are received at most once, in order", in_order, None, || format!("{heard:?}"));
    let sent = heard.iter().all(|signal| told.signals.iter().any(|(sent, _)| sent == signal));
    findings
        .check("only sent signals are received", sent, None, || format!("{heard:?} of {:?}", told.signals));
    if run.status != "completed" || !told.work.hear {
        return;
    }
    let waits = |signal: u64| run.signals.iter().any(|waiting| *waiting == signal);
    let missing: Vec<u64> = told
        .signals
        .iter()
        .filter(|(signal, acknowledged)| *acknowledged && !heard.contains(signal) && !waits(*signal))
        .map(|(signal, _)| *signal)
        .collect();
    let cut_off = run.events.iter().filter(|event| event.kind == "run.retrying").count();
    findings.check("no signal is lost", missing.len() <= cut_off, None, || {
        format!("{missing:?} were neither heard nor wait, after {cut_off} attempts that were cut off")
    });
}

/// The stored value is the last acknowledged one or a later one.
fn levels(findings: &mut Findings, run: &StoredRun, told: &Told) {
    let sure = told.levels.iter().filter(|(_, acknowledged)| *acknowledged).map(|(level, _)| *level).max();
    let kept = run.parameters.get("level").and_then(serde_json::Value::as_u64);
    findings
        .check("no parameter is lost", kept >= sure, None, || format!("{sure:?} was set, {kept:?} is kept"));
    let read: Vec<(u64, u64)> = run
        .events
        .iter()
        .filter(|event| event.kind == "level")
        .map(|event| (event.seq, event.data["level"].as_u64().unwrap_or(0)))
        .collect();
    for pair in read.windows(2) {
        findings.check("no parameter is lost", pair[0].1 <= pair[1].1, pair[1].0, || {
            format!("the run read {} after {}", pair[1].1, pair[0].1)
        });
    }
    if run.status == "completed" && told.work.hear {
        let last = read.last().map(|(_, level)| *level);
        findings.check("no parameter is lost", last >= sure, None, || {
            format!("the run last read {last:?} of {sure:?}")
        });
    }
}
