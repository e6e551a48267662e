//! `streamtask demo`: a host with a few tasks, on a temporary folder.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::folders::DataFolder;
use super::interrupts::Interrupts;
use super::{Exit, folders, launching, listening, log, open};
use crate::app::{Host, own_program};
use crate::config::{Config, Durability, ListenAddress};

/// Embedded files: names and contents.
type Files = &'static [(&'static str, &'static [u8])];

include!(concat!(env!("OUT_DIR"), "/demo.rs"));

/// The app of the tasks.
const APP: &str = "demo";

/// Time for runs to end when the demo stops. Their data is removed anyway, and nobody waits long for a demo.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

/// A host with example tasks. It needs no toolchain, and leaves nothing behind.
#[derive(Args)]
pub(super) struct Demo {
    /// Address to listen on [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, value_name = "ADDR:PORT", env = "STREAMTASK_LISTEN")]
    listen: Option<ListenAddress>,
    /// Open the page in the browser
    #[arg(long)]
    open_page: bool,
}

impl Demo {
    pub(super) async fn run(self) -> Result<(), Exit> {
        log::init_panics()?;
        let mut interrupts = Interrupts::of_command()?;
        let folder = DataFolder::new(None)?;
        let tasks = folder.path().join("tasks");
        install(&tasks)
            .map_err(|error| Exit::Start(format!("can't write to {}: {error}", tasks.display())))?;
        let config = Config {
            cache: folders::cache(),
            compiler: Some(own_program()),
            // Temporary data need not survive a power loss.
            durability: Durability::Normal,
            drain_grace: DRAIN_GRACE,
            ..Config::new(tasks, folder.path().join("data"))
        };
        let listener = self.listen().await?;
        let (shutdown, stopping) = oneshot::channel::<()>();
        let host = Host::launch(config, listener, async { drop(stopping.await) }).await;
        let host = host.map_err(launching::failed)?;
        let url = format!("http://{}", host.address());
        let handle = host.handle();
        let until_stopped = async {
            let is_loaded = tokio::select! {
                () = handle.loaded() => true,
                () = interrupts.next() => false,
            };
            if is_loaded {
                self.welcome(&url);
                interrupts.next().await;
            }
        };
        let mut stopped = pin!(host.stopped());
        let stopped = tokio::select! {
            stopped = &mut stopped => stopped,
            () = until_stopped => {
                let _ = shutdown.send(());
                stopped.await
            }
        };
        stopped.map_err(|error| Exit::HostFailed(error.to_string()))
    }

    fn welcome(&self, url: &str) {
        welcome(url);
        if self.open_page
            && let Err(reason) = open::browse(&open::page(url, None))
        {
            note(&reason);
        }
    }

    async fn listen(&self) -> Result<TcpListener, Exit> {
        let address = self.listen.unwrap_or_default();
        if address.is_open() {
            return Err(Exit::Usage(format!(
                "other machines can reach {address}; the demo listens only on this machine, such as on 127.0.0.1:8080"
            )));
        }
        match TcpListener::bind(address.0).await {
            Ok(listener) => Ok(listener),
            // Whoever has not asked for this port does not need it.
            Err(_) if self.listen.is_none() => {
                let free = SocketAddr::new(address.0.ip(), 0);
                TcpListener::bind(free).await.map_err(|error| listening::failed(free, &error))
            }
            Err(error) => Err(listening::failed(address.0, &error)),
        }
    }
}

/// Writes the tasks with their manifests.
fn install(tasks: &Path) -> std::io::Result<()> {
    let folder = tasks.join(APP);
    std::fs::create_dir_all(&folder)?;
    DEMO.iter().try_for_each(|(name, content)| std::fs::write(folder.join(name), content))
}

fn welcome(url: &str) {
    // A client calls the default address by itself.
    let host = match url.strip_prefix("http://") == Some(&*ListenAddress::default().to_string()) {
        true => String::new(),
        false => format!(" --host {url}"),
    };
    note(&format!(
        "A host with {tasks} tasks is on {url}/

Open that page to start tasks and to watch them, or use another terminal:

  streamtask tasks{host}
  streamtask start demo/counter --input '{{\"steps\":10,\"pause_ms\":300}}'{host}
  streamtask start demo/progress-tree{host}
  streamtask start demo/chat{host}
  streamtask start demo/hello --input '{{\"name\":\"Ada\"}}'{host}
  curl -N -H 'Accept: text/event-stream' -d '{{}}' {url}/api/tasks/demo/chat/runs

Ctrl-C stops the host and removes its data. `streamtask new hello --lang rust` begins a task of your own.",
        tasks = DEMO.iter().filter(|(name, _)| name.ends_with(".wasm")).count(),
    ));
}

/// Prints a message. A closed stderr is not an error.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_has_a_manifest_and_each_manifest_a_task() {
        let names = |ending: &str| -> Vec<&str> {
            DEMO.iter().filter_map(|(name, _)| name.strip_suffix(ending)).collect()
        };
        assert_eq!(names(".wasm"), ["chat", "counter", "hello", "progress-tree"]);
        assert_eq!(names(".toml"), names(".wasm"));
        assert!(DEMO.iter().all(|(name, bytes)| !name.ends_with(".wasm") || bytes.starts_with(b"\0asm")));
    }
}
