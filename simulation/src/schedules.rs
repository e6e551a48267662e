//! Invariant: each schedule starts runs at its due times, exactly as its policy defines.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use streamtask_host::model::Timestamp;
use streamtask_host::platform;

use crate::invariants::RunRow;

/// The task whose due times are checked.
const TASK: &str = "cron";
/// The task whose runs must not pile up: a due time that finds it busy is skipped.
const ONE_AT_A_TIME: &str = "busy";
/// Its pattern: every minute.
const MINUTE: i64 = 60_000;
/// The pattern of the first task: every other minute.
const PERIOD: i64 = 120_000;
/// Time after a disturbance in which a schedule may follow the clock again.
const RECOVERY: Duration = Duration::from_secs(60);
/// A start is on time within this many milliseconds.
const ON_TIME: i64 = 2_000;
/// Time after which removed files count as deleted, so that their due times do not count as missed.
const GONE: Duration = Duration::from_secs(150);

/// Since when nothing could disturb the schedule.
#[derive(Default)]
pub(crate) struct Schedules {
    /// As simulated time since the start, and as wall-clock time.
    quiet_since: Option<(Duration, i64, i64)>,
    /// The newest run seen so far.
    newest: i64,
    is_away: bool,
    /// Its manifest has no schedule.
    has_none: bool,
    /// Since when the task is removed or has no schedule.
    absent_since: Option<Duration>,
    /// The same, without other disturbances, as wall-clock time.
    absent_from: Option<(Duration, i64)>,
    /// Wall-clock periods without a schedule.
    absences: Vec<Range<i64>>,
    /// The run of each due time, by its key.
    started: BTreeMap<String, i64>,
    /// Runs of both tasks that were checked.
    seen: BTreeSet<i64>,
    /// Since when nothing could disturb the second task, as wall-clock time.
    busy_quiet_since: i64,
}

impl Schedules {
    pub(crate) fn disturbed(&mut self, lived: Duration) {
        self.quiet_since = Some((lived, wall(), self.newest));
        self.busy_quiet_since = wall();
        self.absent_from = self.absent_since.map(|_| (lived, wall()));
    }

    pub(crate) fn clock_set(&mut self) {
        self.absences.clear();
    }

    pub(crate) fn saved(&mut self, task: &str, text: &str, lived: Duration) {
        self.has_none = if task == TASK { !text.contains("[[schedule]]") } else { self.has_none };
        self.changed(task, lived);
    }

    pub(crate) fn taken_away(&mut self, task: &str, lived: Duration) {
        self.is_away |= task == TASK;
        self.changed(task, lived);
    }

    pub(crate) fn put_back(&mut self, task: &str, lived: Duration) {
        self.is_away &= task != TASK;
        self.changed(task, lived);
    }

    /// The task's files were changed.
    fn changed(&mut self, task: &str, lived: Duration) {
        match task {
            TASK => {
                if self.is_away || self.has_none {
                    self.absent_since.get_or_insert(lived);
                    self.absent_from.get_or_insert((lived, wall()));
                } else {
                    self.end_absence(lived);
                }
                self.quiet_since = Some((lived, wall(), self.newest));
            }
            ONE_AT_A_TIME => self.busy_quiet_since = wall(),
            _ => {}
        }
    }

    fn end_absence(&mut self, lived: Duration) {
        self.absent_since = None;
        if let Some((since, from)) = self.absent_from.take()
            && lived.saturating_sub(since) > GONE
        {
            self.absences.push(from + ON_TIME..wall() - ON_TIME);
        }
    }

    pub(crate) fn check(&mut self, rows: &[RunRow], lived: Duration) -> Result<(), String> {
        let scheduled = rows.iter().filter(|row| row.task == TASK && is_scheduled(row));
        for row in scheduled {
            let key = row.key.clone().unwrap_or_default();
            if let Some(other) = self.started.insert(key.clone(), row.no)
                && other != row.no
            {
                return Err(format!("a due time was started twice: {key:?}"));
            }
            if !self.seen.insert(row.no) {
                continue;
            }
            // A due time in the future is from before the clock was set back.
            let times = |from: i64| from + GONE.as_millis() as i64 + 1..=wall();
            if self.absent_from.is_some_and(|(_, from)| times(from).contains(&row.created_at)) {
                return Err(format!("a run was started by a schedule that does not exist: run {}", row.no));
            }
            let due = due_time(&key).ok_or_else(|| format!("a schedule's key has no valid time: {key:?}"))?;
            if self.absences.iter().any(|absence| absence.contains(&due)) {
                return Err(format!(
                    "a due time without a schedule counted as missed: {key:?}, run {}",
                    row.no
                ));
            }
        }
        self.check_busy(rows)?;
        self.newest = self.newest.max(rows.last().map_or(0, |row| row.no));
        if self.absent_since.is_some() {
            return Ok(());
        }
        self.check_due(rows, lived)
    }

    /// A due time is skipped if its task is busy: no run is queued, and none starts at another
    /// time.
    fn check_busy(&mut self, rows: &[RunRow]) -> Result<(), String> {
        let of_task = || rows.iter().filter(|row| row.task == ONE_AT_A_TIME);
        if of_task().filter(|row| !row.finished).count() > 1 {
            return Err("a due time was not skipped although its task was busy".to_owned());
        }
        let quiet_from = self.busy_quiet_since + RECOVERY.as_millis() as i64;
        for row in of_task().filter(|row| row.created_at <= wall()) {
            let is_late = row.created_at.rem_euclid(MINUTE) > ON_TIME;
            if self.seen.insert(row.no) && row.created_at >= quiet_from && is_late {
                return Err(format!(
                    "a schedule started a run at a wrong time: run {}, {}",
                    row.no, row.created_at
                ));
            }
        }
        Ok(())
    }

    /// In an undisturbed period, each due time has exactly one run.
    fn check_due(&self, rows: &[RunRow], lived: Duration) -> Result<(), String> {
        let Some((since, wall_then, newest_then)) = self.quiet_since else { return Ok(()) };
        if lived.saturating_sub(since) < RECOVERY {
            return Ok(());
        }
        let from = wall_then + RECOVERY.as_millis() as i64 + ON_TIME;
        let to = wall() - ON_TIME;
        let mut due = (from / PERIOD + 1) * PERIOD;
        while due < to {
            let starts = rows.iter().filter(|row| {
                row.no > newest_then
                    && row.task == TASK
                    && is_scheduled(row)
                    && (due..due + ON_TIME).contains(&row.created_at)
            });
            let count = starts.count();
            if count != 1 {
                return Err(format!(
                    "a due time does not have exactly one start: {count} for {due}, undisturbed since {wall_then}, now {to}"
                ));
            }
            due += PERIOD;
        }
        Ok(())
    }
}

fn is_scheduled(row: &RunRow) -> bool {
    row.key.as_ref().is_some_and(|key| key.contains("schedule:"))
}

/// The due time in the key of a scheduled run, in milliseconds since 1970.
fn due_time(key: &str) -> Option<i64> {
    let time = key.split_once("schedule:")?.1.split_once(':')?.1;
    let time = &time[..=time.find('Z')?];
    Timestamp::parse(time).map(Timestamp::as_millis)
}

fn wall() -> i64 {
    let now = platform::wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
