//! The storage of the hosts of all tests: SQLite, or PostgreSQL with a schema for each host.
//!
//! `STREAMTASK_TEST_DATABASE=postgres cargo test …` runs the end-to-end tests on PostgreSQL. Tests that open the SQLite file
//! themselves, or fill its disk, fail then.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;

use streamtask_test_postgres as postgres;

/// Selects PostgreSQL.
const SWITCH: &str = "STREAMTASK_TEST_DATABASE";

/// The database of a host.
pub struct Database {
    /// Its URL.
    pub url: String,
    /// The schema that no other host has.
    pub schema: String,
}

/// The database of the host with that data folder. None: SQLite, in that folder.
///
/// # Panics
/// If PostgreSQL is selected and not installed.
pub fn of(data: &Path) -> Option<Database> {
    let selected = env::var(SWITCH).ok()?;
    assert!(selected == "postgres", "{SWITCH} can only be postgres");
    let server = postgres::server(SWITCH).unwrap_or_else(|| panic!("{SWITCH}: {}", postgres::NEEDS));
    // A host that is started again on its folder finds its runs.
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    Some(Database { url: server.url(), schema: format!("host_{:016x}", hasher.finish()) })
}
