//! Sweeps: periodically remove runs by the rules in force, if the clock can be trusted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::{Clock, Jump, Note, TRIAL};
use super::rules::{RuleChange, TaskRules, about, describe, text_of};
use super::{Pruner, Report};
use crate::model::{Amount, Retention, TaskRef, Timestamp};
use crate::platform;
use crate::storage::{Result, StorageError};

/// Interval between sweeps; a changed manifest causes one, too.
const SWEEP: Duration = Duration::from_secs(60);
/// Least pause between two sweeps, even if a pending rule is in force sooner.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// The duty of the host that sweeps.
const DUTY: &str = "pruning";
/// How long the duty is kept: longer than most sweeps and the pause after them. Two sweeps at once do no harm, but double
/// work.
const DUTY_KEPT: Duration = Duration::from_secs(180);

/// State that is kept between sweeps. Read from storage when it is first needed.
pub(super) struct SweepState {
    pub(super) clock: Clock,
    /// The note of the clock in storage, and when it was stored.
    noted: Option<(Note, Instant)>,
    /// The rules of each task that does not keep everything.
    task_rules: BTreeMap<TaskRef, TaskRules>,
    /// When the settings were last applied.
    looked_at: Option<Instant>,
}

impl Pruner {
    pub(super) async fn keep_sweeping(self: Arc<Self>) {
        let mut changes = self.registry.changes();
        // Free space that an earlier host did not return.
        if let Err(error) = self.shrink().await {
            tracing::warn!(%error, "could not return free space to the file system");
        }
        while !self.stopping.is_cancelled() {
            match self.sweep().await {
                Ok(report) => report.iter().for_each(|(task, amount)| {
                    let Amount { runs, events, bytes } = amount;
                    tracing::info!(%task, runs, events, bytes, "removed runs by the retention rules");
                }),
                Err(StorageError::Closed) => break,
                Err(error) => tracing::warn!(%error, "could not remove old runs; retrying later"),
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

    /// Time until the next pending rules are in force.
    async fn until_next_rule(&self) -> Option<Duration> {
        let pruning = self.pruning.lock().await;
        let state = pruning.as_ref()?;
        let since = state.looked_at?.elapsed();
        let waiting = state.task_rules.values().filter_map(|task_rules| task_rules.next(self.delay));
        waiting.map(|(_, left)| left.saturating_sub(since)).min()
    }

    /// Removes runs by the rules in force.
    async fn sweep(&self) -> Result<Report> {
        if !self.registry.is_complete() {
            return Ok(Report::new());
        }
        // Locked before the settings are read: they may change during the wait.
        let mut pruning = self.pruning.lock().await;
        if !self.holds_duty(&mut pruning).await? {
            return Ok(Report::new());
        }
        let state = self.state(&mut pruning).await?;
        let rules = self.rules_in_force(state).await?;
        if rules.is_empty() {
            return Ok(Report::new());
        }
        self.check_clock(state);
        self.note_clock(state).await;
        self.prune_by(rules, state).await
    }

    /// Whether this host sweeps. Forgets the state if another host may have swept since.
    async fn holds_duty(&self, state: &mut Option<SweepState>) -> Result<bool> {
        let Some(host) = (self.host)() else { return Ok(true) };
        let now = platform::boot_clock();
        let before = self.sweeps_until.lock().take();
        if before.is_none_or(|until| until <= now) {
            *state = None;
        }
        let held = self.storage.hold_duty(DUTY, &host, DUTY_KEPT.as_millis() as u32).await?;
        *self.sweeps_until.lock() = held.then(|| now + DUTY_KEPT);
        Ok(held)
    }

    /// The state from earlier sweeps, also those of earlier hosts.
    pub(super) async fn state<'a>(&self, state: &'a mut Option<SweepState>) -> Result<&'a mut SweepState> {
        if state.is_none() {
            let rules = self.storage.rules().await?.into_iter();
            let task_rules = rules.map(|(task, text)| (task, TaskRules::parse(&text))).collect();
            let note = self.storage.clock().await?.map(|(at, doubted)| Note { at, doubted });
            let (now, at) = (Timestamp::now(), Instant::now());
            let (clock, noted) = (Clock::new(note, now, at), note.map(|note| (note, at)));
            *state = Some(SweepState { clock, noted, task_rules, looked_at: None });
        }
        Ok(state.as_mut().expect("just made"))
    }

    /// Applies the current settings. Returns the rules in force.
    async fn rules_in_force(&self, state: &mut SweepState) -> Result<Vec<(TaskRef, Retention)>> {
        let now = Instant::now();
        let elapsed =
            state.looked_at.replace(now).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let (mut rules, mut changed) = (Vec::new(), Vec::new());
        for (task, current_settings) in self.current_settings(&self.storage.tasks().await?).await? {
            let before = state.task_rules.get(&task).cloned().unwrap_or_default();
            let mut task_rules = before.clone();
            let change = task_rules.apply(&current_settings, elapsed, self.delay);
            let keep = task_rules.in_force();
            if task_rules != before {
                changed.push((task.clone(), task_rules.text()));
                state.task_rules.insert(task.clone(), task_rules.clone());
            }
            match change {
                RuleChange::Nothing => {}
                RuleChange::Waits => self.announce(&task, &task_rules).await?,
                RuleChange::InForce => {
                    tracing::info!(%task, keep = describe(&keep), "new retention rules are in force")
                }
            }
            if keep != Retention::default() {
                rules.push((task, keep));
            }
        }
        // If this fails, the next host considers the rules new, and delays them again.
        if !changed.is_empty()
            && let Err(error) = self.storage.set_rules(changed).await
        {
            tracing::warn!(%error, "could not store the retention rules");
        }
        Ok(rules)
    }

    /// Logs in advance what new rules will remove.
    async fn announce(&self, task: &TaskRef, task_rules: &TaskRules) -> Result<()> {
        let Some((keep, left)) = task_rules.next(self.delay) else { return Ok(()) };
        let new = self.measure_task(task, &keep).await?;
        let old = self.measure_task(task, &task_rules.in_force()).await?;
        let (runs, events) = (new.runs.saturating_sub(old.runs), new.events.saturating_sub(old.events));
        if (runs, events) != (0, 0) {
            let from = Timestamp::now().plus_millis(i64::try_from(left.as_millis()).unwrap_or(i64::MAX));
            let reason = task_rules.reason();
            tracing::warn!(%task, "from {from} on, {runs} runs and {events} events will be removed, because {reason}");
        }
        Ok(())
    }

    /// Checks the clock, and logs when that suspends or resumes removal by age. Returns the time, and the jump if the clock is
    /// not trusted.
    pub(super) fn check_clock(&self, state: &mut SweepState) -> (Timestamp, Option<Jump>) {
        let now = Timestamp::now();
        let jump = state.clock.check(now, Instant::now());
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
            (Some(_), None) => tracing::info!("the clock is trusted; runs are removed by age again"),
            _ => {}
        }
        (now, jump)
    }

    /// Stores the trusted time for the next host, at most once per [`SWEEP`], because it is valid for days.
    async fn note_clock(&self, state: &mut SweepState) {
        let note = state.clock.note();
        let is_old = |(last, at): (Note, Instant)| {
            last.doubted != note.doubted || (last != note && at.elapsed() >= SWEEP)
        };
        if state.noted.is_none_or(is_old) {
            match self.storage.set_clock(note.at, note.doubted).await {
                Ok(()) => state.noted = Some((note, Instant::now())),
                // No warning each minute on a full disk: without the note, the next start is only more careful.
                Err(error) => tracing::debug!(%error, "could not store the time for the next start"),
            }
        }
    }
}
