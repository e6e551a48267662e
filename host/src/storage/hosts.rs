//! Hosts that share a database: which ones are alive, and what each of them does for all.

use async_trait::async_trait;

use super::Result;
use crate::model::{HostId, TaskRef, Timestamp, Version};

/// What a host says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostInfo {
    /// Its id, which is new at each registration: a host that was declared dead comes back as another.
    pub id: HostId,
    /// Its name, for operators. Several hosts may have the same.
    pub name: String,
    /// Its URL in lists of hosts; none if it has not said one.
    pub url: Option<String>,
    /// Version of the program.
    pub build: String,
    /// When it started.
    pub started_at: Timestamp,
}

impl HostInfo {
    /// A host of this version of the program, without a name and an address.
    pub fn new(id: HostId) -> Self {
        let build = env!("CARGO_PKG_VERSION").to_owned();
        Self { id, name: String::new(), url: None, build, started_at: Timestamp::now() }
    }
}

/// A host that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveHost {
    /// Its description, which it gives itself.
    pub info: HostInfo,
    /// Until when its lease lasts. A host past it is alive until another one declares it dead.
    pub lease_until: Timestamp,
    /// How many runs it owns.
    pub runs: u32,
}

/// A lease that was just renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// How many other hosts are alive.
    pub others: u32,
    /// The time by the clock that leases follow, when the renewal was written.
    pub now: Timestamp,
}

/// The hosts that share the database. A host registers before it claims.
///
/// A host that stops without leaving is alive until [`Runs::claim_orphans`](super::Runs::claim_orphans) of another one
/// finds its lease expired and declares it dead. From then on, every method rejects it with
/// [`Fenced`](super::StorageError::Fenced), also if it has only been slow. It goes on under a new id.
#[async_trait]
pub trait Hosts: Send + Sync + 'static {
    /// Registers a host, with a lease for `lease_ms`. May be repeated.
    async fn register(&self, host: &HostInfo, lease_ms: u32) -> Result<Lease>;

    /// Renews the lease of `owner` on its runs for `lease_ms`. [`Fenced`](super::StorageError::Fenced) means that it was
    /// declared dead or has left, and its runs belong to others.
    async fn renew_lease(&self, owner: &HostId, lease_ms: u32) -> Result<Lease>;

    /// Removes a host that stops. Runs that it still owns are orphans at once, without waiting for its lease.
    async fn leave(&self, owner: &HostId) -> Result<()>;

    /// All hosts that are alive, in the order in which they registered.
    async fn hosts(&self) -> Result<Vec<LiveHost>>;

    /// Stores the tasks that a host has loaded, in place of those it had before.
    async fn offer(&self, owner: &HostId, tasks: &[(TaskRef, Version)]) -> Result<()>;

    /// All tasks that any live host has loaded, in their order.
    async fn offered(&self) -> Result<Vec<TaskRef>>;

    /// Takes a duty that one host at a time does for all, or keeps it, for `ms`. False if another live host has it.
    async fn hold_duty(&self, duty: &'static str, owner: &HostId, ms: u32) -> Result<bool>;
}
