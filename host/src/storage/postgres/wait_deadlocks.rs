//! Deadlocks of running runs that wait for each other.
//!
//! A run that waits for children continues when any of them has ended, and a queued run when all of its locks are free. So
//! a circle alone is no deadlock, as long as one of its runs can continue in another way. The search finds the runs that
//! can't continue whatever happens. If such a run leads back to itself, its wait fails, which lets the others continue.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::deadlocks::{Holders, MAX_VISITED, holders, holders_if_full, locks_in};
use super::run_row::ReadError;
use super::waits::{self, Foreign};
use crate::model::{Lock, RunId};
use crate::postgres::Session;
use crate::storage::ChildWaits;

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
    let mut graph = WaitGraph {
        waits,
        holders: holders(db).await?,
        runs: BTreeMap::new(),
        ids: HashMap::new(),
        foreign: Foreign::new(),
        oldest_report: i64::MAX,
    };
    graph.explore(db, run).await?;
    graph.mark_runs_that_continue();
    let Some(path) = graph.path_back(run) else { return Ok(None) };
    let links: Vec<String> = path.iter().map(|link| graph.describe(link)).collect();
    let reason = format!("it would wait for ever: it waits for {}", links.join(", which waits for "));
    Ok(Some(Deadlock { reason, oldest_report: graph.oldest_report, foreign: graph.foreign }))
}

async fn is_any_blocked(db: &Session, runs: &[RunId]) -> Result<bool, ReadError> {
    let ids: Vec<&str> = runs.iter().map(RunId::as_str).collect();
    let sql = "SELECT EXISTS (SELECT 1 FROM unnest($1::text[]) AS wanted (id) JOIN runs ON runs.id = wanted.id \
               WHERE runs.waits_for IS NOT NULL)";
    Ok(db.query_one(sql, &[&ids]).await?.try_get(0)?)
}

/// The conditions of a waiting run: it continues when all of them are met.
struct WaitingRun {
    for_all: Vec<AnyOf>,
    /// Whether it is known to be able to continue.
    continues: bool,
}

/// A condition that is met when any of the runs continues.
struct AnyOf {
    runs: Vec<i64>,
    /// The lock that they hold; none for children.
    lock: Option<String>,
}

/// A step of a path: the run, and the lock that it holds if the wait is for a lock.
type Link<'a> = (i64, Option<&'a str>);

struct WaitGraph<'a> {
    waits: &'a ChildWaits,
    holders: Holders,
    /// The runs that were reached from the first.
    runs: BTreeMap<i64, WaitingRun>,
    ids: HashMap<i64, String>,
    foreign: Foreign,
    oldest_report: i64,
}

impl WaitGraph<'_> {
    /// Reads the runs that `run` waits for, directly and through others, level by level. Runs beyond [`MAX_VISITED`] count
    /// as able to continue.
    async fn explore(&mut self, db: &Session, run: i64) -> Result<(), ReadError> {
        let mut next = BTreeSet::from([run]);
        while !next.is_empty() {
            let room = MAX_VISITED.saturating_sub(self.runs.len());
            let level: Vec<i64> =
                next.iter().copied().filter(|run| !self.runs.contains_key(run)).take(room).collect();
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
                    Some(State { locks, .. }) => self.full_locks(&locks),
                };
                next.extend(for_all.iter().flat_map(|any| &any.runs));
                let continues = for_all.is_empty();
                self.runs.insert(run, WaitingRun { for_all, continues });
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

    fn full_locks(&self, locks: &[Lock]) -> Vec<AnyOf> {
        let full = locks.iter().filter_map(|lock| {
            let holders = holders_if_full(&self.holders, lock)?;
            Some(AnyOf { runs: holders.to_vec(), lock: Some(lock.name.clone()) })
        });
        full.collect()
    }

    fn continues(&self, run: i64) -> bool {
        self.runs.get(&run).is_none_or(|waiting| waiting.continues)
    }

    fn mark_runs_that_continue(&mut self) {
        loop {
            let can = |any: &AnyOf| any.runs.iter().any(|run| self.continues(*run));
            let found: Vec<i64> = self
                .runs
                .iter()
                .filter(|(_, waiting)| !waiting.continues && waiting.for_all.iter().all(can))
                .map(|(run, _)| *run)
                .collect();
            if found.is_empty() {
                return;
            }
            for run in found {
                if let Some(waiting) = self.runs.get_mut(&run) {
                    waiting.continues = true;
                }
            }
        }
    }

    /// A shortest path from the run back to itself through runs that can't continue.
    fn path_back(&self, run: i64) -> Option<Vec<Link<'_>>> {
        if self.continues(run) {
            return None;
        }
        // The predecessor of each run, and the lock that led from there.
        let mut came_from: BTreeMap<i64, Link<'_>> = BTreeMap::new();
        let mut level = vec![run];
        while !level.is_empty() && !came_from.contains_key(&run) {
            let mut next = Vec::new();
            for at in level {
                let waiting = self.runs.get(&at)?;
                let stuck = |any: &&AnyOf| any.runs.iter().all(|run| !self.continues(*run));
                for any in waiting.for_all.iter().filter(stuck) {
                    for run in &any.runs {
                        came_from.entry(*run).or_insert_with(|| {
                            next.push(*run);
                            (at, any.lock.as_deref())
                        });
                    }
                }
            }
            level = next;
        }
        let (mut at, mut path) = (run, Vec::new());
        loop {
            let (before, lock) = came_from.get(&at)?;
            path.push((at, *lock));
            at = *before;
            if at == run {
                break;
            }
        }
        path.reverse();
        Some(path)
    }

    fn describe(&self, (run, lock): &Link<'_>) -> String {
        let id = self.ids.get(run).map_or("?", String::as_str);
        match lock {
            Some(lock) => format!("{lock}, which the run {id} holds"),
            None => format!("the run {id}"),
        }
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
