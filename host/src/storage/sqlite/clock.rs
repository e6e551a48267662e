//! Delays of runs after the clock was set back.

use std::time::Duration;

use rusqlite::Connection;
use serde::Deserialize;

use super::schema::SEQ_BITS;
use crate::model::Timestamp;

/// Data of the event that delayed a run.
#[derive(Deserialize)]
struct DelayData {
    not_before: String,
    /// Set if a delay was requested, and not a time.
    delay_ms: Option<u64>,
}

/// Shortens the delays of runs that were delayed at a time that is now in the future: they would also wait for as long as
/// the clock was set back. They wait for their delay from now on. Returns their number. Idempotent.
pub(super) fn adjust_delays(db: &Connection) -> rusqlite::Result<u32> {
    let now = Timestamp::now();
    let sql = format!(
        "SELECT runs.no, runs.not_before, events.time, events.type, events.data FROM runs JOIN events \
         ON events.id = (SELECT max(id) FROM events WHERE id > runs.no << {SEQ_BITS} \
             AND id < (runs.no + 1) << {SEQ_BITS} AND type IN ('run.retrying', 'run.delayed')) \
         WHERE runs.status IN ('delayed', 'paused') AND runs.not_before > ?1 AND events.time > ?1"
    );
    let mut sooner = Vec::new();
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query([now.as_millis()])?;
    while let Some(row) = rows.next()? {
        let (run, not_before, at): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let is_retry = row.get_ref(3)?.as_str()? == "run.retrying";
        let Some(pause) = pause(row.get_ref(4)?.as_str()?, at, not_before, is_retry) else { continue };
        let until = now.plus_millis(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)).as_millis();
        if until < not_before {
            sooner.push((run, until));
        }
    }
    for (run, until) in &sooner {
        db.prepare_cached("UPDATE runs SET not_before = ?2 WHERE no = ?1")?.execute([run, until])?;
    }
    Ok(u32::try_from(sooner.len()).unwrap_or(u32::MAX))
}

/// The delay of the run; none if a time was requested, which is relative to the clock.
fn pause(data: &str, at: i64, not_before: i64, is_retry: bool) -> Option<Duration> {
    let data: DelayData = serde_json::from_str(data).ok()?;
    if !is_retry {
        return data.delay_ms.map(Duration::from_millis);
    }
    // The event keeps the original delay when it is shortened. The row is for times that were edited by hand.
    let delay = Timestamp::parse(&data.not_before)?.as_millis().saturating_sub(at);
    let pause = if delay < 0 { not_before.saturating_sub(at) } else { delay };
    u64::try_from(pause).ok().map(Duration::from_millis)
}
