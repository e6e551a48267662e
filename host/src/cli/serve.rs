use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;

use super::Exit;
use super::interrupts::{Hangups, Interrupts};
use super::log::{self, Filter};
use crate::app::{Host, LaunchError, Reloader, StopStage, own_program};
use crate::config::{Config, ConfigError, Reloaded, Settings};

/// Time beyond the drain grace that a host has to stop. Each of its steps has a bound of its own, of some seconds; this
/// one is for what they overlook.
const STOP_TIME: Duration = Duration::from_secs(20);

/// Start a host.
#[derive(Args)]
pub(super) struct Serve {
    /// Configuration file with the same names as the flags below [default: streamtask.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "STREAMTASK_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let settings = self.read().map_err(usage)?;
        let address = settings.address().map_err(usage)?;
        let config = config(&settings).map_err(usage)?;
        let filter = log::init(&settings)?;
        let stage = Arc::new(OnceLock::new());
        let (mut interrupts, hangups) = listen(config.drain_grace, Arc::clone(&stage))?;
        raise_file_limit();
        let listening = TcpListener::bind(address).await;
        let listener =
            listening.map_err(|error| Exit::Start(format!("can't listen on {address}: {error}")))?;
        let tasks = config.tasks.display().to_string();
        let interrupted = async move { interrupts.next().await };
        let host = Host::launch(config, listener, interrupted).await.map_err(refused)?;
        let _ = stage.set(host.stop_stage());
        tracing::info!(address = %host.address(), tasks, "listening on http://{}", host.address());
        let reloader = host.reloader();
        tokio::select! {
            biased;
            stopped = host.stopped() => stopped.map_err(|error| Exit::HostFailed(error.to_string())),
            () = self.keep_reloading(settings, hangups, &reloader, &filter) => Ok(()),
        }
    }

    /// The flags, and the file as it is now.
    fn read(&self) -> Result<Settings, ConfigError> {
        Ok(self.settings.clone().or(Settings::read(self.config.as_deref())?))
    }

    /// Reads the file again at each SIGHUP, for ever.
    async fn keep_reloading(
        &self,
        mut settings: Settings,
        mut hangups: Hangups,
        reloader: &Reloader,
        filter: &Filter,
    ) {
        loop {
            hangups.next().await;
            match self.reload(&settings, reloader, filter) {
                Ok(reloaded) => settings = reloaded,
                Err(error) => tracing::error!(error, "the configuration can't be used; all stays as it was"),
            }
        }
    }

    /// Takes over what can be changed now. An error changes nothing.
    fn reload(&self, settings: &Settings, reloader: &Reloader, filter: &Filter) -> Result<Settings, String> {
        let read = self.read().map_err(|error| error.to_string())?;
        let Reloaded { settings, changed, unchanged } = settings.reload(&read);
        let config = config(&settings).map_err(|error| error.to_string())?;
        filter.set(&settings)?;
        reloader.reload(&config);
        let changed = changed.join(", ");
        tracing::info!(changed, "configuration read again; looking at the tasks folder");
        if !unchanged.is_empty() {
            let settings = unchanged.join(", ");
            tracing::warn!(settings, "these settings have changed too, and need a restart");
        }
        Ok(settings)
    }
}

fn usage(error: ConfigError) -> Exit {
    Exit::Usage(error.to_string())
}

fn config(settings: &Settings) -> Result<Config, ConfigError> {
    // The very program that runs, also when the file was replaced meanwhile.
    let compiler = Some(own_program());
    Ok(Config { compiler, ..settings.config()? })
}

fn listen(drain_grace: Duration, stage: Arc<OnceLock<StopStage>>) -> Result<(Interrupts, Hangups), Exit> {
    let limit = drain_grace.saturating_add(STOP_TIME);
    Interrupts::of_host(limit, move || {
        let waits_for = stage.get().map_or("its start", StopStage::waits_for);
        format!(
            "the host has not stopped within {} s: it still waits for {waits_for}; the next start settles what is left",
            limit.as_secs()
        )
    })
}

fn refused(error: LaunchError) -> Exit {
    Exit::Start(error.to_string())
}

/// Every client is a file descriptor; the usual soft limit of 1,024 is far below
/// what the system allows.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "could not raise the limit of open files");
    }
}
