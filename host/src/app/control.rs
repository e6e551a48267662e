//! What whoever runs a host may ask of it while it serves, besides its runs.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Config;
use crate::http::{self, Api};

/// How far a stop has come, for who can't wait for it any longer.
#[derive(Clone)]
pub struct StopStage(Arc<Mutex<&'static str>>);

impl StopStage {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new("its start")))
    }

    /// What it waits for.
    pub fn waits_for(&self) -> &'static str {
        *self.0.lock()
    }

    pub(super) fn set(&self, waits_for: &'static str) {
        *self.0.lock() = waits_for;
    }
}

/// Changes a host that serves.
#[derive(Clone)]
pub struct Reloader(pub(super) Arc<Api>);

impl Reloader {
    /// Takes over how clients are served, and looks at the tasks folder at once.
    pub fn reload(&self, config: &Config) {
        *self.0.config.write() = Arc::new(serving(config));
        self.0.registry.look();
    }
}

/// How clients are served.
pub(super) fn serving(config: &Config) -> http::Config {
    http::Config {
        max_input_bytes: config.limits.input_bytes,
        heartbeat: config.heartbeat,
        cors_origins: config.cors_origins.clone(),
        allowed_hosts: config.allowed_hosts.clone(),
        // Of a folder of which one file counts, others would be written and never seen.
        uploads: config.uploads && config.only.is_none(),
    }
}
