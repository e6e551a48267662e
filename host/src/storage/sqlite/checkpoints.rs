//! Checkpoints: values that runs save for their next attempt.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::state::{Applied, Tx};
use crate::model::{Fence, RunKey, Timestamp};
use crate::storage::{MAX_CHECKPOINT_BYTES_PER_RUN, StorageError};

/// Saves or replaces the value under the key, or removes it if `value` is none.
pub(super) fn save(
    tx: &mut Tx<'_>,
    run: &RunKey,
    fence: Fence,
    key: &str,
    value: Option<&[u8]>,
) -> Applied<()> {
    tx.owned(run.no, fence)?;
    let Some(value) = value else {
        tx.db
            .prepare_cached("DELETE FROM checkpoints WHERE run = ?1 AND key = ?2")?
            .execute(params![run.no, key])?;
        return Ok(());
    };
    let others: u64 = tx
        .db
        .prepare_cached(
            "SELECT coalesce(sum(length(value)), 0) FROM checkpoints WHERE run = ?1 AND key <> ?2",
        )?
        .query_row(params![run.no, key], |row| row.get(0))?;
    if others + value.len() as u64 > MAX_CHECKPOINT_BYTES_PER_RUN {
        let message =
            format!("the run's checkpoints would have more than {MAX_CHECKPOINT_BYTES_PER_RUN} bytes");
        return Err(StorageError::Limit(message).into());
    }
    tx.db
        .prepare_cached(
            "INSERT OR REPLACE INTO checkpoints (run, key, value, saved_at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![run.no, key, value, Timestamp::now().as_millis()])?;
    Ok(())
}

/// The last saved value.
pub(super) fn load(db: &Connection, run: i64, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    db.prepare_cached("SELECT value FROM checkpoints WHERE run = ?1 AND key = ?2")?
        .query_row(params![run, key], |row| row.get(0))
        .optional()
}

/// Whether the run has any checkpoint.
pub(super) fn any(db: &Connection, run: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM checkpoints WHERE run = ?1)")?
        .query_row([run], |row| row.get(0))
}

/// Removes all checkpoints of a run that has ended.
pub(super) fn remove(tx: &mut Tx<'_>, run: i64) -> rusqlite::Result<()> {
    tx.db.prepare_cached("DELETE FROM checkpoints WHERE run = ?1")?.execute([run])?;
    Ok(())
}
