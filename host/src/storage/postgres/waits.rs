//! Waits for child runs that hosts report to each other, for the search of deadlocks.
//!
//! Which runs wait is known to their host alone, in its memory. So a host with such runs reports them once a second while
//! other hosts are alive.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Postgres;
use super::group::Urgency;
use super::parameters::values;
use super::run_row::ReadError;
use crate::model::{Json, RunId};
use crate::postgres::Session;
use crate::storage::{ChildWaits, Result};

/// Least time between two reports. Waits are looked at once a second.
const INTERVAL: Duration = Duration::from_millis(900);
/// Age at which the last report of a host says nothing any more. It may have stopped, and its waits may have ended.
const MAX_AGE_MS: i64 = 5_000;

/// What was reported, and what is suspected.
#[derive(Default)]
pub(super) struct WaitReports(Mutex<State>);

#[derive(Default)]
struct State {
    /// The waits of this host. Weak, because a host that stops drops them.
    waits: Weak<ChildWaits>,
    /// What the database has of them.
    reported: BTreeMap<i64, Arc<[RunId]>>,
    last: Option<Instant>,
    suspects: HashMap<i64, Suspect>,
}

/// A deadlock that was found through waits of other hosts, and that may have been over when it was found.
struct Suspect {
    waits: Foreign,
    /// The oldest report when it was found first, and after the first report that came since.
    seen: [i64; 2],
}

/// Waits of other hosts that a search has gone through: the reporting host and the number of the report, by run.
pub(super) type Foreign = BTreeMap<i64, (i64, i64)>;

/// A run of another host that waits.
pub(super) struct ForeignWait {
    pub(super) children: Vec<String>,
    pub(super) reported: (i64, i64),
    /// When that host has last said that its waits go on.
    pub(super) report_at: i64,
}

/// What changed since the last report.
struct Report {
    ended: Vec<i64>,
    begun: Vec<(i64, Arc<[RunId]>)>,
}

impl WaitReports {
    /// Remembers whose waits to report.
    pub(super) fn follow(&self, waits: &Arc<ChildWaits>) {
        self.0.lock().waits = Arc::downgrade(waits);
    }

    /// What is to be reported now; none if there is nothing, or if it was done a moment ago.
    fn due(&self) -> Option<Report> {
        let mut state = self.0.lock();
        let is_idle = state.reported.is_empty() && state.waits.strong_count() == 0;
        if is_idle || state.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return None;
        }
        state.last = Some(Instant::now());
        let waits = state.waits.upgrade().map(|waits| waits.all()).unwrap_or_default();
        state.suspects.retain(|run, _| waits.contains_key(run));
        let is_known = |run: &i64, children: &Arc<[RunId]>| {
            state.reported.get(run).is_some_and(|known| Arc::ptr_eq(known, children))
        };
        let ended = state.reported.keys().filter(|run| !waits.contains_key(run)).copied().collect();
        let begun = waits.iter().filter(|(run, children)| !is_known(run, children));
        let begun = begun.map(|(run, children)| (*run, Arc::clone(children))).collect();
        (!waits.is_empty() || !state.reported.is_empty()).then_some(Report { ended, begun })
    }

    fn done(&self, report: Report) {
        let mut state = self.0.lock();
        for run in report.ended {
            state.reported.remove(&run);
        }
        state.reported.extend(report.begun);
    }

    /// Whether a deadlock of the run that was found through these waits is certain: all of them went on in a report that was
    /// begun after it had been found first. `oldest` is the oldest of their reports.
    pub(super) fn is_certain(&self, run: i64, waits: Foreign, oldest: i64) -> bool {
        let mut state = self.0.lock();
        let suspect = state
            .suspects
            .entry(run)
            .or_insert_with(|| Suspect { waits: waits.clone(), seen: [oldest, i64::MAX] });
        if suspect.waits != waits {
            *suspect = Suspect { waits, seen: [oldest, i64::MAX] };
        }
        // The first report that comes may have been begun before.
        if suspect.seen[1] == i64::MAX && oldest > suspect.seen[0] {
            suspect.seen[1] = oldest;
        }
        oldest > suspect.seen[1]
    }

    /// Forgets what was suspected of a run.
    pub(super) fn clear(&self, run: i64) {
        self.0.lock().suspects.remove(&run);
    }
}

impl Postgres {
    /// Reports which runs wait, if other hosts are alive. Called at least once a second as long as there are any. A report
    /// that fails is made again the next time.
    pub(super) async fn report_waits(&self) {
        let Some(report) = self.waits.due() else { return };
        match self.write_report(&report).await {
            Ok(true) => self.waits.done(report),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "the runs that wait could not be reported to other hosts"),
        }
    }

    /// Whether there is another host to report to.
    async fn write_report(&self, report: &Report) -> Result<bool> {
        if !self.readers.read((), |db, ()| Box::pin(has_others(db))).await? {
            return Ok(false);
        }
        let runs: Vec<i64> = report.begun.iter().map(|(run, _)| *run).collect();
        let children = |(_, children): &(i64, Arc<[RunId]>)| {
            let ids: Vec<&str> = children.iter().map(RunId::as_str).collect();
            Json::of(&ids).into_string()
        };
        let children: Vec<String> = report.begun.iter().map(children).collect();
        let sql = "SELECT report_waits_1($1, $2, $3, $4, $5, $6)";
        self.lanes.call(None, sql, values![report.ended.clone(), runs, children], Urgency::Once).await?;
        Ok(true)
    }
}

async fn has_others(db: &Session) -> Result<bool, ReadError> {
    let sql = "SELECT count(*) > 1 FROM hosts WHERE dead_at IS NULL AND lease_until > 0";
    Ok(db.query_one(sql, &[]).await?.try_get(0)?)
}

/// Those of the runs that another host has reported to wait, and still owns.
pub(super) async fn reported(db: &Session, runs: &[i64]) -> Result<HashMap<i64, ForeignWait>, ReadError> {
    let sql = "SELECT child_waits.run, child_waits.children, child_waits.host, child_waits.since, wait_reports.at \
               FROM unnest($1::bigint[]) AS wanted (no) JOIN child_waits ON child_waits.run = wanted.no \
               JOIN runs ON runs.no = child_waits.run AND runs.owner IS NOT NULL AND runs.fence = child_waits.fence \
               JOIN wait_reports ON wait_reports.host = child_waits.host \
               WHERE wait_reports.at > now_ms() - $2";
    let mut found = HashMap::new();
    for row in db.query(sql, &[&runs, &MAX_AGE_MS]).await? {
        let wait = ForeignWait {
            children: row.try_get(1)?,
            reported: (row.try_get(2)?, row.try_get(3)?),
            report_at: row.try_get(4)?,
        };
        found.insert(row.try_get(0)?, wait);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Schema;
    use super::*;
    use crate::model::{HostId, Json, Lock, OnInterrupt, Run, TaskRef, Timestamp, Version};
    use crate::storage::{
        ChildRuns as _, Claimant, HostInfo, Hosts as _, NewRun, Parent, Runs as _, Signals as _,
        SubmitOutcome,
    };

    /// A host with a storage of its own.
    struct Host {
        storage: Postgres,
        id: HostId,
        waits: Arc<ChildWaits>,
    }

    impl Host {
        async fn open(schema: &Schema) -> Self {
            let (storage, id) = (schema.open().await, HostId::new());
            storage.register(&HostInfo::new(id.clone()), 60_000).await.unwrap();
            Self { storage, id, waits: Arc::default() }
        }

        /// Starts a run, if it can start at once.
        async fn start(&self, parent: Option<Parent>, lock: bool) -> Run {
            let locks = lock.then(|| Lock { name: "x".to_owned(), capacity: 1 }).into_iter().collect();
            let task = TaskRef::parse("test", "a").unwrap();
            let new =
                NewRun { locks, parent, ..NewRun::new(RunId::new(), task, Json::null(), Timestamp::now()) };
            let version = Version::of(b"a");
            let claimant = Claimant { owner: self.id.clone(), version, on_interrupt: OnInterrupt::default() };
            match self.storage.submit(new, Some(claimant)).await.unwrap() {
                SubmitOutcome::Claimed(claimed) => claimed.run,
                SubmitOutcome::Queued(run) | SubmitOutcome::Existing(run) => run,
            }
        }

        /// What a run does once a second while it waits, and what its host does.
        async fn look(&self, run: &Run) -> Option<String> {
            self.storage.messages(&self.id, 9).await.unwrap();
            self.storage.deadlock(run.key.no, Arc::clone(&self.waits)).await.unwrap()
        }
    }

    /// A run at one host waits for a run at another one, which waits for a run that waits for a lock that the first holds.
    #[tokio::test]
    async fn a_deadlock_through_a_run_of_another_host_is_found() {
        let Some(schema) = Schema::fresh("a deadlock over two hosts") else { return };
        let (one, other) = (Host::open(&schema).await, Host::open(&schema).await);
        let holder = one.start(None, true).await;
        let child = other.start(Some(Parent { run: holder.key.no, depth: 1, detached: true }), false).await;
        let blocked = other.start(Some(Parent { run: child.key.no, depth: 2, detached: false }), true).await;
        assert_eq!(blocked.waits_for.as_deref(), Some("x"));
        let _waits = other.waits.begin(child.key.no, [blocked.key.id.clone()].into());
        let reports = async |times: u32, waiting: &Run| {
            for _ in 0..times {
                tokio::time::sleep(INTERVAL + Duration::from_millis(50)).await;
                one.look(waiting).await;
            }
        };

        let wait = one.waits.begin(holder.key.no, [child.key.id.clone()].into());
        reports(1, &holder).await;
        assert_eq!(
            other.look(&child).await,
            None,
            "the wait may be over, and the report of its end on its way"
        );
        drop(wait);
        reports(3, &holder).await;
        assert_eq!(other.look(&child).await, None, "the holder goes on");

        let _wait = one.waits.begin(holder.key.no, [child.key.id.clone()].into());
        let mut looks = 0;
        let reason = loop {
            reports(1, &holder).await;
            looks += 1;
            if let Some(reason) = other.look(&child).await {
                break reason;
            }
            assert!(looks < 10, "it is found");
        };
        assert!(looks > 2, "not before two reports have come");
        for named in [&holder, &child, &blocked] {
            assert!(reason.contains(named.key.id.as_str()), "{reason}");
        }
    }
}
