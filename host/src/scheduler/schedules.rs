//! Starts runs by the schedules in the manifests of tasks.
//!
//! Storage keeps the progress of each schedule, and each start has an idempotency key of its own. So a crash can't cause
//! a second start, nor lose a start that the misfire policy would make up for.
//!
//! Schedules follow the wall clock. If it is set back, they continue from the new time: the same times come again, and
//! with them their starts. Time before a schedule existed has no missed starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::duties::{Duty, Held};
use super::{HOST_KEY, Request, Scheduler, StartError};
use crate::model::{MisfirePolicy, Schedule, TaskRef, Timestamp};
use crate::notifier::Topic;
use crate::registry::Task;
use crate::storage::{Result, ScheduleProgress, StorageError};

/// Milliseconds after which a start counts as missed. If the clock is set back by less, schedules wait until it reaches
/// the old time again.
const LATE: i64 = 30_000;
/// Interval at which schedules are checked without a wake-up, because the clock may be set.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// Interval at which a host that does not follow the schedules looks whether it has to. With the time until a dead host is
/// declared dead, it is shorter than [`LATE`] for leases up to 20 s: then no start counts as missed because a host died.
const STANDBY_INTERVAL: Duration = Duration::from_secs(2);
/// Pause before a failed start is retried.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Most missed starts that are made up for at once; older ones are dropped. Otherwise a year of downtime could
/// cause half a million runs.
const MAX_MISSED: usize = 1_000;
/// Key of the label with the name of the schedule that started a run.
pub const SCHEDULE_LABEL: &str = "schedule";
/// How long a schedule has to be absent until it counts as a new one when it returns. A file that is being replaced is
/// absent for less.
const GONE: Duration = Duration::from_secs(60);
/// Smaller corrections of the clock are ignored.
const CLOCK_STEP: Duration = Duration::from_secs(5);

/// A task and the name of one of its schedules.
type Key = (TaskRef, String);

/// A scheduled time at which no run was started.
#[derive(Clone, Debug)]
pub struct Skipped {
    /// The time.
    pub at: Timestamp,
    /// The reason, in one line.
    pub reason: String,
}

/// The last skipped time of each schedule.
#[derive(Default)]
pub(super) struct LastSkipped(Mutex<BTreeMap<Key, Skipped>>);

/// State of the loop that follows all schedules.
struct ScheduleLoop {
    /// One host follows the schedules for all.
    duty: Duty,
    /// The progress of each schedule; none if it was not read from storage yet, or another host may have changed it.
    progress: Option<BTreeMap<Key, ScheduleProgress>>,
    /// Absent schedules, with the time since when they are.
    absent: BTreeMap<Key, Instant>,
    /// Schedules whose next start is rejected repeatedly; this is logged once.
    rejected: BTreeSet<Key>,
    clock: Clock,
}

/// Result of a scheduled start.
enum ScheduledStart {
    /// The run was started, or never can be.
    Done,
    /// The task accepts no run now.
    Rejected(StorageError),
}

impl ScheduleLoop {
    /// Forgets what another host may change.
    fn forget(&mut self) {
        self.progress = None;
        self.absent.clear();
        self.rejected.clear();
    }
}

impl Scheduler {
    /// Follows all schedules until the host stops.
    pub(super) async fn keep_schedules(self: Arc<Self>) {
        let mut tasks = self.registry.changes();
        let mut state = ScheduleLoop {
            duty: Duty::new("schedules"),
            progress: None,
            absent: BTreeMap::new(),
            rejected: BTreeSet::new(),
            clock: Clock::new(),
        };
        while !self.stopping.is_cancelled() {
            self.adjust_delays(&mut state.clock).await;
            let next = self.follow_schedules(&mut state).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "could not follow the schedules");
                RETRY_PAUSE
            });
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                () = tasks.changed() => {}
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// The last skipped time of a schedule.
    pub fn skipped(&self, task: &TaskRef, schedule: &str) -> Option<Skipped> {
        self.skipped.0.lock().get(&(task.clone(), schedule.to_owned())).cloned()
    }

    /// Adjusts delays after the clock was set back, so that delayed runs don't wait for that time too.
    async fn adjust_delays(&self, clock: &mut Clock) {
        if let Some(by) = clock.set_back() {
            tracing::warn!(?by, "the clock was set back; schedules and delays follow it from here");
            clock.is_adjusted = false;
        }
        if clock.is_adjusted {
            return;
        }
        match self.storage.adjust_delays().await {
            Ok(moved) => {
                clock.is_adjusted = true;
                if moved > 0 {
                    self.notifier.notify(&Topic::Queue);
                }
            }
            Err(error) => tracing::warn!(%error, "could not adjust delays to the clock"),
        }
    }

    /// Makes all due starts. Returns the time until the next check.
    async fn follow_schedules(self: &Arc<Self>, state: &mut ScheduleLoop) -> Result<Duration> {
        match self.hold(&mut state.duty).await? {
            Held::Still => {}
            Held::Anew => state.forget(),
            Held::Elsewhere => {
                state.forget();
                return Ok(STANDBY_INTERVAL);
            }
        }
        if state.progress.is_none() {
            let all = self.storage.schedules().await?;
            state.progress =
                Some(all.into_iter().map(|(task, name, followed)| ((task, name), followed)).collect());
        }
        let mut pause = POLL_INTERVAL;
        let tasks = self.registry.tasks();
        for task in &tasks {
            for schedule in &task.settings.schedules {
                let next = self.follow(task, schedule, state).await.unwrap_or_else(|error| {
                    tracing::warn!(task = %task.name, schedule = schedule.name, %error, "a scheduled run could not be started now");
                    RETRY_PAUSE
                });
                pause = pause.min(next);
                if state.progress.is_none() {
                    // Another host has followed it. What else it has done is read first.
                    return Ok(RETRY_PAUSE);
                }
            }
        }
        self.forget_gone(&tasks, state).await?;
        Ok(pause)
    }

    /// Forgets schedules that are absent for long: if one returns later, it is a new one.
    async fn forget_gone(&self, tasks: &[Arc<Task>], state: &mut ScheduleLoop) -> Result<()> {
        if !self.registry.is_complete() {
            return Ok(());
        }
        let listed = self.registry.list();
        // Tasks that only other hosts have.
        let elsewhere: BTreeSet<TaskRef> = match self.lease.is_shared() {
            true => self.storage.offered().await?.into_iter().collect(),
            false => BTreeSet::new(),
        };
        // The schedules of a file that can't be loaded are unknown.
        let is_unknown = |task: &TaskRef| {
            let mut files = listed.iter().filter(|listed| listed.name.as_ref() == Some(task)).peekable();
            match files.peek() {
                Some(_) => files.any(|file| file.task.is_none()),
                None => elsewhere.contains(task),
            }
        };
        let is_there = |(task, name): &Key| {
            is_unknown(task)
                || tasks.iter().any(|there| {
                    there.name == *task
                        && there.settings.schedules.iter().any(|schedule| schedule.name == *name)
                })
        };
        state.absent.retain(|key, _| !is_there(key));
        let followed = state.progress.iter_mut().flatten();
        let gone: Vec<Key> = followed
            .map(|(key, _)| key)
            .filter(|key| !is_there(key))
            .filter(|key| state.absent.entry((*key).clone()).or_insert_with(Instant::now).elapsed() >= GONE)
            .cloned()
            .collect();
        for key in gone {
            self.storage.forget_schedule(&key.0, &key.1).await?;
            tracing::info!(task = %key.0, schedule = key.1, "the schedule was removed; a later one is a new schedule");
            self.skipped.0.lock().remove(&key);
            state.absent.remove(&key);
            if let Some(followed) = &mut state.progress {
                followed.remove(&key);
            }
        }
        Ok(())
    }

    /// Makes the due starts of one schedule. Returns the time until the next check.
    async fn follow(
        self: &Arc<Self>,
        task: &Arc<Task>,
        schedule: &Schedule,
        state: &mut ScheduleLoop,
    ) -> Result<Duration, StartError> {
        let key = (task.name.clone(), schedule.name.clone());
        let mut followed = self.progress_of(&key, schedule, state).await?;
        let now = Timestamp::now();
        let (due, next) = due(schedule, followed.reached, now);
        for time in due {
            if !self.has(&state.duty) {
                return Ok(RETRY_PAUSE);
            }
            if let ScheduledStart::Rejected(error) =
                self.start_scheduled(task, schedule, time, &followed).await?
            {
                let waits = schedule.misfire != MisfirePolicy::Skip;
                self.log_rejected(&key, time, &error, waits, &mut state.rejected);
                if waits {
                    return Ok(RETRY_PAUSE);
                }
            } else {
                state.rejected.remove(&key);
            }
            followed.reached = time;
            self.save_progress(&key, &followed, state).await?;
        }
        let left = next.map_or(i64::MAX, |next| next.as_millis().saturating_sub(now.as_millis()));
        Ok(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    fn log_rejected(
        &self,
        key: &Key,
        at: Timestamp,
        error: &StorageError,
        waits: bool,
        rejected: &mut BTreeSet<Key>,
    ) {
        let reason = error.to_string();
        if waits {
            if rejected.insert(key.clone()) {
                tracing::info!(task = %key.0, schedule = key.1, %at, reason, "a scheduled run waits until the task takes it");
            }
            return;
        }
        tracing::info!(task = %key.0, schedule = key.1, %at, reason, "a scheduled run was skipped");
        self.skipped.0.lock().insert(key.clone(), Skipped { at, reason });
    }

    /// The progress of a schedule. It begins now if the schedule is new or has changed, or if the clock was set back.
    async fn progress_of(
        &self,
        key: &Key,
        schedule: &Schedule,
        state: &mut ScheduleLoop,
    ) -> Result<ScheduleProgress> {
        let (now, spec) = (Timestamp::now(), schedule.spec());
        let known = state.progress.as_ref().and_then(|followed| followed.get(key));
        let followed = match known {
            Some(known) if known.spec == spec && known.reached <= now.plus_millis(LATE) => {
                return Ok(known.clone());
            }
            Some(known) if known.spec == spec => {
                tracing::warn!(task = %key.0, schedule = key.1, was_at = %known.reached, "the clock was set back; the schedule is followed again from here");
                ScheduleProgress { spec, reached: now, turn: known.turn + 1 }
            }
            Some(known) => ScheduleProgress { spec, reached: now, turn: known.turn + 1 },
            // An earlier schedule of the same name may have had these times before the clock was set back.
            None => ScheduleProgress { spec, reached: now, turn: now.as_millis() },
        };
        self.save_progress(key, &followed, state).await?;
        Ok(followed)
    }

    async fn save_progress(
        &self,
        key: &Key,
        followed: &ScheduleProgress,
        state: &mut ScheduleLoop,
    ) -> Result<()> {
        let known = state.progress.as_ref().and_then(|all| all.get(key)).cloned();
        if !self.storage.advance_schedule(&key.0, &key.1, known, followed.clone()).await? {
            // To be read again before anything else is started.
            state.progress = None;
            return Err(StorageError::Conflict("another host follows the schedule".to_owned()));
        }
        if let Some(all) = &mut state.progress {
            all.insert(key.clone(), followed.clone());
        }
        Ok(())
    }

    async fn start_scheduled(
        self: &Arc<Self>,
        task: &Task,
        schedule: &Schedule,
        time: Timestamp,
        followed: &ScheduleProgress,
    ) -> Result<ScheduledStart, StartError> {
        let mut request = Request::new(task.name.clone(), schedule.input.clone());
        request.labels.insert(SCHEDULE_LABEL.to_owned(), schedule.name.clone());
        // After the clock was set back, the same time is another start.
        let turn = if followed.turn == 0 { String::new() } else { format!(":{}", followed.turn) };
        request.idempotency_key = Some(format!("{HOST_KEY}schedule:{}:{time}{turn}", schedule.name));
        match self.submit(request).await {
            // A conflict: an earlier host made this start with another input, before the manifest changed.
            Ok(_) | Err(StartError::Storage(StorageError::Conflict(_))) => Ok(ScheduledStart::Done),
            Err(StartError::Storage(error @ (StorageError::Busy(_) | StorageError::QueueFull(_)))) => {
                Ok(ScheduledStart::Rejected(error))
            }
            // A retry would fail in the same way.
            Err(
                error @ (StartError::Names(_)
                | StartError::Input(_)
                | StartError::NoTask(_)
                | StartError::NotLoaded(..)),
            ) => {
                tracing::warn!(task = %task.name, schedule = schedule.name, %error, "a scheduled run was not started");
                Ok(ScheduledStart::Done)
            }
            Err(error) => Err(error),
        }
    }
}

/// Detects that the wall clock is set back, by comparison with the monotonic clock.
struct Clock {
    wall: Timestamp,
    at: Instant,
    /// Whether delays are adjusted to it. Not at first: it may have been set while no host was running.
    is_adjusted: bool,
}

impl Clock {
    fn new() -> Self {
        Self { wall: Timestamp::now(), at: Instant::now(), is_adjusted: false }
    }

    /// By how much the clock was set back since the last call; none if it was not.
    fn set_back(&mut self) -> Option<Duration> {
        let (now, elapsed) = (Timestamp::now(), self.at.elapsed());
        let expected = self.wall.plus_millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX));
        (self.wall, self.at) = (now, Instant::now());
        let behind = expected.as_millis().saturating_sub(now.as_millis());
        let behind = Duration::from_millis(u64::try_from(behind).unwrap_or(0));
        Some(behind).filter(|behind| *behind >= CLOCK_STEP)
    }
}

/// The due starts after `from`, oldest first, and the next start in the future.
fn due(schedule: &Schedule, from: Timestamp, now: Timestamp) -> (Vec<Timestamp>, Option<Timestamp>) {
    let most = match schedule.misfire {
        MisfirePolicy::Skip => 0,
        MisfirePolicy::Once => 1,
        MisfirePolicy::All => MAX_MISSED,
    };
    let late = now.plus_millis(-LATE);
    // Backwards from the newest, so that dropped starts cost nothing, however many they are.
    let mut due: Vec<Timestamp> =
        std::iter::successors(schedule.last_before(late), |time| schedule.last_before(*time))
            .take_while(|time| *time > from)
            .take(most)
            .collect();
    due.reverse();
    let mut next = schedule.next_after(from.max(late.plus_millis(-1)));
    while let Some(time) = next.filter(|time| *time <= now) {
        due.push(time);
        next = schedule.next_after(time);
    }
    (due, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn starts(policy: MisfirePolicy, from: &str, now: &str) -> Vec<String> {
        let mut schedule = Schedule::new("0 * * * *", "UTC").unwrap();
        schedule.misfire = policy;
        due(&schedule, at(from), at(now)).0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_start_on_time_is_due_whatever_the_policy() {
        for policy in [MisfirePolicy::Skip, MisfirePolicy::Once, MisfirePolicy::All] {
            let due = starts(policy, "2026-01-01T10:00:00Z", "2026-01-01T11:00:02Z");
            assert_eq!(due, ["2026-01-01T11:00:00.000Z"]);
            assert!(starts(policy, "2026-01-01T11:00:00Z", "2026-01-01T11:59:59Z").is_empty());
        }
    }

    #[test]
    fn missed_starts_are_made_up_for_as_the_policy_says() {
        let starts = |policy| starts(policy, "2026-01-01T10:00:00Z", "2026-01-01T13:30:00Z");
        assert!(starts(MisfirePolicy::Skip).is_empty());
        assert_eq!(starts(MisfirePolicy::Once), ["2026-01-01T13:00:00.000Z"]);
        let all = ["2026-01-01T11:00:00.000Z", "2026-01-01T12:00:00.000Z", "2026-01-01T13:00:00.000Z"];
        assert_eq!(starts(MisfirePolicy::All), all);
    }

    #[test]
    fn a_long_absence_makes_up_for_no_more_than_is_sensible() {
        let starts = starts(MisfirePolicy::All, "2020-01-01T00:00:00Z", "2026-01-01T00:30:00Z");
        assert_eq!((starts.len(), starts.last().unwrap().as_str()), (MAX_MISSED, "2026-01-01T00:00:00.000Z"));
    }

    #[test]
    fn the_next_start_is_the_first_in_the_future() {
        let schedule = Schedule::new("0 * * * *", "UTC").unwrap();
        let (_, next) = due(&schedule, at("2026-01-01T10:00:00Z"), at("2026-01-01T10:59:00Z"));
        assert_eq!(next, Some(at("2026-01-01T11:00:00Z")));
    }
}
