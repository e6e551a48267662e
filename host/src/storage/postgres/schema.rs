//! The tables and functions of the database, as SQL.

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
    include_str!("sql/messages.sql"),
    include_str!("sql/duties.sql"),
    include_str!("sql/pruning.sql"),
    include_str!("sql/waits.sql"),
];
