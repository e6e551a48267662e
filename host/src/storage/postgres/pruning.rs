//! Removal of ended runs, in steps that are small compared with a group of events.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use tokio_postgres::Row;

use super::Postgres;
use super::group::{Urgency, unreadable};
use super::hosts;
use super::parameters::values;
use super::run_row::{ReadError, parsed};
use crate::model::{Amount, EndPosition, EndedFilter, EndedRun, Part, RunId, RunKey, TaskRef, Timestamp};
use crate::postgres::Session;
use crate::storage::{Pruned, Pruning, Result};

/// Events that one step removes.
const STEP_EVENTS: i64 = 1_000;
/// Bytes of data that one step removes: each page of a large event is touched.
const STEP_BYTES: i64 = 1 << 20;
/// Cost of removing a run without events, in events: it is in several tables and indexes.
const RUN_COST: i64 = 32;
/// Runs of which one statement measures the events, so that it ends in time.
const MEASURED_AT_ONCE: usize = 64;
/// How far the stored end of removed events stays behind now. The time of an end is taken before the commit, and a commit
/// takes no longer than a statement may; the rest is for a server whose clock is corrected.
const BEHIND: Duration = Duration::from_secs(600);

/// The ended runs of a task, which an index has in the order of their ends.
const ENDED: &str =
    "FROM runs WHERE task = (SELECT no FROM tasks WHERE app = $1 AND task = $2) AND finished_at IS NOT NULL";

/// Whether the run has a parent that has not ended: one lookup by key, and none for a run without a parent.
const NEEDED: &str = "(runs.parent IS NOT NULL AND (SELECT parents.finished_at IS NULL FROM runs AS parents \
                      WHERE parents.no = runs.parent) IS TRUE)";

/// See [`Pruning::tasks`](Pruning::tasks).
async fn tasks(db: &Session) -> Result<Vec<TaskRef>, ReadError> {
    db.query("SELECT app, task FROM tasks ORDER BY app, task", &[])
        .await?
        .iter()
        .map(|row| hosts::task(row, 0))
        .collect()
}

/// See [`Pruning::ended_beyond`](Pruning::ended_beyond).
async fn ended_beyond(db: &Session, task: &TaskRef, newest: u64) -> Result<Option<EndPosition>, ReadError> {
    let newest = i64::try_from(newest).unwrap_or(i64::MAX);
    let sql = format!("SELECT finished_at, no {ENDED} ORDER BY finished_at DESC, no DESC LIMIT 1 OFFSET $3");
    let row = db.query_opt(&sql, &[&task.app.as_str(), &task.task.as_str(), &newest]).await?;
    row.as_ref().map(ending).transpose()
}

fn ending(row: &Row) -> Result<EndPosition, ReadError> {
    Ok(EndPosition { at: Timestamp::from_millis(row.try_get(0)?), run: row.try_get(1)? })
}

/// See [`Pruning::ended`](Pruning::ended).
async fn ended(
    db: &Session,
    task: &TaskRef,
    (from, to): (EndPosition, EndPosition),
    which: EndedFilter,
    limit: u32,
) -> Result<Vec<EndedRun>, ReadError> {
    let which = match which {
        EndedFilter::All => String::new(),
        EndedFilter::Removable => format!("AND NOT {NEEDED}"),
        EndedFilter::Needed => format!("AND {NEEDED}"),
    };
    let sql = format!(
        "SELECT finished_at, no, id {ENDED} AND (finished_at, no) >= ($3, $4) AND (finished_at, no) < ($5, $6) {which} \
         ORDER BY finished_at, no LIMIT $7"
    );
    let (app, task, limit) = (task.app.as_str(), task.task.as_str(), i64::from(limit));
    let (from_at, to_at) = (from.at.as_millis(), to.at.as_millis());
    let rows = db.query(&sql, &[&app, &task, &from_at, &from.run, &to_at, &to.run, &limit]).await?;
    let run = |row: &Row| {
        let ending = ending(row)?;
        let id = parsed("id", RunId::parse(row.try_get(2)?).ok())?;
        Ok(EndedRun { key: RunKey { no: ending.run, id }, ending })
    };
    rows.iter().map(run).collect()
}

/// See [`Pruning::measure`](Pruning::measure).
async fn measure(db: &Session, runs: &[i64], part: Part) -> Result<Amount, ReadError> {
    let sql = "SELECT count(*), sum(of_events.events)::bigint, sum(of_events.bytes)::bigint, \
                      sum(bytes_of_run_1(wanted.no))::bigint \
               FROM (SELECT no, removable_1(no, $2) AS last_seq FROM unnest($1::bigint[]) AS given (no)) AS wanted \
               CROSS JOIN LATERAL (SELECT count(*) AS events, \
                   sum(octet_length(coalesce(data, '')) + octet_length(coalesce(bytes, ''))) AS bytes FROM events \
                   WHERE id >= wanted.no << 32 \
                   AND id < CASE WHEN $2 THEN (wanted.no + 1) << 32 ELSE wanted.no << 32 | wanted.last_seq END \
               ) AS of_events WHERE wanted.last_seq IS NOT NULL";
    let whole = part == Part::Run;
    let mut amount = Amount::default();
    for runs in runs.chunks(MEASURED_AT_ONCE) {
        let row = db.query_one(sql, &[&runs, &whole]).await?;
        let count = |at: usize| {
            let count: Option<i64> = row.try_get(at)?;
            Ok::<_, ReadError>(u64::try_from(count.unwrap_or(0)).unwrap_or(0))
        };
        amount += Amount { runs: 0, events: count(1)?, bytes: count(2)? };
        if whole {
            amount += Amount { runs: count(0)?, events: 0, bytes: count(3)? };
        }
    }
    Ok(amount)
}

/// See [`Pruning::without_events`](Pruning::without_events).
async fn without_events(db: &Session, task: &TaskRef) -> Result<EndPosition, ReadError> {
    let sql = "SELECT without_events_to FROM tasks WHERE app = $1 AND task = $2";
    let row = db.query_opt(sql, &[&task.app.as_str(), &task.task.as_str()]).await?;
    let to: Option<Option<i64>> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(to.flatten().map_or(EndPosition::FIRST, |to| EndPosition::from(Timestamp::from_millis(to))))
}

/// See [`Pruning::rules`](Pruning::rules).
async fn rules(db: &Session) -> Result<Vec<(TaskRef, String)>, ReadError> {
    let sql = "SELECT app, task, retention FROM tasks WHERE retention IS NOT NULL ORDER BY app, task";
    let rows = db.query(sql, &[]).await?;
    rows.iter().map(|row| Ok((hosts::task(row, 0)?, row.try_get(2)?))).collect()
}

/// See [`Pruning::clock`](Pruning::clock).
async fn clock(db: &Session) -> Result<Option<(Timestamp, bool)>, ReadError> {
    let row = db.query_opt("SELECT believed, doubted FROM clock LIMIT 1", &[]).await?;
    row.map(|row| Ok((Timestamp::from_millis(row.try_get(0)?), row.try_get(1)?))).transpose()
}

/// The answer of `prune_1`.
#[derive(Deserialize)]
struct PruneAnswer {
    runs: u64,
    events: u64,
    bytes: u64,
    done: usize,
}

#[async_trait]
impl Pruning for Postgres {
    async fn tasks(&self) -> Result<Vec<TaskRef>> {
        self.readers.read((), |db, ()| Box::pin(tasks(db))).await
    }

    async fn ended_beyond(&self, task: &TaskRef, newest: u64) -> Result<Option<EndPosition>> {
        let arguments = (task.clone(), newest);
        self.readers.read(arguments, |db, (task, newest)| Box::pin(ended_beyond(db, task, *newest))).await
    }

    async fn ended(
        &self,
        task: &TaskRef,
        from: EndPosition,
        to: EndPosition,
        which: EndedFilter,
        limit: u32,
    ) -> Result<Vec<EndedRun>> {
        let read = self
            .readers
            .read((task.clone(), from, to, which, limit), |db, (task, from, to, which, limit)| {
                Box::pin(ended(db, task, (*from, *to), *which, *limit))
            });
        read.await
    }

    async fn measure(&self, runs: Vec<i64>, part: Part) -> Result<Amount> {
        self.readers.read((runs, part), |db, (runs, part)| Box::pin(measure(db, runs, *part))).await
    }

    async fn prune(&self, runs: Vec<i64>, part: Part) -> Result<Pruned> {
        let sql = "SELECT prune_1($1, $2, $3, $4, $5, $6, $7, $8)";
        let values = values![runs, part == Part::Run, STEP_EVENTS, RUN_COST, STEP_BYTES];
        let answer = self.lanes.call(None, sql, values, Urgency::Once).await?;
        let PruneAnswer { runs, events, bytes, done } =
            serde_json::from_str(&answer).map_err(|_| unreadable())?;
        Ok(Pruned { amount: Amount { runs, events, bytes }, done })
    }

    async fn without_events(&self, task: &TaskRef) -> Result<EndPosition> {
        self.readers.read(task.clone(), |db, task| Box::pin(without_events(db, task))).await
    }

    async fn set_without_events(&self, task: &TaskRef, to: EndPosition) -> Result<()> {
        let behind = i64::try_from(BEHIND.as_millis()).unwrap_or(i64::MAX);
        let sql = "SELECT set_without_events_1($1, $2, $3, $4, $5, $6)";
        let values = values![self.task_no(task).await?, to.at.as_millis(), behind];
        self.lanes.call(None, sql, values, Urgency::Once).await.map(drop)
    }

    async fn rules(&self) -> Result<Vec<(TaskRef, String)>> {
        self.readers.read((), |db, ()| Box::pin(rules(db))).await
    }

    async fn set_rules(&self, rules: Vec<(TaskRef, String)>) -> Result<()> {
        let mut tasks = Vec::with_capacity(rules.len());
        for (task, _) in &rules {
            tasks.push(self.task_no(task).await?);
        }
        let texts: Vec<String> = rules.into_iter().map(|(_, text)| text).collect();
        let sql = "SELECT set_rules_1($1, $2, $3, $4, $5)";
        self.lanes.call(None, sql, values![tasks, texts], Urgency::Once).await.map(drop)
    }

    async fn clock(&self) -> Result<Option<(Timestamp, bool)>> {
        self.readers.read((), |db, ()| Box::pin(clock(db))).await
    }

    async fn set_clock(&self, believed: Timestamp, doubted: bool) -> Result<()> {
        let sql = "SELECT set_clock_1($1, $2, $3, $4, $5)";
        self.lanes.call(None, sql, values![believed.as_millis(), doubted], Urgency::Once).await.map(drop)
    }

    /// PostgreSQL uses the space again and does not give it back.
    async fn shrink(&self) -> Result<bool> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Schema;
    use super::*;

    /// Another host may just be about to commit a run that ended a moment ago.
    #[tokio::test]
    async fn the_stored_end_of_removed_events_stays_behind_the_servers_clock() {
        let Some(schema) = Schema::fresh("the end of removed events") else { return };
        let storage = schema.open().await;
        let task = TaskRef::parse("test", "a").unwrap();
        let now = || schema.psql("SELECT now_ms()").trim().parse::<i64>().unwrap();
        let before = now();
        let future = EndPosition::from(Timestamp::from_millis(before + 3_600_000));
        storage.set_without_events(&task, future).await.unwrap();
        let stored = storage.without_events(&task).await.unwrap().at.as_millis();
        let behind = i64::try_from(BEHIND.as_millis()).unwrap();
        assert!(
            (before - behind..=now() - behind).contains(&stored),
            "{stored} is not 10 min before {before}"
        );
        let past = EndPosition::from(Timestamp::from_millis(before - behind - 1));
        storage.set_without_events(&task, past).await.unwrap();
        assert_eq!(storage.without_events(&task).await.unwrap(), past);
    }
}
