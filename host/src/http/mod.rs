//! HTTP: routes, formats, errors.
//!
//! Turns requests into calls of the rooms below and what they answer into
//! responses. A stream's bytes are made here, once for all who follow a run in
//! the same form.
//!
//! The only room that names hyper, besides the engine's folder for what guests ask of
//! other servers. Knows nothing of wasm or SQL.

mod accept;
mod body;
mod children;
mod coding;
mod cors;
mod files;
mod format;
pub(crate) mod fuzzing;
mod health;
mod json;
mod live;
mod many;
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
use crate::notifier::Notifier;
use crate::process::{Heartbeat, Liveness};
use crate::registry::Registry;
use crate::retention::Pruner;
use crate::scheduler::Scheduler;
use crate::storage::Storage;

pub use coding::Windows;
pub use format::EventLines;
pub use presence::Presence;
pub use progress::ProgressCache;
pub use request_body::BodyRoom;
pub use server::serve;
pub use stream_ends::StreamEnds;
pub use uploads::Uploads;

/// How clients are served.
#[derive(Clone, Debug)]
pub struct Config {
    /// Largest input in bytes.
    pub max_input_bytes: usize,
    /// Silence after which a stream shows that it lives; zero: it never does.
    pub heartbeat: Duration,
    /// Origins whose pages may call the host: `https://example.com`, or `*`.
    pub cors_origins: Vec<String>,
    /// Names besides `localhost` and plain addresses under which the host is
    /// called; `*` for all.
    pub allowed_hosts: Vec<String>,
    /// Whether clients may send task files.
    pub uploads: bool,
}

/// What the routes work with.
pub struct Api {
    /// How clients are served; another one from the next request on.
    pub config: RwLock<Arc<Config>>,
    /// The loops that the host serves by.
    pub liveness: Liveness,
    /// Of the loop that accepts connections; among [`liveness`](Self::liveness).
    pub accepting: Arc<Heartbeat>,
    /// Which tasks there are.
    pub registry: Arc<Registry>,
    /// Starts and ends runs.
    pub scheduler: Arc<Scheduler>,
    /// Removes runs that have ended.
    pub pruner: Arc<Pruner>,
    /// Where runs speak.
    pub log: Arc<EventLog>,
    /// Where runs are kept.
    pub storage: Arc<dyn Storage>,
    /// Tells when something moves.
    pub notifier: Arc<dyn Notifier>,
    /// Who reads which run.
    pub presence: Arc<Presence>,
    /// What they leave behind as files.
    pub files: Arc<Files>,
    /// Set when the host begins to stop.
    pub stopping: CancellationToken,
    /// When streams have to end, though their runs go on elsewhere or later.
    pub stream_ends: StreamEnds,
    /// Whether only this machine can reach the listener, and so has no reason to
    /// call it by a name of its network.
    pub loopback: bool,
    /// For clients whose streams are compressed.
    pub windows: Windows,
    /// How far runs are, as far as that was read.
    pub progress: ProgressCache,
    /// For bodies of requests on their way.
    pub body_room: BodyRoom,
    /// Task files that are put into the folder.
    pub uploads: Uploads,
    /// Connections that are none of HTTP any more.
    pub websockets: TaskTracker,
}

impl Api {
    /// How clients are served now.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read())
    }
}
