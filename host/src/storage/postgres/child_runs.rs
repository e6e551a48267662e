//! Child runs.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Postgres, list, wait_deadlocks};
use crate::model::{Outcome, RunId};
use crate::storage::{ChildRuns, ChildWaits, Result};

#[async_trait]
impl ChildRuns for Postgres {
    async fn first_ended(&self, parent: i64, children: Vec<RunId>) -> Result<Option<(usize, Outcome)>> {
        let read = self.readers.read((parent, children), |db, (parent, children)| {
            Box::pin(list::first_ended(db, *parent, children))
        });
        read.await
    }

    async fn abandoned(&self, limit: u32) -> Result<Vec<RunId>> {
        self.readers.read(limit, |db, limit| Box::pin(list::abandoned(db, *limit))).await
    }

    async fn deadlock(&self, run: i64, waits: Arc<ChildWaits>) -> Result<Option<String>> {
        self.waits.follow(&waits);
        self.report_waits().await;
        let search = self
            .readers
            .read((run, waits), |db, (run, waits)| Box::pin(wait_deadlocks::of_wait(db, *run, waits)));
        let Some(found) = search.await? else {
            self.waits.clear(run);
            return Ok(None);
        };
        let is_certain =
            found.foreign.is_empty() || self.waits.is_certain(run, found.foreign, found.oldest_report);
        Ok(is_certain.then_some(found.reason))
    }
}
