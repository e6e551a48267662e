//! Invariants of the log of an ended run: it is well-formed, and has each acknowledged operation
//! once.

use rusqlite::{Connection, OptionalExtension as _};

use crate::invariants::RunRow;
use crate::script::TAKEN;
use crate::world::Known;

/// Bits of an event's key for its number within the run.
const SEQ_BITS: u32 = 32;

pub(crate) fn acknowledged(db: &Connection, id: &str, event: &str, times: u32) -> Result<(), String> {
    let row = db.query_row("SELECT no FROM runs WHERE id = ?1", [id], |row| row.get::<_, i64>(0));
    // Retention may have removed the run.
    let Some(no) = row.optional().map_err(|error| error.to_string())? else { return Ok(()) };
    let types = types(db, no).map_err(|error| error.to_string())?;
    let count = types.iter().filter(|(_, name)| name == event).count();
    if count < times as usize {
        return Err(format!(
            "{event} was acknowledged and is not in the log: run {no}, {times} times: {types:?}"
        ));
    }
    Ok(())
}

pub(crate) fn check(db: &Connection, rows: &[RunRow], known: &[Known]) -> Result<(), String> {
    for row in rows {
        let types = types(db, row.no).map_err(|error| error.to_string())?;
        let broken = |what: &str| Err(format!("{what}: run {} of {}: {types:?}", row.no, row.task));
        if types.iter().enumerate().any(|(at, (seq, _))| *seq != at as i64 + 1) {
            return broken("a log has a gap");
        }
        let is_end = |name: &str| ["run.completed", "run.failed", "run.cancelled"].contains(&name);
        let ends = types.iter().filter(|(_, name)| is_end(name)).count();
        if ends != 1 || !types.last().is_some_and(|(_, name)| is_end(name)) {
            return broken("a log does not end with its only terminal event");
        }
        let attempts = attempts(db, row.no).map_err(|error| error.to_string())?;
        if !attempts.is_sorted() {
            return Err(format!(
                "an attempt has sent events after the next one began: run {} of {}: {attempts:?}",
                row.no, row.task
            ));
        }
        let started = types.iter().filter(|(_, name)| name == "run.started").count();
        let retried = types.iter().filter(|(_, name)| name == "run.retrying").count();
        // A run that is cancelled between two attempts has announced one more.
        if retried + 1 != started && retried != started {
            return broken("an attempt was not announced once");
        }
        let Some(known) = known.iter().find(|known| known.id == row.id) else { continue };
        let count = |wanted: &str| types.iter().filter(|(_, name)| name == wanted).count();
        // One that was stored when the host died may be taken by the next attempt, and is in no log.
        let mut logged = i64::from(known.signals.unanswered);
        for (_, name) in &types {
            logged += i64::from(name == "run.signal") - i64::from(name == TAKEN);
            if logged < 0 {
                return broken("a guest took a signal that is not in the log before");
            }
        }
        if known.cancelled && row.status != "cancelled" {
            return broken("a cancel was acknowledged, but the run was not cancelled");
        }
        for (name, operation) in [("run.signal", &known.signals), ("run.paused", &known.pauses)] {
            let least = operation.acknowledged as usize;
            let most = (operation.acknowledged + operation.unanswered) as usize;
            if !(least..=most).contains(&count(name)) {
                return broken(&format!("{name} is not in the log once for each time: {operation:?}"));
            }
        }
    }
    Ok(())
}

/// The attempts of the run's events, oldest event first.
fn attempts(db: &Connection, run: i64) -> rusqlite::Result<Vec<u32>> {
    let mut statement =
        db.prepare_cached("SELECT attempt FROM events WHERE id > ?1 AND id < ?2 ORDER BY id")?;
    let range = [run << SEQ_BITS, (run + 1) << SEQ_BITS];
    statement.query_map(range, |row| row.get(0))?.collect()
}

fn types(db: &Connection, run: i64) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut statement =
        db.prepare_cached("SELECT id & 4294967295, type FROM events WHERE id > ?1 AND id < ?2 ORDER BY id")?;
    let range = [run << SEQ_BITS, (run + 1) << SEQ_BITS];
    statement.query_map(range, |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
