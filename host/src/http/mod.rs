//! HTTP: routes, formats, errors.
//!
//! Translates requests into calls of the rooms below, and their results into
//! responses. Encodes the events of a run once for all subscribers that read them
//! in the same format.
//!
//! Knows nothing of wasm or SQL.

mod abandoned;
mod accept;
mod body;
mod children;
mod coding;
mod cors;
mod files;
mod format;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod health;
mod hosts;
mod json;
mod list_reads;
mod live_list;
mod live_stream;
mod media_type;
mod metrics;
mod negotiation;
mod page;
mod parameters;
mod peer;
mod pieces;
mod position;
mod presence;
mod problem;
mod progress;
mod pruning;
mod request;
mod request_body;
mod resource;
mod routes;
mod runs;
mod server;
mod several_runs;
mod signals;
mod start;
mod stream;
mod stream_ends;
mod tasks;
mod uploads;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event_log::EventLog;
use crate::files::Files;
use crate::model::HostId;
use crate::notifier::Notifier;
use crate::process::{Heartbeat, Liveness};
use crate::registry::Registry;
use crate::retention::Pruner;
use crate::scheduler::Scheduler;
use crate::storage::Storage;

pub use coding::Windows;
pub use format::EventLines;
pub use list_reads::ListReads;
pub use presence::Presence;
pub use progress::ProgressCache;
pub use request_body::BodyBudget;
pub use server::serve;
pub use stream_ends::StreamEnds;
pub use uploads::Uploads;

/// The settings of the HTTP server.
#[derive(Clone, Debug)]
// Only here, so that a host can't start without a setting.
#[cfg_attr(any(test, feature = "fuzzing"), derive(Default))]
pub struct Config {
    /// Largest input of a run, in bytes.
    pub max_input_bytes: usize,
    /// Default interval between heartbeats of a stream. Zero for no heartbeats.
    pub heartbeat: Duration,
    /// Origins whose pages may call the host: `https://example.com`, or `*`.
    pub cors_origins: Vec<String>,
    /// Accepted host names besides `localhost` and IP addresses; `*` for all.
    pub allowed_hosts: Vec<String>,
    /// Whether clients may upload task files.
    pub uploads: bool,
}

/// The state that all routes share.
pub struct Api {
    /// The settings. A change applies from the next request on.
    pub config: RwLock<Arc<Config>>,
    /// The heartbeats of the host's loops.
    pub liveness: Liveness,
    /// The heartbeat of the loop that accepts connections; also part of [`liveness`](Self::liveness).
    pub accepting: Arc<Heartbeat>,
    /// The loaded tasks.
    pub registry: Arc<Registry>,
    /// Starts and cancels runs.
    pub scheduler: Arc<Scheduler>,
    /// Removes runs that have ended.
    pub pruner: Arc<Pruner>,
    /// The events of runs.
    pub log: Arc<EventLog>,
    /// The stored runs.
    pub storage: Arc<dyn Storage>,
    /// Wakes up live lists of runs.
    pub notifier: Arc<dyn Notifier>,
    /// The subscribers of runs.
    pub presence: Arc<Presence>,
    /// Returns the id of this host if others share its database. It changes when the host was declared dead.
    pub shared_host: Box<dyn Fn() -> Option<HostId> + Send + Sync>,
    /// The output files of runs.
    pub files: Arc<Files>,
    /// Set when the host begins to stop.
    pub stopping: CancellationToken,
    /// Ends all streams when the host stops.
    pub stream_ends: StreamEnds,
    /// Whether only this machine can reach the listener. Then no client needs a name
    /// of the local network for it.
    pub loopback: bool,
    /// The compression windows of all streams.
    pub windows: Windows,
    /// The lists of runs that are shown live.
    pub list_reads: ListReads,
    /// The progress of runs, as far as it was read.
    pub progress: ProgressCache,
    /// The memory for request bodies.
    pub body_budget: BodyBudget,
    /// Uploads of task files.
    pub uploads: Uploads,
    /// The connections that were upgraded to WebSockets.
    pub websockets: TaskTracker,
}

impl Api {
    /// The current settings.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read())
    }
}
