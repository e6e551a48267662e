//! Clients of runs that must not continue without one, counted over all hosts.

use async_trait::async_trait;

use super::Result;
use crate::model::{HostId, RunId, RunKey};

/// Clients of runs whose policy is [`OnDisconnect::Cancel`](crate::model::OnDisconnect::Cancel).
#[async_trait]
pub trait Clients: Send + Sync + 'static {
    /// Stores how many clients of a run are connected to `host`.
    async fn set_clients(&self, run: &RunKey, host: &HostId, clients: u32) -> Result<()>;

    /// Runs that had a client and have none on any live host since `since_ms` or longer: those of a dead host have
    /// disconnected no later than it was declared dead. Without runs that have ended or whose cancellation was requested.
    async fn without_clients(&self, since_ms: u32, limit: u32) -> Result<Vec<RunId>>;
}
