//! Control of a running host: reloads, and the progress of a shutdown.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Config;
use crate::http::{self, Api};

/// The progress of a shutdown, for a message if it takes too long.
#[derive(Clone)]
pub struct StopStage(Arc<Mutex<&'static str>>);

impl StopStage {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new("its start")))
    }

    /// What the shutdown waits for.
    pub fn waits_for(&self) -> &'static str {
        *self.0.lock()
    }

    pub(super) fn set(&self, waits_for: &'static str) {
        *self.0.lock() = waits_for;
    }
}

/// Changes settings of a running host.
#[derive(Clone)]
pub struct Reloader(pub(super) Arc<Api>);

impl Reloader {
    /// Applies the settings for clients, and scans the tasks folder at once.
    pub fn reload(&self, config: &Config) {
        *self.0.config.write() = Arc::new(http_config(config));
        self.0.registry.request_scan();
    }
}

/// The settings for clients.
pub(super) fn http_config(config: &Config) -> http::Config {
    http::Config {
        max_input_bytes: config.limits.input_bytes,
        heartbeat: config.heartbeat,
        cors_origins: config.cors_origins.clone(),
        allowed_hosts: config.allowed_hosts.clone(),
        // A host with a single file ignores all other files, so an upload would have no effect.
        uploads: config.uploads && config.only.is_none(),
    }
}
