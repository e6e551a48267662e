//! Deadlocks of running runs that wait for each other, read from the database into a [`WaitGraph`].

use std::collections::{BTreeSet, HashMap};

use super::deadlocks::{holders, locks_in};
use super::run_row::ReadError;
use super::waits::{self, Foreign};
use crate::model::{Lock, RunId};
use crate::postgres::Session;
use crate::storage::ChildWaits;
use crate::storage::wait_graph::{AnyOf, Holders, MAX_VISITED, WaitGraph, described};

/// A deadlock that a search has found.
pub(super) struct Deadlock {
    pub(super) reason: String,
    /// The waits of other hosts that the search has gone through.
    pub(super) foreign: Foreign,
    /// The oldest report of these.
    pub(super) oldest_report: i64,
}

/// See [`ChildRuns::deadlock`](crate::storage::ChildRuns::deadlock).
pub(super) async fn of_wait(
    db: &Session,
    run: i64,
    waits: &ChildWaits,
) -> Result<Option<Deadlock>, ReadError> {
    let Some(waited_for) = waits.of(run) else { return Ok(None) };
    // In each deadlock, some run waits for one that is blocked by a lock, and that wait finds the deadlock. For all other
    // waits, this check is enough.
    if !is_any_blocked(db, &waited_for).await? || search(db, run, waits).await?.is_none() {
        return Ok(None);
    }
    // The queries of a search see the database at different moments. Nothing changes in a deadlock, so it is found again.
    search(db, run, waits).await
}

async fn search(db: &Session, run: i64, waits: &ChildWaits) -> Result<Option<Deadlock>, ReadError> {
    let (graph, ids) = Default::default();
    let (foreign, oldest_report) = (Foreign::new(), i64::MAX);
    let mut search = Search { waits, holders: holders(db).await?, graph, ids, foreign, oldest_report };
    search.explore(db, run).await?;
    let Some(path) = search.graph.deadlock(run) else { return Ok(None) };
    let id = |run: i64| search.ids.get(&run).map_or("?", String::as_str);
    let reason = described(path.into_iter().map(|(run, lock)| (id(run), lock)));
    Ok(Some(Deadlock { reason, oldest_report: search.oldest_report, foreign: search.foreign }))
}

async fn is_any_blocked(db: &Session, runs: &[RunId]) -> Result<bool, ReadError> {
    let ids: Vec<&str> = runs.iter().map(RunId::as_str).collect();
    let sql = "SELECT EXISTS (SELECT 1 FROM unnest($1::text[]) AS wanted (id) JOIN runs ON runs.id = wanted.id \
               WHERE runs.waits_for IS NOT NULL)";
    Ok(db.query_one(sql, &[&ids]).await?.try_get(0)?)
}

struct Search<'a> {
    waits: &'a ChildWaits,
    holders: Holders,
    graph: WaitGraph,
    ids: HashMap<i64, String>,
    foreign: Foreign,
    oldest_report: i64,
}

impl Search<'_> {
    /// Reads the runs that `run` waits for, directly and through others, level by level. Runs beyond [`MAX_VISITED`] count
    /// as able to continue.
    async fn explore(&mut self, db: &Session, run: i64) -> Result<(), ReadError> {
        let mut next = BTreeSet::from([run]);
        while !next.is_empty() {
            let unread = next.iter().copied().filter(|run| !self.graph.contains(*run));
            let level: Vec<i64> = unread.take(self.graph.room()).collect();
            let mut states = self.read(db, &level).await?;
            let waits = self.child_waits(db, &states).await?;
            let children = read_children(db, &waits).await?;
            next.clear();
            for run in level {
                let for_all = match states.remove(&run) {
                    None => Vec::new(),
                    Some(State { owned: true, .. }) => {
                        waits.get(&run).map_or_else(Vec::new, |of| any_of(of, &children))
                    }
                    Some(State { locks, .. }) => AnyOf::of_locks(&locks, &self.holders),
                };
                next.extend(for_all.iter().flat_map(|any| &any.runs));
                self.graph.add(run, for_all);
            }
        }
        Ok(())
    }

    /// Reads those of the runs that have not ended.
    async fn read(&mut self, db: &Session, runs: &[i64]) -> Result<HashMap<i64, State>, ReadError> {
        let mut states = HashMap::new();
        if runs.is_empty() {
            return Ok(states);
        }
        let sql = "SELECT runs.no, runs.id, runs.owner IS NOT NULL, runs.locks, runs.capacities \
                   FROM unnest($1::bigint[]) AS wanted (no) JOIN runs ON runs.no = wanted.no \
                   WHERE runs.finished_at IS NULL";
        for row in db.query(sql, &[&runs]).await? {
            let no: i64 = row.try_get(0)?;
            self.ids.insert(no, row.try_get(1)?);
            states.insert(no, State { owned: row.try_get(2)?, locks: locks_in(&row, 3, 4)? });
        }
        Ok(states)
    }

    /// The children that the owned ones of the runs wait for, at this host and at others.
    async fn child_waits(
        &mut self,
        db: &Session,
        states: &HashMap<i64, State>,
    ) -> Result<HashMap<i64, Vec<String>>, ReadError> {
        let owned = states.iter().filter(|(_, state)| state.owned).map(|(run, _)| *run);
        let (mut found, mut others) = (HashMap::new(), Vec::new());
        for run in owned {
            match self.waits.of(run) {
                Some(children) => drop(found.insert(run, children.iter().map(RunId::to_string).collect())),
                None => others.push(run),
            }
        }
        if others.is_empty() {
            return Ok(found);
        }
        for (run, wait) in waits::reported(db, &others).await? {
            self.foreign.insert(run, wait.reported);
            self.oldest_report = self.oldest_report.min(wait.report_at);
            found.insert(run, wait.children);
        }
        Ok(found)
    }
}

/// Numbers of the children, by id, without those that have ended.
async fn read_children(
    db: &Session,
    waits: &HashMap<i64, Vec<String>>,
) -> Result<HashMap<String, i64>, ReadError> {
    let ids: BTreeSet<&str> =
        waits.values().filter(|of| of.len() <= MAX_VISITED).flatten().map(String::as_str).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<&str> = ids.into_iter().collect();
    let sql = "SELECT runs.id, runs.no FROM unnest($1::text[]) AS wanted (id) JOIN runs ON runs.id = wanted.id \
               WHERE runs.finished_at IS NULL";
    let mut found = HashMap::new();
    for row in db.query(sql, &[&ids]).await? {
        found.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(found)
}

/// The condition of a run that waits for any of the children; none if one of them has ended, which ends the wait.
fn any_of(children: &[String], numbers: &HashMap<String, i64>) -> Vec<AnyOf> {
    let runs: Option<Vec<i64>> = children.iter().map(|id| numbers.get(id).copied()).collect();
    runs.map(|runs| AnyOf { runs, lock: None }).into_iter().collect()
}

/// What a run that has not ended waits with: an owned one for children, another one for its locks.
struct State {
    owned: bool,
    locks: Vec<Lock>,
}
