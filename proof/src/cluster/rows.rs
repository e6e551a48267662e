//! Reads the database by the server's own client, and compares rows with each other.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use streamtask_test_postgres::Server;

use super::SCHEMA;
use crate::history::{StoredEvent, StoredRun};

/// One line for each row. A single statement, so all rows are of one moment.
const ROWS: &str = "
SELECT 'e' || json_build_array(id >> 32, id & 4294967295, attempt, time, type, data)::text FROM (SELECT * FROM events ORDER BY id) e
UNION ALL SELECT 's' || json_build_array(run, payload)::text FROM (SELECT * FROM signals ORDER BY no) s
UNION ALL SELECT 'p' || json_build_array(run, name, value)::text FROM parameters
UNION ALL SELECT 'r' || json_build_array(no, id, status_name(status), attempt, input, idempotency_key, last_seq,
    cancel_requested_at IS NOT NULL, locks, capacities)::text
    FROM (SELECT * FROM runs JOIN run_data ON run = no ORDER BY no) r";

/// What the counters say beside the rows that they count, where these differ. Each operation changes both in one
/// transaction, so they agree at every moment.
const DISAGREEMENTS: &str = "
SELECT format('lock %s: %s in use, held by %s', locks.name, used, held.number) FROM locks
    CROSS JOIN LATERAL (SELECT count(*) AS number FROM runs WHERE owner IS NOT NULL AND locks.name = ANY (runs.locks)) held
    WHERE used <> held.number
UNION ALL
SELECT format('lock %s: held by %s runs above its capacity %s', name, count(*), min(capacity)) FROM runs
    CROSS JOIN LATERAL unnest(locks, capacities) held (name, capacity) WHERE owner IS NOT NULL
    GROUP BY name HAVING count(*) > min(capacity)
UNION ALL
SELECT format('task %s: %s ready and %s blocked in all, counted as %s and %s', task, sum(ready), sum(blocked),
    sum(counted_ready), sum(counted_blocked)) FROM (
        SELECT task, (waits_for IS NULL)::int AS ready, (waits_for IS NOT NULL)::int AS blocked, 0 AS counted_ready,
            0 AS counted_blocked FROM runs WHERE status = 0
        UNION ALL SELECT task, 0, 0, ready, blocked FROM queued) both_sides
    GROUP BY task HAVING sum(ready) <> sum(counted_ready) OR sum(blocked) <> sum(counted_blocked)
UNION ALL
SELECT format('run %s: %s and owner %s', id, status_name(status), owner) FROM runs
    WHERE (status IN (0, 1) OR status >= 4) AND owner IS NOT NULL OR status = 2 AND owner IS NULL
UNION ALL
SELECT format('message %s of run %s, which no host executes', messages.no, runs.id) FROM messages
    JOIN runs ON runs.no = messages.run WHERE runs.owner IS NULL";

fn ask(server: &Server, sql: &str) -> Vec<String> {
    // Not the timeouts of a host: a read of everything takes its time.
    let text = server.psql(&format!("SET search_path = {SCHEMA}; {sql}"));
    text.lines().map(str::to_owned).collect()
}

/// All runs, and the rows that they were read from.
pub(super) fn read(server: &Server) -> (Vec<StoredRun>, String) {
    let lines = ask(server, ROWS);
    let mut events: HashMap<i64, Vec<StoredEvent>> = HashMap::new();
    let mut signals: HashMap<i64, Vec<Value>> = HashMap::new();
    let mut parameters: HashMap<i64, BTreeMap<String, Value>> = HashMap::new();
    let mut runs = Vec::new();
    for line in &lines {
        let (kind, row) = line.split_at(1);
        let row: Value = serde_json::from_str(row).expect("rows that a host wrote");
        let run = row[0].as_i64().expect("a number");
        match kind {
            "e" => events.entry(run).or_default().push(StoredEvent {
                seq: row[1].as_u64().unwrap_or(0),
                attempt: row[2].as_u64().unwrap_or(0),
                time: row[3].as_i64().unwrap_or(0),
                kind: text(&row[4]),
                data: json(&row[5]),
            }),
            "s" => signals.entry(run).or_default().push(json(&row[1])),
            "p" => drop(parameters.entry(run).or_default().insert(text(&row[1]), json(&row[2]))),
            _ => runs.push(row),
        }
    }
    let runs = runs.iter().map(|row| {
        let no = row[0].as_i64().expect("a number");
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let capacities = list(&row[9]).into_iter().map(|capacity| capacity.as_u64().unwrap_or(0) as usize);
        StoredRun {
            id: text(&row[1]),
            status: text(&row[2]),
            attempt: row[3].as_u64().unwrap_or(0),
            input: json(&row[4]),
            key: row[5].as_str().map(str::to_owned),
            last_seq: row[6].as_u64(),
            cancel_requested: row[7] == true,
            events: events.remove(&no).unwrap_or_default(),
            signals: signals.remove(&no).unwrap_or_default(),
            parameters: parameters.remove(&no).unwrap_or_default(),
            locks: list(&row[8]).iter().map(text).zip(capacities).collect(),
        }
    });
    (runs.collect(), lines.join("\n"))
}

/// Counters that differ from the rows that they count.
pub(super) fn disagreements(server: &Server) -> Vec<String> {
    ask(server, DISAGREEMENTS)
}

/// Runs of hosts that are dead, or whose lease is over.
pub(super) fn orphans(server: &Server) -> Vec<String> {
    ask(
        server,
        "SELECT runs.id FROM runs JOIN hosts ON hosts.no = runs.owner WHERE dead_at IS NOT NULL OR lease_until < now_ms()",
    )
}

/// The number of runs that have ended.
pub(super) fn ended(server: &Server) -> usize {
    ask(server, "SELECT count(*) FROM runs WHERE finished_at IS NOT NULL")
        .first()
        .and_then(|line| line.parse().ok())
        .unwrap_or(0)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A value that is stored as text.
fn json(value: &Value) -> Value {
    value.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}
