//! The results of a proof: its figures, or the violations found.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::checker;
use crate::history::{History, StoredRun, Violation};
use crate::victim::Kills;

/// Most violations that are printed with their log; more would only repeat the same
/// fault.
const SHOWN: usize = 12;
/// Number of events that are printed before and after a violation.
const AROUND: u64 = 8;

/// The results of a proof.
#[derive(Debug, Default)]
pub struct Report {
    /// The kills.
    pub kills: Kills,
    /// The options that repeat it.
    pub repeat: String,
    /// Further faults, with several hosts.
    pub hosts: Option<String>,
    /// The seed of the clients' actions and the kills.
    pub seed: u64,
    /// The duration.
    pub time: Duration,
    /// Runs by status.
    pub runs: BTreeMap<String, u64>,
    /// Attempts of all runs.
    pub attempts: u64,
    /// Events in the database.
    pub stored: u64,
    /// Events that clients received.
    pub seen: u64,
    /// Connections of clients.
    pub connections: u64,
    /// Requests without a response, which were repeated.
    pub lost_answers: u64,
    /// How often each rule was checked.
    pub counts: BTreeMap<&'static str, u64>,
    /// The violations.
    pub violations: Vec<Violation>,
    /// The logs of the affected runs, around the violations.
    excerpts: Vec<String>,
    /// The folder with the host's data and log, if there are violations.
    pub kept: Option<PathBuf>,
}

impl Report {
    pub(crate) fn of(history: &History, stored: &[StoredRun]) -> Self {
        let findings = checker::check(history, stored);
        let mut report = Self::counted(stored);
        report.seen = history.sights.iter().map(|sight| sight.lines.len() as u64).sum();
        report.connections = history.sights.len() as u64;
        report.lost_answers = history.lost_answers;
        report.counts = findings.counts;
        report.violations = findings.violations;
        report.excerpts =
            report.violations.iter().take(SHOWN).map(|violation| excerpt(violation, stored)).collect();
        report
    }

    /// Clients were still waiting at the deadline.
    pub(crate) fn stuck(stored: &[StoredRun]) -> Self {
        let mut report = Self::counted(stored);
        for run in stored.iter().filter(|run| run.last_seq.is_none()) {
            let what = format!("stuck as {} in attempt {}", run.status, run.attempt);
            report.violations.push(Violation { run: Some(run.id.clone()), seq: None, what });
        }
        report.violations.push(Violation::of_host("not every client reached the end of its run"));
        report.excerpts =
            report.violations.iter().take(SHOWN).map(|violation| excerpt(violation, stored)).collect();
        report
    }

    fn counted(stored: &[StoredRun]) -> Self {
        let mut report = Self::default();
        for run in stored {
            *report.runs.entry(run.status.clone()).or_default() += 1;
            report.attempts += run.attempt;
            report.stored += run.events.len() as u64;
        }
        report
    }
}

/// The log around a violation, one event per line.
fn excerpt(violation: &Violation, stored: &[StoredRun]) -> String {
    let Some(run) = stored.iter().find(|run| Some(&run.id) == violation.run.as_ref()) else {
        return String::new();
    };
    let at = violation.seq.unwrap_or(run.events.last().map_or(0, |event| event.seq));
    let near = run.events.iter().filter(|event| {
        event.seq.abs_diff(at) <= AROUND || (violation.seq.is_none() && event.kind.starts_with("run."))
    });
    let lines: Vec<String> = near
        .map(|event| format!("    {:>6} {} {} {}", event.seq, event.time, event.kind, event.data))
        .collect();
    format!("    {} {} {}\n{}\n", run.id, run.status, run.input, lines.join("\n"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kills = &self.kills;
        writeln!(
            f,
            "{} kills in {:.1} min: {} while serving, {} while starting, {} while stopping ({} stops in order)",
            kills.all(),
            self.time.as_secs_f64() / 60.0,
            kills.serving,
            kills.starting,
            kills.draining,
            kills.stopped
        )?;
        if let Some(hosts) = &self.hosts {
            writeln!(f, "{hosts}")?;
        }
        let runs: Vec<String> = self.runs.iter().map(|(status, count)| format!("{count} {status}")).collect();
        let count: u64 = self.runs.values().sum();
        writeln!(f, "{count} runs in {} attempts: {}", self.attempts, runs.join(", "))?;
        writeln!(
            f,
            "{} events stored; {} seen by clients on {} connections; {} responses lost and requested again",
            self.stored, self.seen, self.connections, self.lost_answers
        )?;
        for (rule, count) in &self.counts {
            writeln!(f, "  {count:>9} × {rule}")?;
        }
        for (violation, excerpt) in
            self.violations.iter().zip(self.excerpts.iter().map(String::as_str).chain(std::iter::repeat("")))
        {
            writeln!(f, "\nVIOLATION {violation}\n{excerpt}")?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "The host's data and log are in {}", kept.display())?;
        }
        let verdict = if self.violations.is_empty() { "Nothing was lost" } else { "NOT PROVED" };
        writeln!(f, "{verdict}. To repeat: cargo xtask proof {}", self.repeat)
    }
}
