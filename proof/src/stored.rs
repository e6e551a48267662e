//! Reads the database after the host has stopped.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;

use crate::history::{StoredEvent, StoredRun};

/// All runs in the database.
///
/// # Panics
/// If the database can't be read.
pub(crate) fn read(path: &Path) -> Vec<StoredRun> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database");
    let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a database");
    assert_eq!(sound, "ok", "SQLite reports a corrupt database");
    let mut events = by_run(
        &db,
        "SELECT id >> 32, id & 4294967295, attempt, time, type, data FROM events ORDER BY id",
        |row| {
            Ok(StoredEvent {
                seq: row.get(1)?,
                attempt: row.get(2)?,
                time: row.get(3)?,
                kind: row.get(4)?,
                data: json(row.get(5)?),
            })
        },
    );
    let mut signals =
        by_run(&db, "SELECT run, payload FROM signals ORDER BY no", |row| Ok(json(row.get(1)?)));
    let mut parameters = by_run(&db, "SELECT run, name, value FROM parameters", |row| {
        Ok((row.get::<_, String>(1)?, json(row.get(2)?)))
    });
    let sql = "SELECT no, id, status, attempt, input, idempotency_key, last_seq, cancel_requested_at IS NOT NULL \
               FROM runs ORDER BY no";
    let mut query = db.prepare(sql).expect("the tables of a host");
    let runs = query.query_map([], |row| {
        let no: i64 = row.get(0)?;
        Ok(StoredRun {
            id: row.get(1)?,
            status: row.get(2)?,
            attempt: row.get(3)?,
            input: json(row.get(4)?),
            key: row.get(5)?,
            last_seq: row.get(6)?,
            cancel_requested: row.get(7)?,
            events: events.remove(&no).unwrap_or_default(),
            signals: signals.remove(&no).unwrap_or_default(),
            parameters: parameters.remove(&no).map(BTreeMap::from_iter).unwrap_or_default(),
            locks: Vec::new(),
        })
    });
    runs.and_then(Iterator::collect).expect("the tables of a host")
}

fn json(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// Rows, by the run number in their first column.
fn by_run<T>(
    db: &Connection,
    sql: &str,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> HashMap<i64, Vec<T>> {
    let mut query = db.prepare(sql).expect("the tables of a host");
    let rows = query.query_map([], |row| Ok((row.get(0)?, read(row)?)));
    let mut found: HashMap<i64, Vec<T>> = HashMap::new();
    for row in rows.expect("the tables of a host") {
        let (run, value): (i64, T) = row.expect("rows that a host wrote");
        found.entry(run).or_default().push(value);
    }
    found
}
