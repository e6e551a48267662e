//! A host within the test, on port 0, with folders of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use streamtask_host::app::{Handle, Host, LaunchError};
use streamtask_host::config::Config;
use streamtask_host::storage::sqlite::Durability;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::{Answer, Connection, EventStream, guests, soon};

/// A host, its folders and its address.
pub struct TestHost {
    /// Where it listens.
    pub address: SocketAddr,
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
        configure(&mut config);
        Self::launch(config, folder).await.expect("launches")
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
        Ok(Self { address: host.address(), handle, host, shutdown, config, folder })
    }

    /// Stops the host in order; its folders stay until the value is dropped.
    pub async fn stop(self) -> Stopped {
        let _ = self.shutdown.send(());
        drop(self.handle);
        soon("stopping", self.host.stopped()).await;
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
        crate::eventually("loading a task", || async {
            let tasks = self.handle.tasks();
            tasks.iter().any(|listed| {
                listed.path == Path::new(path)
                    && listed.task.as_ref().is_some_and(|task| task.version() == version)
            })
        })
        .await;
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(&Method::GET, path, &[], "").await
    }

    /// `POST`.
    pub async fn post(&self, path: &str, body: impl Into<String>) -> Answer {
        self.request(&Method::POST, path, &[], body).await
    }

    /// Any request, on a connection of its own.
    pub async fn request(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<String>,
    ) -> Answer {
        Connection::open(self.address).await.request(method, path, headers, body.into()).await
    }

    /// Starts a run of the probe; returns it.
    pub async fn probe(&self, input: Value) -> Value {
        let answer = self.post("/api/tasks/test/probe/runs", input.to_string()).await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
        answer.json()
    }

    /// Follows a run in server-sent events.
    pub async fn follow(&self, run: &Value) -> EventStream {
        self.follow_with(run, "", &[]).await
    }

    /// The same, with a query and headers.
    pub async fn follow_with(&self, run: &Value, query: &str, headers: &[(&str, &str)]) -> EventStream {
        let path = format!("{}?{query}", run["stream"].as_str().expect("a stream"));
        EventStream::open(self.address, &path, headers).await
    }

    /// Waits until a run has ended; returns it as it is then.
    pub async fn finished(&self, run: &Value) -> Value {
        let mut stream = self.follow_with(run, "types=run.completed", &[]).await;
        if stream.status == 200 {
            while stream.next().await.is_some() {}
        }
        let run = self.get(&format!("/api/runs/{}", run["id"].as_str().expect("an id"))).await.json();
        assert!(!run["finished_at"].is_null(), "the stream ended and the run did not: {run}");
        run
    }

    /// Starts a run of the probe and waits for its end.
    pub async fn run(&self, input: Value) -> Value {
        let run = self.probe(input).await;
        self.finished(&run).await
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
