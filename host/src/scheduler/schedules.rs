//! Runs that start by themselves, at the times that their task's manifest says.
//!
//! How far each schedule has been followed is kept in storage, and each start has an
//! idempotency key of its own: whatever happens in between, none is made twice, and
//! none is forgotten that the policy for missed ones would make up for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{HOST_KEY, Request, Scheduler, StartError};
use crate::model::{Missed, Schedule, TaskRef, Timestamp};
use crate::registry::Task;
use crate::storage::Result;

/// A start that is later than this was missed: nobody was there for it.
const LATE: i64 = 30_000;
/// How often to look without being told, for clocks are set.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Pause after a start that could not be made now.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Most missed starts that are made up for at once; older ones are left out. Whoever was
/// away for a year does not want half a million runs.
const MAX_MISSED: usize = 1_000;
/// The label that says which schedule has started a run.
const LABEL: &str = "schedule";

/// How far each schedule has been followed: that far all its starts have been made.
type Reached = HashMap<(TaskRef, String), (String, Timestamp)>;

impl Scheduler {
    /// Starts what is due, until the host stops.
    pub(super) async fn keep_schedules(self: Arc<Self>) {
        let mut tasks = self.registry.changes();
        let mut reached = Reached::new();
        while !self.stopping.is_cancelled() {
            let next = self.follow_schedules(&mut reached).await;
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                _ = tasks.changed() => {}
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// Starts what is due now; returns how long there is nothing more to do.
    async fn follow_schedules(self: &Arc<Self>, reached: &mut Reached) -> Duration {
        let mut pause = LOOK_AGAIN;
        for task in self.registry.tasks() {
            for schedule in &task.settings.schedules {
                let next = self.follow(&task, schedule, reached).await.unwrap_or_else(|error| {
                    tracing::warn!(task = %task.name, schedule = schedule.name, %error, "a scheduled run could not be started now");
                    TRY_AGAIN
                });
                pause = pause.min(next);
            }
        }
        pause
    }

    /// The same for one schedule.
    async fn follow(
        self: &Arc<Self>,
        task: &Arc<Task>,
        schedule: &Schedule,
        all: &mut Reached,
    ) -> Result<Duration, StartError> {
        let from = self.reached(task, schedule, all).await?;
        let now = Timestamp::now();
        let (due, next) = due(schedule, from, now);
        for time in due {
            self.start_scheduled(task, schedule, time).await?;
            self.storage.set_schedule(&task.name, &schedule.name, &schedule.spec(), time).await?;
            all.insert((task.name.clone(), schedule.name.clone()), (schedule.spec(), time));
        }
        let left = next.map_or(i64::MAX, |next| next.as_millis().saturating_sub(now.as_millis()));
        Ok(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    /// How far it has been followed: from now on, if it is new or another than it was.
    async fn reached(&self, task: &Task, schedule: &Schedule, all: &mut Reached) -> Result<Timestamp> {
        let key = (task.name.clone(), schedule.name.clone());
        let spec = schedule.spec();
        if let Some((known, reached)) = all.get(&key)
            && *known == spec
        {
            return Ok(*reached);
        }
        let stored = self.storage.schedule(&task.name, &schedule.name).await?;
        let reached = match stored {
            Some((known, reached)) if known == spec => reached,
            _ => {
                let now = Timestamp::now();
                self.storage.set_schedule(&task.name, &schedule.name, &spec, now).await?;
                now
            }
        };
        all.insert(key, (spec, reached));
        Ok(reached)
    }

    async fn start_scheduled(
        self: &Arc<Self>,
        task: &Task,
        schedule: &Schedule,
        time: Timestamp,
    ) -> Result<(), StartError> {
        let mut request = Request::new(task.name.clone(), schedule.input.clone());
        request.labels.insert(LABEL.to_owned(), schedule.name.clone());
        request.idempotency_key = Some(format!("{HOST_KEY}schedule:{}:{time}", schedule.name));
        match self.submit(request).await {
            Ok(_) => Ok(()),
            // Trying again would not help.
            Err(error @ (StartError::Input(_) | StartError::NoTask(_) | StartError::NotLoaded(..))) => {
                tracing::warn!(task = %task.name, schedule = schedule.name, %error, "a scheduled run was not started");
                Ok(())
            }
            Err(error) => Err(error),
        }
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
