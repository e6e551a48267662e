//! Numbers of tasks, versions and hosts. Rows with numbers are never changed, so they are read once.
//!
//! They are made by statements of their own, before the statements that use them: else two transactions could each wait for
//! a row that the other is about to make.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::group::Urgency;
use super::lane_state::GATED_LANES;
use super::lanes::{Lane, Lanes};
use super::parameters::{Parameters, values};
use crate::model::{HostId, TaskRef, Version};
use crate::storage::{Result, StorageError};

/// The numbers that are known.
#[derive(Default)]
pub(super) struct Numbers {
    tasks: Mutex<HashMap<TaskRef, i32>>,
    versions: Mutex<HashMap<Version, i32>>,
    hosts: Mutex<HashMap<HostId, i64>>,
}

const TASK: &str = "WITH new AS (INSERT INTO tasks (app, task) SELECT $1, $2 \
     WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE app = $1 AND task = $2) ON CONFLICT DO NOTHING RETURNING no) \
     SELECT no FROM new UNION ALL SELECT no FROM tasks WHERE app = $1 AND task = $2 LIMIT 1";
const VERSION: &str = "WITH new AS (INSERT INTO versions (sha256) SELECT $1 \
     WHERE NOT EXISTS (SELECT 1 FROM versions WHERE sha256 = $1) ON CONFLICT DO NOTHING RETURNING no) \
     SELECT no FROM new UNION ALL SELECT no FROM versions WHERE sha256 = $1 LIMIT 1";

impl Numbers {
    /// The number of a task, new or known.
    pub(super) async fn task(&self, lanes: &Lanes, task: &TaskRef) -> Result<i32> {
        if let Some(no) = self.tasks.lock().get(task) {
            return Ok(*no);
        }
        let (app, name) = (task.app.as_str().to_owned(), task.task.as_str().to_owned());
        let no = read(lanes, TASK, || values![app.clone(), name.clone()]).await?;
        self.tasks.lock().insert(task.clone(), no);
        Ok(no)
    }

    /// The number of a version, new or known.
    pub(super) async fn version(&self, lanes: &Lanes, version: &Version) -> Result<i32> {
        if let Some(no) = self.versions.lock().get(version) {
            return Ok(*no);
        }
        let sha256 = version.to_string();
        let no = read(lanes, VERSION, || values![sha256.clone()]).await?;
        self.versions.lock().insert(*version, no);
        Ok(no)
    }

    /// The number of a host that writes, new or known. The gate finds out whether it is alive.
    pub(super) async fn host(&self, lanes: &Lanes, host: &HostId) -> Result<i64> {
        if let Some(no) = self.hosts.lock().get(host) {
            return Ok(*no);
        }
        let parameters = values![host.as_str().to_owned(), true, GATED_LANES];
        let sql = "SELECT host_no_1($1, $2, $3)";
        let rows = lanes.plain(Lane::Leases, sql, parameters, Urgency::Once).await?;
        let no: Option<i64> = rows.first().and_then(|row| row.get(0));
        let no = no.ok_or(StorageError::Fenced)?;
        self.hosts.lock().insert(host.clone(), no);
        Ok(no)
    }
}

/// The number that the statement returns. It returns none if another transaction made the row at the same moment; it is
/// visible to the next statement.
async fn read(lanes: &Lanes, sql: &'static str, parameters: impl Fn() -> Parameters) -> Result<i32> {
    loop {
        let rows = lanes.plain(Lane::Queue, sql, parameters(), Urgency::Once).await?;
        if let Some(row) = rows.first() {
            return Ok(row.get(0));
        }
    }
}
