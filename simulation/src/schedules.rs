//! Each schedule's due times start exactly as its policy says.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use streamtask_host::platform;

use crate::invariants::RunRow;

/// The task whose due times are looked for.
const TASK: &str = "cron";
/// The task whose runs must not pile up: a due time that finds it busy is skipped.
const ONE_AT_A_TIME: &str = "busy";
/// Its pattern: every other minute.
const PERIOD: i64 = 120_000;
/// Time after a disturbance in which a schedule may follow the clock again.
const RECOVERY: Duration = Duration::from_secs(60);
/// A start is on time within so many milliseconds.
const ON_TIME: i64 = 2_000;
/// Time after which what was taken away counts as gone, and its due times are not missed ones.
const GONE: Duration = Duration::from_secs(150);

/// Since when there was nothing that could disturb it.
#[derive(Default)]
pub(crate) struct Schedules {
    /// As time since the beginning, and by the clock on the wall then.
    quiet_since: Option<(Duration, i64, i64)>,
    /// The newest run that was seen.
    newest: i64,
    /// When it was taken away or got no schedule.
    absent_since: Option<Duration>,
    /// Due times by their keys, and the run of each.
    started: BTreeMap<String, i64>,
    /// Keys of runs that began when there was no schedule for long.
    seen: BTreeMap<i64, ()>,
}

impl Schedules {
    pub(crate) fn disturbed(&mut self, lived: Duration) {
        self.quiet_since = Some((lived, wall(), self.newest));
    }

    pub(crate) fn saved(&mut self, task: &str, text: &str, lived: Duration) {
        if task != TASK {
            return;
        }
        self.disturbed(lived);
        if text.contains("[[schedule]]") {
            self.absent_since = None;
        } else {
            self.absent_since.get_or_insert(lived);
        }
    }

    pub(crate) fn taken_away(&mut self, task: &str, lived: Duration) {
        if task == TASK {
            self.disturbed(lived);
            self.absent_since.get_or_insert(lived);
        }
    }

    pub(crate) fn put_back(&mut self, task: &str, lived: Duration) {
        if task == TASK && self.absent_since.is_some() {
            self.disturbed(lived);
            self.absent_since = None;
        }
    }

    pub(crate) fn check(&mut self, rows: &[RunRow], lived: Duration) -> Result<(), String> {
        if rows.iter().filter(|row| row.task == ONE_AT_A_TIME && !row.finished).count() > 1 {
            return Err("a due time that found its task busy was not skipped".to_owned());
        }
        let scheduled = rows.iter().filter(|row| row.task == TASK && is_scheduled(row));
        for row in scheduled {
            let key = row.key.clone().unwrap_or_default();
            if let Some(other) = self.started.insert(key.clone(), row.no)
                && other != row.no
            {
                return Err(format!("a due time was started twice: {key:?}"));
            }
            if self.seen.insert(row.no, ()).is_none()
                && self.absent_since.is_some_and(|since| since + GONE < lived)
            {
                return Err(format!("a schedule that is not there starts a run: run {}", row.no));
            }
        }
        self.newest = self.newest.max(rows.last().map_or(0, |row| row.no));
        if self.absent_since.is_some() {
            return Ok(());
        }
        self.check_due(rows, lived)
    }

    /// Of a quiet time, each due time has its run.
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
                    "a due time has not one start: {count} for {due}, quiet since {wall_then}, now {to}"
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

fn wall() -> i64 {
    let now = platform::wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
