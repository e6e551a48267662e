//! A host within the test, on port 0, with folders of its own.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use streamtask_host::app::{Handle, Host, LaunchError};
use streamtask_host::config::{Config, Durability};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::{Api, COMPILE_PATIENCE, guests, root, soon};

/// A host, its folders and its address.
pub struct TestHost {
    api: Api,
    /// Its controls.
    pub handle: Handle,
    host: Host,
    shutdown: oneshot::Sender<()>,
    config: Config,
    folder: TempDir,
}

impl TestHost {
    /// With the probe as the task `test/probe`.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, with another configuration.
    pub async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        guests::install(&folder.path().join("tasks"), "test/probe.wasm", &guests::probe());
        let mut config = Config::new(folder.path().join("tasks"), folder.path().join("data"));
        // A test machine's disk may be slow to flush, and no test pulls the plug.
        config.durability = Durability::Normal;
        config.drain_grace = Duration::from_millis(100);
        if let Some(database) = crate::database::of(&config.data) {
            config.database = Some(database.url.parse().expect("a URL"));
            config.database_schema = database.schema.parse().expect("a name");
        }
        configure(&mut config);
        Self::launch(config, folder).await.expect("launches")
    }

    /// For tasks that take long to compile: with compiled code that is kept from one pass of the tests to the next.
    pub async fn with_kept_code(configure: impl FnOnce(&mut Config)) -> Self {
        Self::with(|config| {
            config.cache = Some(root().join("target/tmp/compiled"));
            configure(config);
        })
        .await
    }

    async fn launch(config: Config, folder: TempDir) -> Result<Self, LaunchError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (shutdown, stopping) = oneshot::channel();
        let host = Host::launch(config.clone(), listener, async move {
            let _ = stopping.await;
        })
        .await?;
        let handle = host.handle();
        soon("loading the tasks", handle.loaded()).await;
        Ok(Self { api: Api { address: host.address() }, handle, host, shutdown, config, folder })
    }

    /// Stops the host in order; its folders stay until the value is dropped.
    pub async fn stop(self) -> Stopped {
        let _ = self.shutdown.send(());
        drop(self.handle);
        soon("stopping", self.host.stopped()).await.expect("it stops in order");
        Stopped { config: self.config, folder: self.folder }
    }

    /// The tasks folder.
    pub fn tasks(&self) -> PathBuf {
        self.config.tasks.clone()
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.config.data.clone()
    }

    /// Puts a task file into the tasks folder and waits until it serves.
    pub async fn install(&self, path: &str, wasm: &[u8]) {
        guests::install(&self.tasks(), path, wasm);
        let version = streamtask_host::model::Version::of(wasm);
        crate::eventually_within(COMPILE_PATIENCE, "loading a task", || async {
            let tasks = self.handle.tasks();
            tasks.iter().any(|listed| {
                listed.path == Path::new(path)
                    && listed.task.as_ref().is_some_and(|task| task.version() == version)
            })
        })
        .await;
    }
}

impl TestHost {
    /// Writes the probe's manifest and waits until the host goes by it.
    pub async fn manifest(&self, body: &str) {
        std::fs::write(self.tasks().join("test/probe.toml"), format!("description = {body:?}\n{body}"))
            .expect("writes the manifest");
        crate::eventually("the manifest", || async {
            self.get("/api/tasks/test/probe").await.json()["description"] == body
        })
        .await;
    }
}

impl Deref for TestHost {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// The folders of a host that has stopped.
pub struct Stopped {
    /// How it was set up.
    pub config: Config,
    folder: TempDir,
}

impl Stopped {
    /// Starts a host on the same folders.
    pub async fn restart(self) -> TestHost {
        TestHost::launch(self.config, self.folder).await.expect("launches again")
    }
}
