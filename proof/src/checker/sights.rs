//! Checks that all events that a client received are in the log, unchanged, in order and
//! without gaps.

use std::collections::HashMap;

use serde_json::Value;
use streamtask_host::model::Timestamp;

use super::Findings;
use crate::history::{End, Sight, StoredEvent, StoredRun};

pub(super) fn check(findings: &mut Findings, sights: &[Sight], stored: &HashMap<&str, &StoredRun>) {
    for sight in sights {
        findings.begin(&sight.run);
        let Some(run) = stored.get(sight.run.as_str()) else {
            findings.check("no received event is lost", false, None, || {
                format!("{} followed a run that is not there", sight.client)
            });
            continue;
        };
        follow(findings, sight, run);
    }
}

fn follow(findings: &mut Findings, sight: &Sight, run: &StoredRun) {
    let mut expected = sight.after;
    let mut last_kind = None;
    for line in &sight.lines {
        expected += 1;
        let seen: Value = serde_json::from_str(line).unwrap_or_default();
        let seq = seen["seq"].as_u64();
        findings.check("no client receives gaps or duplicates", seq == Some(expected), expected, || {
            format!("{} got {line} after event {}", sight.client, expected - 1)
        });
        let Some(seq) = seq else { return };
        expected = seq;
        let kept = event(run, seq);
        findings.check("no received event is lost", kept.is_some(), seq, || {
            format!("{} saw {line}", sight.client)
        });
        let Some(kept) = kept else { continue };
        findings.check("no received event has changed", is_same(&seen, kept), seq, || {
            format!("{} saw {line}, and the log has {kept:?}", sight.client)
        });
        last_kind = Some(kept.kind.as_str());
    }
    match sight.end {
        End::Broken | End::Closing => {}
        End::Over => {
            let whole = last_kind.is_some_and(is_terminal);
            findings.check("a stream ends with its run", whole, expected, || {
                format!("{} was told the end after {last_kind:?}", sight.client)
            });
        }
        End::Nothing => findings.check(
            "a stream ends with its run",
            run.last_seq.is_some_and(|last| sight.after >= last),
            sight.after,
            || format!("{} was told that nothing follows", sight.client),
        ),
    }
}

/// The event with this number. A log without gaps has it at this index.
fn event(run: &StoredRun, seq: u64) -> Option<&StoredEvent> {
    let place = run.events.get(usize::try_from(seq).ok()?.checked_sub(1)?);
    place.filter(|event| event.seq == seq).or_else(|| run.events.iter().find(|event| event.seq == seq))
}

fn is_same(seen: &Value, kept: &StoredEvent) -> bool {
    seen["type"] == kept.kind.as_str()
        && seen["data"] == kept.data
        && seen["attempt"] == kept.attempt
        && seen["timestamp"] == Timestamp::from_millis(kept.time).to_string()
}

/// Whether an event of the type ends its run.
pub(super) fn is_terminal(kind: &str) -> bool {
    matches!(kind, "run.completed" | "run.failed" | "run.cancelled")
}
