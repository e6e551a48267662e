//! The column `needs` of a run: its locks.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Row;

use super::run_row;
use crate::model::{Json, Lock};

/// Locks as a column: NULL for none.
pub(super) fn write(locks: &[Lock]) -> Option<String> {
    let map: serde_json::Map<String, serde_json::Value> =
        locks.iter().map(|lock| (lock.name.clone(), lock.capacity.into())).collect();
    (!map.is_empty()).then(|| Json::of(&map).into_string())
}

/// The locks in a column.
pub(super) fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Arc<[Lock]>>> {
    let Some(text) = row.get_ref(at)?.as_str_or_null()? else { return Ok(None) };
    let map: BTreeMap<String, u32> = run_row::parsed(at, serde_json::from_str(text).ok())?;
    Ok(Some(map.into_iter().map(|(name, capacity)| Lock { name, capacity }).collect()))
}
