//! Checks the log of a single run: numbers, attempts, checkpoints, its end.

use serde_json::Value;

use super::Findings;
use super::sights::is_terminal;
use crate::history::{StoredEvent, StoredRun, Work};

pub(super) fn check(findings: &mut Findings, run: &StoredRun, work: &Work) {
    numbers(findings, run);
    end(findings, run, work);
    let mut reading = Reading::of(work);
    for event in &run.events {
        reading.take(findings, event);
    }
    findings.check("attempt numbers only increase", reading.attempt == run.attempt, None, || {
        format!("the log has {} attempts, the run {}", reading.attempt, run.attempt)
    });
    if run.status == "completed" {
        let whole = work.steps.is_none_or(|steps| reading.step == steps) && !work.fail;
        findings.check("a completed run has all of its events", whole, None, || {
            format!("completed after step {} of {work:?}", reading.step)
        });
    }
}

fn numbers(findings: &mut Findings, run: &StoredRun) {
    for (place, event) in (1..).zip(&run.events) {
        findings
            .check("no gap in any log", event.seq == place, event.seq, || format!("it is number {place}"));
    }
}

/// Checks that there is exactly one terminal event, that it is the last, and that it
/// matches the run's row.
fn end(findings: &mut Findings, run: &StoredRun, work: &Work) {
    let ends: Vec<u64> =
        run.events.iter().filter(|event| is_terminal(&event.kind)).map(|event| event.seq).collect();
    let last = run.events.last();
    let is_over = last.is_some_and(|event| is_terminal(&event.kind));
    findings.check(
        "exactly one terminal event, at the end",
        ends.len() == 1 && is_over,
        last.map(|event| event.seq),
        || format!("status {}, ends at {ends:?}", run.status),
    );
    let Some(last) = last.filter(|_| is_over) else { return };
    findings.check(
        "exactly one terminal event, at the end",
        last.kind == format!("run.{}", run.status) && run.last_seq == Some(last.seq),
        last.seq,
        || format!("the log ends with {}, the run is {} at {:?}", last.kind, run.status, run.last_seq),
    );
    if last.kind != "run.failed" {
        return;
    }
    match last.data["error"]["kind"].as_str() {
        Some("interrupted") => {
            let saved = run.events.iter().any(|event| event.kind == "saved");
            findings.check("an attempt continues from the checkpoint", !saved, last.seq, || {
                "interrupted for good, though it had saved".to_owned()
            });
        }
        Some("failure") => findings.check(
            "only the task fails a run",
            work.fail || (run.attempt < work.fail_before && run.attempt >= work.attempts),
            last.seq,
            || format!("{work:?} failed: {}", last.data),
        ),
        _ => findings.check("only the task fails a run", false, last.seq, || last.data.to_string()),
    }
}

/// The state while reading a log.
struct Reading<'a> {
    work: &'a Work,
    /// The current or last attempt.
    attempt: u64,
    under_way: bool,
    /// The announced next attempt, and its earliest start.
    announced: Option<(u64, Option<String>)>,
    /// The start of this attempt, its current step, and the number of events of the step
    /// so far.
    step: u64,
    parts: u64,
    /// Highest step of any attempt; highest step that was certainly saved.
    said: u64,
    saved: u64,
    ended: bool,
}

impl<'a> Reading<'a> {
    fn of(work: &'a Work) -> Self {
        Self {
            work,
            attempt: 0,
            under_way: false,
            announced: None,
            step: 0,
            parts: 0,
            said: 0,
            saved: 0,
            ended: false,
        }
    }

    fn take(&mut self, findings: &mut Findings, event: &StoredEvent) {
        findings.check("no event after the terminal event", !self.ended, event.seq, || event.kind.clone());
        match event.kind.as_str() {
            "run.started" => self.started(findings, event),
            "run.retrying" => self.retrying(findings, event),
            kind if kind.starts_with("run.") => self.ended |= is_terminal(kind),
            _ => self.said_by_guest(findings, event),
        }
    }

    fn started(&mut self, findings: &mut Findings, event: &StoredEvent) {
        let attempt = event.data["attempt"].as_u64().unwrap_or(0);
        let announced = self.announced.take();
        let expected = announced.as_ref().map_or(1, |(attempt, _)| *attempt);
        let fits = attempt == self.attempt + 1 && attempt == expected && !self.under_way;
        findings.check("attempt numbers only increase", fits && event.attempt == attempt, event.seq, || {
            format!("attempt {attempt} began after {}, announced was {expected}", self.attempt)
        });
        if let Some((_, Some(time))) = announced {
            let began = streamtask_host::model::Timestamp::from_millis(event.time).to_string();
            // Both have the same format, so their texts sort like the times.
            findings.check("a delayed run starts no earlier than its time", began >= time, event.seq, || {
                format!("it began at {began}, and not before {time} was said")
            });
        }
        self.attempt = attempt;
        self.under_way = true;
    }

    fn retrying(&mut self, findings: &mut Findings, event: &StoredEvent) {
        let next = event.data["attempt"].as_u64().unwrap_or(0);
        findings.check(
            "attempt numbers only increase",
            self.under_way && next == self.attempt + 1,
            event.seq,
            || format!("attempt {next} announced in attempt {}", self.attempt),
        );
        let reason = event.data["error"]["kind"].as_str().unwrap_or("none");
        let allowed = match reason {
            "interrupted" => self.work.save,
            "failure" => self.attempt < self.work.fail_before && self.attempt < self.work.attempts,
            _ => false,
        };
        findings.check("only retryable or checkpointed runs start again", allowed, event.seq, || {
            format!("because of {reason}, in attempt {}", self.attempt)
        });
        self.announced = Some((next, event.data["not_before"].as_str().map(str::to_owned)));
        self.under_way = false;
    }

    fn said_by_guest(&mut self, findings: &mut Findings, event: &StoredEvent) {
        let number = |name: &str| event.data.get(name).and_then(Value::as_u64);
        let own = number("attempt").unwrap_or(0);
        let in_order = self.under_way && own == self.attempt && event.attempt == own;
        findings.check("no attempt sends events after its end", in_order, event.seq, || {
            format!("attempt {own} speaks in attempt {}", self.attempt)
        });
        match (event.kind.as_str(), number("step")) {
            ("begin", _) => self.begin(findings, event, number("from").unwrap_or(0)),
            ("step", Some(step)) => self.step(findings, event, step, number("part").unwrap_or(0)),
            ("saved", Some(step)) => {
                self.saved = self.saved.max(step);
                let fits = step == self.step && self.parts == self.work.burst;
                findings.check("no event of a task is missing", fits, event.seq, || {
                    format!("step {step} saved at step {}, {} events", self.step, self.parts)
                });
            }
            _ => {}
        }
    }

    fn begin(&mut self, findings: &mut Findings, event: &StoredEvent, from: u64) {
        let (saved, said) = (self.saved, self.said);
        findings.check("an attempt continues from the checkpoint", from >= saved, event.seq, || {
            format!("from {from}, though {saved} was saved")
        });
        // Events sent before a save are durable when the save is.
        findings.check("a checkpoint includes all events sent before it", from <= said, event.seq, || {
            format!("from {from}, though only step {said} was said")
        });
        self.step = from;
        self.parts = self.work.burst;
    }

    fn step(&mut self, findings: &mut Findings, event: &StoredEvent, step: u64, part: u64) {
        let follows = (step == self.step && part == self.parts)
            || (step == self.step + 1 && part == 0 && self.parts == self.work.burst);
        findings.check("no event of a task is missing", follows, event.seq, || {
            format!("step {step} part {part} after step {}, {} events", self.step, self.parts)
        });
        (self.step, self.parts) = (step, part + 1);
        if self.parts == self.work.burst {
            self.said = self.said.max(step);
        }
    }
}
