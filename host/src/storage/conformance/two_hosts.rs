//! Conformance tests for a [`Storage`] that many hosts share: two hosts use one database at once. A backend's tests call
//! [`run`] with two storages that were opened on the same empty database.
//!
//! What [`super::run`] asserts of one caller after another is asserted here of two at the same time. Each test has tasks
//! and hosts of its own, so that no test sees what another left behind.

mod messages;
mod ownership;
mod queue;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::{Storage, host};
use crate::model::{HostId, Json, Outcome};
use crate::storage::Claimed;

/// Longest time for one test. A slow machine takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// Runs in a test of claims: enough for both hosts to claim at the same moment many times.
const RUNS: usize = 120;

/// A storage, and the host that uses it.
struct Side {
    storage: Arc<dyn Storage>,
    host: HostId,
}

/// Panics at the first violation. Both storages must be open on the same database, which must be empty.
pub async fn run(a: Arc<dyn Storage>, b: Arc<dyn Storage>) {
    ownership::run(&a, &b).await;
    queue::run(&a, &b).await;
    messages::run(&a, &b).await;
}

async fn in_time(test: impl Future<Output = ()>) {
    tokio::time::timeout(PATIENCE, test).await.expect("a test of two hosts does not end");
}

async fn sides(a: &Arc<dyn Storage>, b: &Arc<dyn Storage>) -> [Side; 2] {
    let side = async |storage: &Arc<dyn Storage>| Side {
        storage: Arc::clone(storage),
        host: host(&**storage).await,
    };
    [side(a).await, side(b).await]
}

async fn leave(sides: [Side; 2]) {
    for side in sides {
        side.storage.leave(&side.host).await.expect("leaves");
    }
}

async fn end(storage: &dyn Storage, run: &Claimed) {
    let outcome = Outcome::Completed(Json::null());
    storage.finish(&run.run.key, run.fence, outcome).await.expect("finishes");
}
