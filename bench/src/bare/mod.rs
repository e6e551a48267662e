//! The bare implementations: the same work without a host.

mod server;

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, OpenFlags, params};

pub(crate) use server::{Bare, serve, tick};

/// Rows per transaction of the bare loop.
const ROWS_PER_TRANSACTION: usize = 1000;

/// Inserts the newest events of the database `from` into a table with the same schema in `folder`,
/// in a loop that does nothing else. Returns the rows per second.
pub(crate) fn insert_rate(from: &Path, folder: &Path, count: usize) -> f64 {
    let source =
        Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the host's database");
    let table: String = source
        .query_row("SELECT sql FROM sqlite_schema WHERE name = 'events'", [], |row| row.get(0))
        .expect("the host's schema");
    let mut rows = source
        .prepare("SELECT id, attempt, time, type, data FROM events ORDER BY id DESC LIMIT ?1")
        .expect("the host's schema");
    let mut rows: Vec<(i64, u32, i64, String, String)> = rows
        .query_map([count as i64], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .and_then(Iterator::collect)
        .expect("the host's rows");

    // In order, like the host.
    rows.reverse();
    let mut db = Connection::open(folder.join("bare.db")).expect("a writable folder");
    db.pragma_update(None, "journal_mode", "WAL").expect("SQLite");
    db.pragma_update(None, "synchronous", "FULL").expect("SQLite");
    db.execute_batch(&table).expect("the host's schema");
    let began = Instant::now();
    for chunk in rows.chunks(ROWS_PER_TRANSACTION) {
        let transaction = db.transaction().expect("SQLite");
        {
            let mut insert = transaction
                .prepare_cached(
                    "INSERT INTO events (id, attempt, time, type, channel, content_type, data) \
                     VALUES (?1, ?2, ?3, ?4, NULL, NULL, ?5)",
                )
                .expect("the host's schema");
            for (id, attempt, time, kind, data) in chunk {
                insert.execute(params![id, attempt, time, kind, data]).expect("SQLite");
            }
        }
        transaction.commit().expect("SQLite");
    }
    rows.len() as f64 / began.elapsed().as_secs_f64()
}
