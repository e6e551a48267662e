//! [`Builder`]: a host with parts of the embedding program's own.

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::{Host, LaunchError, Rooms};
use crate::config::Config;
use crate::notifier::Notifier;
use crate::storage::Storage;

/// Starts a host. Made by [`Host::builder`]; without further calls it is what [`Host::launch`] starts.
pub struct Builder {
    config: Config,
    backend: Backend,
}

/// The parts that an embedding program may bring.
#[derive(Default)]
pub(super) struct Backend {
    /// In place of SQLite in the data folder.
    pub(super) storage: Option<Arc<dyn Storage>>,
    /// In place of notices within this process.
    pub(super) notifier: Option<Arc<dyn Notifier>>,
}

impl Builder {
    pub(super) fn new(config: Config) -> Self {
        Self { config, backend: Backend::default() }
    }

    /// Keeps runs and events in `storage` instead of SQLite in the data folder. The data folder still has the output
    /// files and the compiled code. An implementation has to pass
    /// `storage::conformance::run`, which the feature `conformance` adds; the host closes it when it stops, and
    /// `/healthz` says nothing about it.
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.backend.storage = Some(storage);
        self
    }

    /// Sends and gets wake-ups by `notifier`, which may connect several processes. An implementation has to pass
    /// `notifier::conformance::run`, which the feature `conformance` adds.
    pub fn notifier(mut self, notifier: Arc<dyn Notifier>) -> Self {
        self.backend.notifier = Some(notifier);
        self
    }

    /// Starts the host on `listener`. It stops in order when `shutdown` is ready; then
    /// [`stopped`](Host::stopped) returns.
    pub async fn launch(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Host, LaunchError> {
        let address = listener.local_addr().map_err(LaunchError::Listener)?;
        let rooms = Rooms::build(self.config, self.backend, Some(address)).await?;
        let handle = rooms.handle();
        let (api, stage) = (Arc::clone(&rooms.api), rooms.stage.clone());
        let serving = tokio::spawn(rooms.serve(Some(listener), shutdown));
        Ok(Host { handle, address, api, stage, serving })
    }
}
