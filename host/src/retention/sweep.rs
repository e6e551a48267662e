//! Looking again and again for what is no longer kept: by which rules, and whether the clock can be believed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::{Clock, Jump, Note, TRIAL};
use super::rules::{News, Standing, about, said, text_of};
use super::{Pruner, Report};
use crate::model::{Amount, Retention, TaskRef, Timestamp};
use crate::storage::{Result, StorageError};

/// How often it is looked for what is to be removed, besides when a manifest changes.
const SWEEP: Duration = Duration::from_secs(60);
/// Least pause between two sweeps, also where a rule that waits comes in force at once.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// What is known from one sweep to the next. Read from storage when it is needed first.
pub(super) struct Memory {
    pub(super) clock: Clock,
    /// What storage has of the clock, and when it got that.
    noted: Option<(Note, Instant)>,
    /// The rules of each task of which not everything is kept.
    standing: BTreeMap<TaskRef, Standing>,
    /// When settings were looked at last.
    looked_at: Option<Instant>,
}

impl Pruner {
    pub(super) async fn keep_sweeping(self: Arc<Self>) {
        let mut changes = self.registry.changes();
        // What an earlier host freed and did not come to give back.
        if let Err(error) = self.shrink().await {
            tracing::warn!(%error, "could not give free space back");
        }
        while !self.stopping.is_cancelled() {
            match self.sweep().await {
                Ok(report) => report.iter().for_each(|(task, amount)| {
                    let Amount { runs, events, bytes } = amount;
                    tracing::info!(%task, runs, events, bytes, "removed what is no longer kept");
                }),
                Err(StorageError::Closed) => break,
                Err(error) => tracing::warn!(%error, "could not remove old runs; trying again later"),
            }
            let pause = self.until_next_rule().await.map_or(SWEEP, |left| left.clamp(MIN_PAUSE, SWEEP));
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                () = changes.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// How long until rules that wait are in force.
    async fn until_next_rule(&self) -> Option<Duration> {
        let pruning = self.pruning.lock().await;
        let memory = pruning.as_ref()?;
        let since = memory.looked_at?.elapsed();
        let waiting = memory.standing.values().filter_map(|standing| standing.next(self.delay));
        waiting.map(|(_, left)| left.saturating_sub(since)).min()
    }

    /// Removes what is not to be kept by the rules that are in force.
    async fn sweep(&self) -> Result<Report> {
        if !self.registry.is_complete() {
            return Ok(Report::new());
        }
        // Before the manifests are looked at: while it waits here, they may change.
        let mut pruning = self.pruning.lock().await;
        let memory = self.memory(&mut pruning).await?;
        let rules = self.rules_in_force(memory).await?;
        if rules.is_empty() {
            return Ok(Report::new());
        }
        self.look_at_clock(memory);
        self.note_clock(memory).await;
        self.prune_by(rules, memory).await
    }

    /// What earlier sweeps, also of an earlier host, have left.
    pub(super) async fn memory<'a>(&self, memory: &'a mut Option<Memory>) -> Result<&'a mut Memory> {
        if memory.is_none() {
            let rules = self.storage.rules().await?.into_iter();
            let standing = rules.map(|(task, text)| (task, Standing::parse(&text))).collect();
            let note = self.storage.clock().await?.map(|(at, doubted)| Note { at, doubted });
            let (now, at) = (Timestamp::now(), Instant::now());
            let (clock, noted) = (Clock::new(note, now, at), note.map(|note| (note, at)));
            *memory = Some(Memory { clock, noted, standing, looked_at: None });
        }
        Ok(memory.as_mut().expect("just made"))
    }

    /// The rules that sweeps go by; takes note of what manifests say now.
    async fn rules_in_force(&self, memory: &mut Memory) -> Result<Vec<(TaskRef, Retention)>> {
        let now = Instant::now();
        let elapsed =
            memory.looked_at.replace(now).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let (mut rules, mut changed) = (Vec::new(), Vec::new());
        for (task, wanted) in self.wanted(&self.storage.tasks().await?) {
            let before = memory.standing.get(&task).cloned().unwrap_or_default();
            let mut standing = before.clone();
            let news = standing.look(&wanted, elapsed, self.delay);
            let keep = standing.in_force();
            if standing != before {
                changed.push((task.clone(), standing.text()));
                memory.standing.insert(task.clone(), standing.clone());
            }
            match news {
                News::Nothing => {}
                News::Waits => self.announce(&task, &standing).await?,
                News::InForce => {
                    tracing::info!(%task, keep = said(&keep), "new rules of what is kept are in force")
                }
            }
            if keep != Retention::default() {
                rules.push((task, keep));
            }
        }
        // Without it the next host takes the rules for new, and waits once more.
        if !changed.is_empty()
            && let Err(error) = self.storage.set_rules(changed).await
        {
            tracing::warn!(%error, "could not note the rules of what is kept");
        }
        Ok(rules)
    }

    /// Tells beforehand what rules that are new will remove.
    async fn announce(&self, task: &TaskRef, standing: &Standing) -> Result<()> {
        let Some((keep, left)) = standing.next(self.delay) else { return Ok(()) };
        let new = self.measure_task(task, &keep).await?;
        let old = self.measure_task(task, &standing.in_force()).await?;
        let (runs, events) = (new.runs.saturating_sub(old.runs), new.events.saturating_sub(old.events));
        if (runs, events) != (0, 0) {
            let from = Timestamp::now().plus_millis(i64::try_from(left.as_millis()).unwrap_or(i64::MAX));
            let reason = standing.reason();
            tracing::warn!(%task, "from {from} on, {runs} runs and {events} events will be removed, because {reason}");
        }
        Ok(())
    }

    /// Looks at the clock, and tells when that changes what can be removed. Says what time it is, and by how much
    /// that is too late if it is not believed.
    pub(super) fn look_at_clock(&self, memory: &mut Memory) -> (Timestamp, Option<Jump>) {
        let now = Timestamp::now();
        let jump = memory.clock.look(now, Instant::now());
        let until = |left: Duration| now.plus_millis(i64::try_from(left.as_millis()).unwrap_or(i64::MAX));
        let why = jump.map(|Jump { ahead, left }| {
            format!(
                "no run is removed for its age until {}: the clock is {} ahead of what was expected, and has to go \
                 on so for {} or be confirmed",
                until(left),
                about(ahead),
                text_of(TRIAL)
            )
        });
        let mut suspended = self.suspended.lock();
        let was = std::mem::replace(&mut *suspended, why.clone());
        drop(suspended);
        match (was, why) {
            (None, Some(why)) => tracing::warn!("{why}"),
            (Some(_), None) => tracing::info!("the clock is believed; runs are removed for their age again"),
            _ => {}
        }
        (now, jump)
    }

    /// Keeps the time that is believed for the next host, once for each [`SWEEP`], as it is good for days.
    async fn note_clock(&self, memory: &mut Memory) {
        let note = memory.clock.note();
        let is_old = |(last, at): (Note, Instant)| {
            last.doubted != note.doubted || (last != note && at.elapsed() >= SWEEP)
        };
        if memory.noted.is_none_or(is_old) {
            match self.storage.set_clock(note.at, note.doubted).await {
                Ok(()) => memory.noted = Some((note, Instant::now())),
                // Not worth a line a minute on a full disk: without it the next start is only more careful.
                Err(error) => tracing::debug!(%error, "could not note the time for the next start"),
            }
        }
    }
}
