//! The host that runs a project: an existing one, or a new one in this process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::app::{Host, own_program};
use crate::cli::client::{Client, ClientError};
use crate::cli::lists::encoded;
use crate::cli::{Exit, folders, launching, listening};
use crate::config::{Config, Settings};

/// Interval between requests whether a version is loaded.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Longest wait for a version to load: a host reports nothing about a file that it does not see.
/// Compiling an interpreter takes some 10 s, on a slow machine a multiple.
const LOAD_TIMEOUT: Duration = Duration::from_secs(120);

pub(super) struct DevHost {
    url: String,
    app: String,
    /// The folder of the app within the tasks folder.
    tasks: PathBuf,
    /// A host in this process, with its shutdown signal.
    own: Option<(Host, oneshot::Sender<()>)>,
}

impl DevHost {
    /// An existing host, with its tasks folder.
    pub(super) fn existing(url: &str, tasks: &Path, app: &str) -> Result<Self, Exit> {
        Client::new(url)?;
        if !tasks.is_dir() {
            return Err(Exit::Usage(format!("{} is not a folder", tasks.display())));
        }
        Ok(Self { url: url.to_owned(), app: app.to_owned(), tasks: of_app(tasks, app), own: None })
    }

    /// Starts a host on a free port, with its data in the folder of the project.
    pub(super) async fn start(project: &Path, app: &str) -> Result<Self, Exit> {
        let folder = project.join(".streamtask");
        let tasks = folder.join("tasks");
        std::fs::create_dir_all(&tasks)
            .map_err(|error| Exit::Start(format!("can't create {}: {error}", tasks.display())))?;
        let usage = |error: crate::config::ConfigError| Exit::Usage(error.to_string());
        let file = project.join(crate::config::DEFAULT_FILE);
        let settings = Settings::read(file.is_file().then_some(&*file)).map_err(usage)?;
        let config = Config {
            tasks: tasks.clone(),
            data: folder.join("data"),
            cache: folders::cache(),
            compiler: Some(own_program()),
            ..settings.config().map_err(usage)?
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| listening::failed(address, &error))?;
        let (shutdown, stopping) = oneshot::channel();
        let stopping = async { drop(stopping.await) };
        let host = Host::launch(config, listener, stopping).await.map_err(launching::failed)?;
        let url = format!("http://{}", host.address());
        Ok(Self { url, app: app.to_owned(), tasks: of_app(&tasks, app), own: Some((host, shutdown)) })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn client(&self) -> Result<Client, Exit> {
        Ok(Client::new(&self.url)?)
    }

    /// Writes a task and its manifest into the tasks folder, each atomically.
    pub(super) fn put(&self, name: &str, wasm: &[u8], manifest: Option<&[u8]>) -> Result<(), Exit> {
        let cannot = |error: std::io::Error| {
            Exit::Usage(format!("can't write into {}: {error}", self.tasks.display()))
        };
        std::fs::create_dir_all(&self.tasks).map_err(cannot)?;
        // The manifest first, so that the host loads the task with it.
        match manifest {
            Some(manifest) => self.publish(&format!("{name}.toml"), manifest).map_err(cannot)?,
            None => drop(std::fs::remove_file(self.tasks.join(format!("{name}.toml")))),
        }
        self.publish(&format!("{name}.wasm"), wasm).map_err(cannot)
    }

    fn publish(&self, name: &str, content: &[u8]) -> std::io::Result<()> {
        let target = self.tasks.join(name);
        if std::fs::read(&target).is_ok_and(|present| present == content) {
            return Ok(());
        }
        // Hosts ignore hidden files.
        let unfinished = self.tasks.join(format!(".{name}.{}.tmp", std::process::id()));
        std::fs::write(&unfinished, content).and_then(|()| std::fs::rename(&unfinished, &target))
    }

    /// Waits until new runs of the task use this version.
    pub(super) async fn serves(&self, name: &str, version: &str) -> Result<(), Exit> {
        let client = self.client()?;
        let path = self.path(name);
        let asking = async {
            loop {
                match client.get(&path).await {
                    Ok(task) if task["problem"]["message"].is_string() => {
                        let problem = task["problem"]["message"].as_str().unwrap_or_default();
                        return Err(Exit::Refused(format!("{name} can't be loaded: {problem}")));
                    }
                    Ok(task) if task["version"] == version => return Ok(()),
                    // Not loaded yet.
                    Ok(_) | Err(ClientError::Refused { .. }) => tokio::time::sleep(POLL_INTERVAL).await,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let timed_out = || {
            Exit::Refused(format!("{} did not load {name} from {} in time", self.url, self.tasks.display()))
        };
        tokio::time::timeout(LOAD_TIMEOUT, asking).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// Starts a run.
    pub(super) async fn run(&self, name: &str, input: Bytes) -> Result<Value, Exit> {
        let path = format!("{}/runs", self.path(name));
        Ok(self.client()?.post(&path, &[("content-type", "application/json")], input).await?)
    }

    /// Cancels a run. It is no error if the run has ended meanwhile.
    pub(super) async fn cancel(&self, run: &str) -> Result<(), Exit> {
        let path = format!("/api/runs/{}/cancel", encoded(run));
        match self.client()?.post(&path, &[], Bytes::new()).await {
            Ok(_) | Err(ClientError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Stops the host if this process started it.
    pub(super) async fn stop(self) {
        if let Some((host, shutdown)) = self.own {
            let _ = shutdown.send(());
            if let Err(error) = host.stopped().await {
                tracing::error!("{error}");
            }
        }
    }

    fn path(&self, name: &str) -> String {
        format!("/api/tasks/{}/{}", encoded(&self.app), encoded(name))
    }
}

/// The folder of an app: the top of the tasks folder for `default`.
fn of_app(tasks: &Path, app: &str) -> PathBuf {
    if app == "default" { tasks.to_owned() } else { tasks.join(app) }
}
