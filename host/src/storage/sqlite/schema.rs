//! The tables, and the migrations of older databases.
//!
//! The tables are also meant to be read with the `sqlite3` shell: `run_list` and `run_events` are views for people.

use rusqlite::Connection;

use super::OpenError;

/// Marks the file as ours: "strm" as a number.
const APPLICATION_ID: i32 = 0x7374_726d;

/// Each entry migrates the database to the next version. Entries are never edited, only added: `user_version` counts how
/// many have been applied.
const MIGRATIONS: &[&str] = &[V1, V2, V3, V4, V5, V6, V7, V8, V9, V10];

/// Bits of an event's id that hold its `seq`; the bits above hold the run's
/// number. One integer key makes the log of all runs a single B+tree ordered
/// by run and position: appending, replaying and deleting are each one range.
pub(super) const SEQ_BITS: u32 = 32;
/// Highest `seq` that fits.
pub(super) const MAX_SEQ: u64 = (1 << SEQ_BITS) - 1;

/// The key of an event.
pub(super) fn event_id(run: i64, seq: u64) -> i64 {
    run << SEQ_BITS | seq as i64
}

/// The keys of a run's events: the first possible one, and the one after the last.
pub(super) fn events_of(run: i64) -> (i64, i64) {
    (event_id(run, 0), event_id(run + 1, 0))
}

/// `hosts.lease_until` of a host that was declared dead or has left. 0 is that of a host that has not registered, or was
/// there before this process.
pub(super) const GONE: i64 = -1;

/// SQLite's number for `auto_vacuum` = incremental.
pub(super) const INCREMENTAL: i64 = 2;

/// Foreign keys are left out on purpose: every row is written by one room in
/// one transaction with what it refers to, and a check per row would cost a
/// lookup on the hot path.
const V1: &str = "
CREATE TABLE hosts (
    no          INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    lease_until INTEGER NOT NULL              -- ms since 1970; runs of a host past this are orphans
) STRICT;

CREATE TABLE tasks (
    no   INTEGER PRIMARY KEY,
    app  TEXT NOT NULL,
    task TEXT NOT NULL,
    UNIQUE (app, task)
) STRICT;

CREATE TABLE versions (
    no     INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE runs (
    no                  INTEGER PRIMARY KEY,
    id                  TEXT NOT NULL UNIQUE,
    task                INTEGER NOT NULL,     -- tasks.no
    status              TEXT NOT NULL,
    attempt             INTEGER NOT NULL,     -- 0: none yet
    fence               INTEGER NOT NULL,     -- grows with every claim
    owner               INTEGER,              -- hosts.no while under way
    version             INTEGER,              -- versions.no of the latest attempt
    created_at          INTEGER NOT NULL,     -- times are ms since 1970
    started_at          INTEGER,
    finished_at         INTEGER,
    cancel_requested_at INTEGER,
    last_seq            INTEGER,              -- of the terminal event
    labels              TEXT,                 -- JSON object
    idempotency_key     TEXT,
    input               TEXT NOT NULL,        -- JSON
    final_value         TEXT,                 -- JSON
    error               TEXT                  -- JSON
) STRICT;
CREATE INDEX runs_by_status ON runs (status, no);
CREATE INDEX runs_by_task ON runs (task, status, no);
CREATE INDEX runs_by_owner ON runs (owner) WHERE owner IS NOT NULL;
CREATE UNIQUE INDEX runs_by_key ON runs (task, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE run_labels (
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    run   INTEGER NOT NULL,                   -- runs.no
    PRIMARY KEY (key, value, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    id           INTEGER PRIMARY KEY,         -- runs.no << 32 | seq
    attempt      INTEGER NOT NULL,
    time         INTEGER NOT NULL,
    type         TEXT NOT NULL,
    channel      TEXT,
    content_type TEXT,                        -- of bytes; NULL for JSON
    data         ANY NOT NULL                 -- TEXT for JSON, BLOB for bytes
) STRICT;

CREATE TABLE checkpoints (
    run      INTEGER NOT NULL,                -- runs.no
    key      TEXT NOT NULL,
    value    BLOB NOT NULL,
    saved_at INTEGER NOT NULL,
    PRIMARY KEY (run, key)
) STRICT;

CREATE VIEW run_list AS
SELECT runs.id, tasks.app, tasks.task, runs.status, runs.attempt,
       strftime('%FT%H:%M:%fZ', runs.created_at / 1000.0, 'unixepoch') AS created,
       strftime('%FT%H:%M:%fZ', runs.finished_at / 1000.0, 'unixepoch') AS finished,
       runs.input, runs.final_value, runs.error
FROM runs JOIN tasks ON tasks.no = runs.task;

CREATE VIEW run_events AS
SELECT runs.id AS run, events.id & 4294967295 AS seq, events.attempt,
       strftime('%FT%H:%M:%fZ', events.time / 1000.0, 'unixepoch') AS time,
       events.type, events.channel, events.data
FROM events JOIN runs ON runs.no = events.id >> 32;
";

/// Rejects a database that this build must not change, before any change. Returns its version.
pub(super) fn check(db: &Connection) -> Result<usize, OpenError> {
    let version: usize = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(OpenError::Foreign);
    }
    if version > MIGRATIONS.len() {
        return Err(OpenError::Newer { found: version, known: MIGRATIONS.len() });
    }
    Ok(version)
}

/// Messages to runs.
const V2: &str = "
CREATE TABLE signals (
    no      INTEGER PRIMARY KEY,              -- oldest first
    run     INTEGER NOT NULL,                 -- runs.no
    name    TEXT NOT NULL,
    payload TEXT NOT NULL                     -- JSON
) STRICT;
CREATE INDEX signals_by_run ON signals (run, no);

CREATE TABLE parameters (
    run   INTEGER NOT NULL,                   -- runs.no
    name  TEXT NOT NULL,
    value TEXT NOT NULL,                      -- JSON
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
";

/// Delayed runs.
const V3: &str = "
ALTER TABLE runs ADD COLUMN not_before INTEGER; -- ms since 1970
CREATE INDEX runs_by_time ON runs (not_before) WHERE status = 'delayed';
";

/// Queueing: priorities, locks, parents and schedules.
const V4: &str = "
ALTER TABLE runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN needs TEXT;           -- JSON: {name: capacity}
ALTER TABLE runs ADD COLUMN waits_for TEXT;       -- the need that was not free
ALTER TABLE runs ADD COLUMN on_interrupt TEXT;    -- of the latest attempt; NULL: resume
ALTER TABLE runs ADD COLUMN parent INTEGER;       -- runs.no
ALTER TABLE runs ADD COLUMN detached INTEGER;     -- 1 if it goes on when its parent has ended
CREATE INDEX runs_by_turn ON runs (task, priority DESC, no) WHERE status = 'queued' AND waits_for IS NULL;
CREATE INDEX runs_by_need ON runs (waits_for, task, priority DESC, no) WHERE waits_for IS NOT NULL;
CREATE INDEX runs_with_needs ON runs (owner) WHERE owner IS NOT NULL AND needs IS NOT NULL;
CREATE TABLE schedules (
    task    INTEGER NOT NULL,                     -- tasks.no
    name    TEXT NOT NULL,
    spec    TEXT NOT NULL,
    reached INTEGER NOT NULL,                     -- ms since 1970; all starts up to then have been made
    PRIMARY KEY (task, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_parent ON runs (parent, no) WHERE parent IS NOT NULL;
CREATE INDEX runs_attached ON runs (parent)
    WHERE parent IS NOT NULL AND detached IS NULL AND finished_at IS NULL AND cancel_requested_at IS NULL;
";

/// Pruning: the order in which the runs of a task ended, the end up to which their events are removed, and the number of
/// the next run, because the newest one may be removed.
const V5: &str = "
CREATE INDEX runs_by_end ON runs (task, finished_at, no) WHERE finished_at IS NOT NULL;
ALTER TABLE tasks ADD COLUMN without_events_to INTEGER; -- ms since 1970
CREATE TABLE numbers (
    next_run INTEGER NOT NULL                 -- at least
) STRICT;
INSERT INTO numbers (next_run) VALUES (1);
";

/// Lists by time.
const V6: &str = "
CREATE INDEX runs_by_creation ON runs (created_at);
";

/// Policies for when the last client disconnects.
const V7: &str = "
ALTER TABLE runs ADD COLUMN on_disconnect TEXT; -- NULL: continue
";

/// Depths of child runs, and digests of requests.
const V8: &str = "
ALTER TABLE runs ADD COLUMN depth INTEGER NOT NULL DEFAULT 0; -- runs above it
ALTER TABLE schedules ADD COLUMN turn INTEGER NOT NULL DEFAULT 0; -- tells starts at the same time apart
ALTER TABLE runs ADD COLUMN request TEXT;         -- digest, of those with a key or an id of their own
WITH RECURSIVE family (no, depth) AS (
    SELECT no, 0 FROM runs WHERE parent IS NULL AND no IN (SELECT parent FROM runs WHERE parent IS NOT NULL)
    UNION ALL
    SELECT runs.no, family.depth + 1 FROM runs JOIN family ON runs.parent = family.no
)
UPDATE runs SET depth = coalesce((SELECT depth FROM family WHERE family.no = runs.no), 1)
WHERE parent IS NOT NULL AND finished_at IS NULL;
CREATE INDEX runs_by_depth ON runs (task, depth DESC, priority DESC, no)
    WHERE depth > 0 AND status = 'queued' AND waits_for IS NULL;
CREATE INDEX runs_blocked_by_depth ON runs (depth, waits_for) WHERE depth > 0 AND waits_for IS NOT NULL;
";

/// State of the retention sweeps that survives a restart.
const V9: &str = "
ALTER TABLE tasks ADD COLUMN retention TEXT; -- JSON: the rules in force, and those that wait; NULL: all is kept
CREATE TABLE clock (
    believed INTEGER NOT NULL,                -- ms since 1970
    doubted  INTEGER NOT NULL                 -- 1 if it has jumped since
) STRICT;
";

/// Messages that one host of a process sends to a run of another. A host whose `lease_until` is -1 is gone: it was declared
/// dead, or has left.
const V10: &str = "
CREATE TABLE messages (
    no    INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given again: a sender may still ask for it
    run   INTEGER NOT NULL,                   -- runs.no
    owner INTEGER NOT NULL,                   -- hosts.no
    kind  TEXT NOT NULL,
    name  TEXT,
    value TEXT                                -- JSON
) STRICT;
CREATE INDEX messages_by_run ON messages (run, no);
CREATE INDEX hosts_alive ON hosts (lease_until) WHERE lease_until > 0;
";

/// Lets the file shrink when something is removed. To be called first of all: in a
/// new database it has to be said before anything is in it, and an older one is
/// rewritten, once.
pub(super) fn let_shrink(db: &Connection) -> Result<(), OpenError> {
    let present: i64 = db.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if present == INCREMENTAL {
        return Ok(());
    }
    db.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 {
        tracing::info!("rewriting the database of an earlier version, so that it can shrink; once");
        // It needs as much room on the disk as the database has. Without, all works but for shrinking, and the
        // next start tries again.
        if let Err(error) = db.execute_batch("VACUUM") {
            tracing::warn!(%error, "could not rewrite the database; its file keeps its size");
        }
    }
    Ok(())
}

/// Brings the database to the present version.
pub(super) fn migrate(db: &mut Connection) -> Result<(), OpenError> {
    let version = check(db)?;
    for (done, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        // One transaction each: a crash in between leaves a whole version behind.
        let transaction = db.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", done + 1)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_database_gets_every_migration_once() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db).unwrap();
        migrate(&mut db).unwrap();
        let version: usize = db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, MIGRATIONS.len());
    }

    #[test]
    fn a_database_of_an_earlier_version_can_shrink_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.db");
        let mode = |db: &Connection| db.pragma_query_value(None, "auto_vacuum", |row| row.get::<_, i64>(0));
        {
            let db = Connection::open(&path).unwrap();
            db.pragma_update(None, "journal_mode", "WAL").unwrap();
            db.execute_batch(&format!("{V1}{V2}{V3} PRAGMA user_version = 3;")).unwrap();
            db.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            db.execute("INSERT INTO versions (sha256) VALUES ('kept')", []).unwrap();
            assert_eq!(mode(&db).unwrap(), 0);
        }
        let mut db = Connection::open(&path).unwrap();
        check(&db).unwrap();
        let_shrink(&db).unwrap();
        migrate(&mut db).unwrap();
        assert_eq!(mode(&db).unwrap(), INCREMENTAL);
        let kept: String = db.query_row("SELECT sha256 FROM versions", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, "kept");
    }

    #[test]
    fn a_newer_database_and_a_foreign_one_are_refused_untouched() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db).unwrap();
        db.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(migrate(&mut db), Err(OpenError::Newer { found: 99, .. })));

        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(matches!(migrate(&mut db), Err(OpenError::Foreign)));
    }
}
