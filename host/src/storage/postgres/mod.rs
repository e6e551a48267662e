//! The backend for many hosts on one PostgreSQL database.
//!
//! ```text
//! submit, claim, cancel, … ──▶ Lanes ──▶ LaneTask   one for each writing connection: gathers, sends one statement, answers
//! append, finish, …                        │
//!                                          ▼
//!                                  SELECT f(gate, …)   sql/: each operation is one function of the database
//! reads ─────────────────────▶ Pool                    sessions that refuse writes
//! ```
//!
//! - **No lock that others wait for is held while the server waits for a client**, which may be stopped or gone: each write
//!   is one statement, a call of a function.
//! - **Each write passes the gate of its host** (`sql/lanes.sql`). So a host that was declared dead writes nothing, and a
//!   statement whose connection was lost is sent again and carried out once.
//! - **Numbers of runs become visible in their order** (`sql/submit.sql`), and those of events are given by the owner's lane.
//! - **Time is the server's** for leases, delays and ends; events and submissions have the time of the host.
//!
//! Knows nothing of wake-ups: callers are notified by the [`Outbox`] or by the result of the call.

mod claim;
mod group;
mod lane_task;
mod lanes;
mod leases;
mod log_group;
mod migrate;
mod numbers;
mod run_error;
mod schema;
mod submit;

use std::sync::Arc;

use self::lanes::{Lane, Lanes};
use self::numbers::Numbers;
use super::{Durability, Result};
use crate::model::HostId;
use crate::postgres::{Connector, Pool, SessionSettings};

pub use migrate::{OpenError, migrate};

/// An open database.
pub struct Postgres {
    lanes: Lanes,
    /// For reads. None can write.
    readers: Pool,
    numbers: Numbers,
    connector: Connector,
}

impl Postgres {
    /// Opens the database, with that many connections for reads. Creates the schema if it is empty.
    pub async fn open(
        connector: Connector,
        durability: Durability,
        readers: usize,
    ) -> Result<Self, OpenError> {
        migrate::prepare(&connector).await?;
        Ok(Self {
            lanes: Lanes::start(&connector, durability),
            readers: Pool::open(&connector, &SessionSettings::reader("reader"), readers),
            numbers: Numbers::default(),
            connector,
        })
    }

    /// The number of a host that writes.
    async fn host_no(&self, host: &HostId) -> Result<i64> {
        self.numbers.host(&self.lanes, host).await
    }
}
