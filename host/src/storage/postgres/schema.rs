//! The tables and functions of the database, as SQL.

use crate::model::RunStatus;

/// Each entry migrates the schema to the next version. Entries are never edited once they are released, only added: the
/// table `meta` counts how many have been applied.
///
/// A step only adds, so that hosts of the release before it work on. What no host uses any more is dropped a release later,
/// by a step that raises `min_host`.
pub(super) const MIGRATIONS: &[&[&str]] = &[V1];

/// In the order in which they are carried out, in one transaction.
const V1: &[&str] = &[
    include_str!("sql/tables.sql"),
    include_str!("sql/lanes.sql"),
    include_str!("sql/locks.sql"),
    include_str!("sql/submit.sql"),
    include_str!("sql/claim.sql"),
    include_str!("sql/log.sql"),
];

/// Bits of an event's id that hold its `seq`; the bits above hold the run's number.
pub(super) const SEQ_BITS: u32 = 32;
/// Highest `seq` that fits.
pub(super) const MAX_SEQ: u64 = (1 << SEQ_BITS) - 1;

/// The key of an event.
pub(super) const fn event_id(run: i64, seq: u64) -> i64 {
    run << SEQ_BITS | seq as i64
}

/// The keys of a run's events: the first possible one, and the one after the last.
pub(super) const fn events_of(run: i64) -> (i64, i64) {
    (event_id(run, 0), event_id(run + 1, 0))
}

/// The number for a status: its place in the order of a run's life.
pub(super) const fn status_no(status: RunStatus) -> i16 {
    match status {
        RunStatus::Queued => 0,
        RunStatus::Delayed => 1,
        RunStatus::Running => 2,
        RunStatus::Paused => 3,
        RunStatus::Completed => 4,
        RunStatus::Failed => 5,
        RunStatus::Cancelled => 6,
    }
}

/// The status with that number.
pub(super) fn status_of(no: i16) -> Option<RunStatus> {
    RunStatus::ALL.into_iter().find(|status| status_no(*status) == no)
}
