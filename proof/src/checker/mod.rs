//! Checks whether the data and acknowledgements that clients received agree with the
//! stored data.
//!
//! - `sights`: no received event is lost or changed
//! - `hosts`: what several hosts share
//! - `log`: the log of each run
//! - `promises`: acknowledged operations

mod hosts;
mod log;
mod promises;
mod sights;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use crate::history::{History, StoredRun, Told, Violation};

/// The violations, and the number of times that each rule was checked.
#[derive(Debug, Default)]
pub struct Findings {
    /// All violations.
    pub violations: Vec<Violation>,
    /// The number of checks, by rule.
    pub counts: BTreeMap<&'static str, u64>,
    /// The run that is being checked.
    run: Option<String>,
}

impl Findings {
    fn begin(&mut self, run: &str) {
        self.run = Some(run.to_owned());
    }

    /// Records a check, and a violation if it failed.
    fn check(
        &mut self,
        rule: &'static str,
        holds: bool,
        seq: impl Into<Option<u64>>,
        what: impl FnOnce() -> String,
    ) {
        *self.counts.entry(rule).or_default() += 1;
        if !holds {
            let what = format!("{rule}: {}", what());
            self.violations.push(Violation { run: self.run.clone(), seq: seq.into(), what });
        }
    }
}

/// Checks everything.
pub fn check(history: &History, stored: &[StoredRun]) -> Findings {
    let mut findings = Findings::default();
    let by_id: HashMap<&str, &StoredRun> = stored.iter().map(|run| (run.id.as_str(), run)).collect();
    let by_nth: HashMap<u64, &Told> = history.told.iter().map(|told| (told.work.nth, told)).collect();
    promises::runs_are_there_once(&mut findings, &history.told, stored);
    sights::check(&mut findings, &history.sights, &by_id);
    for run in stored {
        findings.begin(&run.id);
        let told = run.input["nth"].as_u64().and_then(|nth| by_nth.get(&nth));
        let Some(told) = told else {
            findings.check("no run without a start", false, None, || format!("input {}", run.input));
            continue;
        };
        log::check(&mut findings, run, &told.work);
        promises::check(&mut findings, run, told);
        hosts::notes(&mut findings, run, told);
    }
    hosts::check(&mut findings, history, stored);
    findings
}
