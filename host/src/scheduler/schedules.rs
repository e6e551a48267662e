//! Runs that start by themselves, at the times that their task's manifest says.
//!
//! How far each schedule has been followed is kept in storage, and each start has an
//! idempotency key of its own: whatever happens in between, none is made twice, and
//! none is forgotten that the policy for missed ones would make up for.
//!
//! A schedule is followed by the clock on the wall. Where that is set back, it is followed again
//! from there: its times come once more, and so do its starts. Time in which there was no
//! schedule has no missed starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{HOST_KEY, Request, Scheduler, StartError};
use crate::model::{Missed, Schedule, TaskRef, Timestamp};
use crate::notifier::Topic;
use crate::registry::Task;
use crate::storage::{Followed, Result, StorageError};

/// A start that is later than this was missed: nobody was there for it. And a clock that was set
/// back by less has its schedules wait until it is where it was.
const LATE: i64 = 30_000;
/// How often to look without being told, for clocks are set.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Pause after a start that could not be made now.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Most missed starts that are made up for at once; older ones are left out. Whoever was
/// away for a year does not want half a million runs.
const MAX_MISSED: usize = 1_000;
/// The key of the label that says which schedule has started a run.
pub const SCHEDULE_LABEL: &str = "schedule";
/// How long a schedule has to be away until it is another one when it comes back. A file
/// that is being replaced is away for less.
const GONE: Duration = Duration::from_secs(60);
/// Corrections of the clock by less are none of anybody's business.
const CLOCK_STEP: Duration = Duration::from_secs(5);

/// A task and the name of one of its schedules.
type Key = (TaskRef, String);

/// A time at which no run was started, although the schedule says so.
#[derive(Clone, Debug)]
pub struct Skipped {
    /// The time.
    pub at: Timestamp,
    /// Why, in one line.
    pub reason: String,
}

/// The times that were skipped last, by task and schedule.
#[derive(Default)]
pub(super) struct AllSkipped(Mutex<BTreeMap<Key, Skipped>>);

/// What the loop that follows all schedules remembers.
struct Followers {
    /// How far each has been followed; none if that was not read yet.
    followed: Option<BTreeMap<Key, Followed>>,
    /// Those that are away, and since when.
    away: BTreeMap<Key, Instant>,
    /// Those whose next start is refused again and again; it is logged once.
    refused: BTreeSet<Key>,
    clock: Clock,
}

/// What became of a start.
enum Attempted {
    /// It is made, or never can be.
    Done,
    /// The task takes no run now.
    Refused(StorageError),
}

impl Scheduler {
    /// Starts what is due, until the host stops.
    pub(super) async fn keep_schedules(self: Arc<Self>) {
        let mut tasks = self.registry.changes();
        let mut followers = Followers {
            followed: None,
            away: BTreeMap::new(),
            refused: BTreeSet::new(),
            clock: Clock::new(),
        };
        while !self.stopping.is_cancelled() {
            self.mind_the_clock(&mut followers.clock).await;
            let next = self.follow_schedules(&mut followers).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "schedules can't be followed now");
                TRY_AGAIN
            });
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                () = tasks.changed() => {}
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// The time that was skipped last of a schedule.
    pub fn skipped(&self, task: &TaskRef, schedule: &str) -> Option<Skipped> {
        self.skipped.0.lock().get(&(task.clone(), schedule.to_owned())).cloned()
    }

    /// Where the clock was set back, what waits for some time does not wait for that too.
    async fn mind_the_clock(&self, clock: &mut Clock) {
        if let Some(by) = clock.set_back() {
            tracing::warn!(?by, "the clock was set back; schedules and delays follow it from here");
            clock.minded = false;
        }
        if clock.minded {
            return;
        }
        match self.storage.mind_the_clock().await {
            Ok(moved) => {
                clock.minded = true;
                if moved > 0 {
                    self.notifier.notify(&Topic::Queue);
                }
            }
            Err(error) => tracing::warn!(%error, "delays can't follow the clock now"),
        }
    }

    /// Starts what is due now; returns how long there is nothing more to do.
    async fn follow_schedules(self: &Arc<Self>, followers: &mut Followers) -> Result<Duration> {
        if followers.followed.is_none() {
            let all = self.storage.schedules().await?;
            followers.followed =
                Some(all.into_iter().map(|(task, name, followed)| ((task, name), followed)).collect());
        }
        let mut pause = LOOK_AGAIN;
        let tasks = self.registry.tasks();
        for task in &tasks {
            for schedule in &task.settings.schedules {
                let next = self.follow(task, schedule, followers).await.unwrap_or_else(|error| {
                    tracing::warn!(task = %task.name, schedule = schedule.name, %error, "a scheduled run could not be started now");
                    TRY_AGAIN
                });
                pause = pause.min(next);
            }
        }
        self.forget_gone(&tasks, followers).await?;
        Ok(pause)
    }

    /// Forgets schedules that are away for long: what comes back then is a new one.
    async fn forget_gone(&self, tasks: &[Arc<Task>], followers: &mut Followers) -> Result<()> {
        if !self.registry.is_complete() {
            return Ok(());
        }
        let listed = self.registry.list();
        // Of a file that can't be loaded nobody knows which schedules it has.
        let is_unknown = |task: &TaskRef| {
            listed.iter().any(|listed| listed.name.as_ref() == Some(task) && listed.task.is_none())
        };
        let is_there = |(task, name): &Key| {
            is_unknown(task)
                || tasks.iter().any(|there| {
                    there.name == *task
                        && there.settings.schedules.iter().any(|schedule| schedule.name == *name)
                })
        };
        followers.away.retain(|key, _| !is_there(key));
        let followed = followers.followed.iter_mut().flatten();
        let gone: Vec<Key> = followed
            .map(|(key, _)| key)
            .filter(|key| !is_there(key))
            .filter(|key| followers.away.entry((*key).clone()).or_insert_with(Instant::now).elapsed() >= GONE)
            .cloned()
            .collect();
        for key in gone {
            self.storage.forget_schedule(&key.0, &key.1).await?;
            tracing::info!(task = %key.0, schedule = key.1, "the schedule is gone; a later one begins anew");
            self.skipped.0.lock().remove(&key);
            followers.away.remove(&key);
            if let Some(followed) = &mut followers.followed {
                followed.remove(&key);
            }
        }
        Ok(())
    }

    /// Starts what is due of one schedule; returns how long there is nothing more to do.
    async fn follow(
        self: &Arc<Self>,
        task: &Arc<Task>,
        schedule: &Schedule,
        followers: &mut Followers,
    ) -> Result<Duration, StartError> {
        let key = (task.name.clone(), schedule.name.clone());
        let mut followed = self.followed(&key, schedule, followers).await?;
        let now = Timestamp::now();
        let (due, next) = due(schedule, followed.reached, now);
        for time in due {
            if let Attempted::Refused(error) = self.start_scheduled(task, schedule, time, &followed).await? {
                let waits = schedule.missed != Missed::Skip;
                self.note_refused(&key, time, &error, waits, &mut followers.refused);
                if waits {
                    return Ok(TRY_AGAIN);
                }
            } else {
                followers.refused.remove(&key);
            }
            followed.reached = time;
            self.keep(&key, &followed, followers).await?;
        }
        let left = next.map_or(i64::MAX, |next| next.as_millis().saturating_sub(now.as_millis()));
        Ok(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    fn note_refused(
        &self,
        key: &Key,
        at: Timestamp,
        error: &StorageError,
        waits: bool,
        refused: &mut BTreeSet<Key>,
    ) {
        let reason = error.to_string();
        if waits {
            if refused.insert(key.clone()) {
                tracing::info!(task = %key.0, schedule = key.1, %at, reason, "a scheduled run waits until the task takes it");
            }
            return;
        }
        tracing::info!(task = %key.0, schedule = key.1, %at, reason, "a scheduled run was skipped");
        self.skipped.0.lock().insert(key.clone(), Skipped { at, reason });
    }

    /// How far it has been followed: from now on, if it is new or another than it was, or if
    /// the clock was set back.
    async fn followed(&self, key: &Key, schedule: &Schedule, followers: &mut Followers) -> Result<Followed> {
        let (now, spec) = (Timestamp::now(), schedule.spec());
        let known = followers.followed.as_ref().and_then(|followed| followed.get(key));
        let followed = match known {
            Some(known) if known.spec == spec && known.reached <= now.plus_millis(LATE) => {
                return Ok(known.clone());
            }
            Some(known) if known.spec == spec => {
                tracing::warn!(task = %key.0, schedule = key.1, was_at = %known.reached, "the clock was set back; the schedule is followed again from here");
                Followed { spec, reached: now, turn: known.turn + 1 }
            }
            Some(known) => Followed { spec, reached: now, turn: known.turn + 1 },
            // An earlier one of the same name may have had these times, before the clock was set back.
            None => Followed { spec, reached: now, turn: now.as_millis() },
        };
        self.keep(key, &followed, followers).await?;
        Ok(followed)
    }

    async fn keep(&self, key: &Key, followed: &Followed, followers: &mut Followers) -> Result<()> {
        self.storage.set_schedule(&key.0, &key.1, followed.clone()).await?;
        if let Some(all) = &mut followers.followed {
            all.insert(key.clone(), followed.clone());
        }
        Ok(())
    }

    async fn start_scheduled(
        self: &Arc<Self>,
        task: &Task,
        schedule: &Schedule,
        time: Timestamp,
        followed: &Followed,
    ) -> Result<Attempted, StartError> {
        let mut request = Request::new(task.name.clone(), schedule.input.clone());
        request.labels.insert(SCHEDULE_LABEL.to_owned(), schedule.name.clone());
        // The same time again, after the clock was set back, is another start.
        let turn = if followed.turn == 0 { String::new() } else { format!(":{}", followed.turn) };
        request.idempotency_key = Some(format!("{HOST_KEY}schedule:{}:{time}{turn}", schedule.name));
        match self.submit(request).await {
            // With another input, if the manifest has changed since an earlier host made this start.
            Ok(_) | Err(StartError::Storage(StorageError::Conflict(_))) => Ok(Attempted::Done),
            Err(StartError::Storage(error @ (StorageError::Busy(_) | StorageError::QueueFull(_)))) => {
                Ok(Attempted::Refused(error))
            }
            // Trying again would not help.
            Err(
                error @ (StartError::Names(_)
                | StartError::Input(_)
                | StartError::NoTask(_)
                | StartError::NotLoaded(..)),
            ) => {
                tracing::warn!(task = %task.name, schedule = schedule.name, %error, "a scheduled run was not started");
                Ok(Attempted::Done)
            }
            Err(error) => Err(error),
        }
    }
}

/// The clock on the wall, beside one that only goes on.
struct Clock {
    wall: Timestamp,
    at: Instant,
    /// Whether delays follow it. At first nobody knows: it may have been set while this host could not write.
    minded: bool,
}

impl Clock {
    fn new() -> Self {
        Self { wall: Timestamp::now(), at: Instant::now(), minded: false }
    }

    /// By how much it was set back since the last look; none if it was not.
    fn set_back(&mut self) -> Option<Duration> {
        let (now, elapsed) = (Timestamp::now(), self.at.elapsed());
        let expected = self.wall.plus_millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX));
        (self.wall, self.at) = (now, Instant::now());
        let behind = expected.as_millis().saturating_sub(now.as_millis());
        let behind = Duration::from_millis(u64::try_from(behind).unwrap_or(0));
        Some(behind).filter(|behind| *behind >= CLOCK_STEP)
    }
}

/// The starts to be made after `from`, oldest first, and the first that is yet to come.
fn due(schedule: &Schedule, from: Timestamp, now: Timestamp) -> (Vec<Timestamp>, Option<Timestamp>) {
    let most = match schedule.missed {
        Missed::Skip => 0,
        Missed::Once => 1,
        Missed::All => MAX_MISSED,
    };
    let late = now.plus_millis(-LATE);
    // Backwards from the newest: what is left out is not even looked for, however long ago it was.
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

    fn starts(missed: Missed, from: &str, now: &str) -> Vec<String> {
        let mut schedule = Schedule::new("0 * * * *", "UTC").unwrap();
        schedule.missed = missed;
        due(&schedule, at(from), at(now)).0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_comes_on_time_is_due_whatever_the_policy() {
        for missed in [Missed::Skip, Missed::Once, Missed::All] {
            let due = starts(missed, "2026-01-01T10:00:00Z", "2026-01-01T11:00:02Z");
            assert_eq!(due, ["2026-01-01T11:00:00.000Z"]);
            assert!(starts(missed, "2026-01-01T11:00:00Z", "2026-01-01T11:59:59Z").is_empty());
        }
    }

    #[test]
    fn missed_starts_are_made_up_for_as_the_policy_says() {
        let starts = |missed| starts(missed, "2026-01-01T10:00:00Z", "2026-01-01T13:30:00Z");
        assert!(starts(Missed::Skip).is_empty());
        assert_eq!(starts(Missed::Once), ["2026-01-01T13:00:00.000Z"]);
        let all = ["2026-01-01T11:00:00.000Z", "2026-01-01T12:00:00.000Z", "2026-01-01T13:00:00.000Z"];
        assert_eq!(starts(Missed::All), all);
    }

    #[test]
    fn a_long_absence_makes_up_for_no_more_than_is_sensible() {
        let starts = starts(Missed::All, "2020-01-01T00:00:00Z", "2026-01-01T00:30:00Z");
        assert_eq!((starts.len(), starts.last().unwrap().as_str()), (MAX_MISSED, "2026-01-01T00:00:00.000Z"));
    }

    #[test]
    fn the_next_start_is_the_first_that_is_yet_to_come() {
        let schedule = Schedule::new("0 * * * *", "UTC").unwrap();
        let (_, next) = due(&schedule, at("2026-01-01T10:00:00Z"), at("2026-01-01T10:59:00Z"));
        assert_eq!(next, Some(at("2026-01-01T11:00:00Z")));
    }
}
