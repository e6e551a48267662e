//! What a guest may reach beyond its run.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::engine::grants::{Grants, OutputFolder};
use crate::engine::wasi::{FilePool, Network};

/// Longest time in which a granted folder must answer, on the slowest of networks.
const FOLDER_TIME: Duration = Duration::from_secs(30);

/// What a guest may reach beyond its run.
#[derive(Clone)]
pub(in crate::engine) struct Access {
    pub(in crate::engine) grants: Arc<Grants>,
    /// The folder for its output files, if they are granted.
    pub(in crate::engine) files: Option<OutputFolder>,
    pub(in crate::engine) network: Arc<Network>,
    /// The threads for its calls to files.
    pub(in crate::engine) file_pool: FilePool,
}

impl Access {
    /// Reads the granted folders on the threads for files. Opening a folder that hangs would block a thread that
    /// executes guests.
    pub(in crate::engine) async fn wait_for_folders(&self) -> Result<(), FolderTimeout> {
        if self.grants.folders.is_empty() {
            return Ok(());
        }
        let grants = Arc::clone(&self.grants);
        let read = move || grants.folders.iter().filter(|folder| folder.path.read_dir().is_ok()).count();
        // Opening a folder that can't be read fails too, and reports the reason.
        let answered = timeout(FOLDER_TIME, self.file_pool.block(read)).await;
        answered.map(drop).map_err(|_| FolderTimeout)
    }
}

/// A granted folder did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("a granted folder does not respond")]
pub(in crate::engine) struct FolderTimeout;

/// A granted folder can't be opened.
pub(in crate::engine) struct FolderError {
    pub(in crate::engine) message: String,
    /// Whether the system has no descriptors or memory left for now.
    pub(in crate::engine) is_transient: bool,
}
