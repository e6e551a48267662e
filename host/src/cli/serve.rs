use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::{ArgMatches, Args, CommandFactory as _};
use tokio::net::TcpListener;

use super::interrupts::{Hangups, Interrupts};
use super::log::{self, Filter};
use super::{Cli, Exit, effective, environment};
use crate::app::{Host, Reloader, StopStage, own_program};
use crate::config::{Config, ConfigError, Durability, Reloaded, Settings};
use crate::process::ADVISED_DESCRIPTORS;

/// Time beyond the drain grace that a host has to stop. Each step has a limit of its own of some seconds; this one is a
/// safety net.
const STOP_TIME: Duration = Duration::from_secs(20);

/// Start a host.
#[derive(Args)]
pub(super) struct Serve {
    /// Configuration file; its keys are the names of the flags below [default: streamtask.toml, if it exists]
    #[arg(long, value_name = "FILE", env = "STREAMTASK_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Check the settings and print each with its source, without starting a host
    #[arg(long)]
    check: bool,
}

impl Serve {
    /// `given` holds the flags and environment variables of the command.
    pub(super) async fn run(self, given: ArgMatches) -> Result<(), Exit> {
        let settings = self.read().map_err(usage)?;
        let address = settings.address().map_err(usage)?;
        let config = config(&settings).map_err(usage)?;
        if self.check {
            return self.print_checked(&settings, &config, &given);
        }
        let filter = log::init(&settings)?;
        for warning in misspelt() {
            tracing::warn!("{warning}");
        }
        let stage = Arc::new(OnceLock::new());
        let (mut interrupts, hangups) = listen(config.drain_grace, Arc::clone(&stage))?;
        raise_file_limit();
        let listening = TcpListener::bind(address).await;
        let listener = listening.map_err(|error| super::listening::failed(address, &error))?;
        let (tasks, data) = (config.tasks.display().to_string(), config.data.display().to_string());
        let durability = if config.durability == Durability::Full { "full" } else { "normal" };
        let interrupted = async move { interrupts.next().await };
        let host = Host::launch(config, listener, interrupted).await.map_err(super::launching::failed)?;
        let _ = stage.set(host.stop_stage());
        let (address, version) = (host.address(), env!("STREAMTASK_VERSION"));
        tracing::info!(%address, tasks, data, durability, version, "listening on http://{address}");
        let reloader = host.reloader();
        tokio::select! {
            biased;
            stopped = host.stopped() => stopped.map_err(|error| Exit::HostFailed(error.to_string())),
            () = self.keep_reloading(settings, hangups, &reloader, &filter) => Ok(()),
        }
    }

    /// Prints the output of `--check`.
    fn print_checked(&self, settings: &Settings, config: &Config, given: &ArgMatches) -> Result<(), Exit> {
        log::check(settings).map_err(Exit::Usage)?;
        let file = self.config.as_deref();
        effective::print(&mut std::io::stdout().lock(), given, file)?;
        let mut errors = misspelt();
        if !config.tasks.is_dir() {
            let folder = config.tasks.display();
            errors.push(format!("the tasks folder {folder} does not exist; `mkdir -p` creates it"));
        }
        if errors.is_empty() { Ok(()) } else { Err(Exit::Usage(errors.join("\nstreamtask: "))) }
    }

    /// The flags, and the file as it is now.
    fn read(&self) -> Result<Settings, ConfigError> {
        Ok(self.settings.clone().or(Settings::read(self.config.as_deref())?))
    }

    /// Reloads the configuration at each SIGHUP, forever.
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
                Err(error) => tracing::error!(error, "invalid configuration; all settings stay unchanged"),
            }
        }
    }

    /// Applies the settings that can change while the host runs. An error changes nothing.
    fn reload(&self, settings: &Settings, reloader: &Reloader, filter: &Filter) -> Result<Settings, String> {
        let read = self.read().map_err(|error| error.to_string())?;
        let Reloaded { settings, changed, pending } = settings.reload(&read);
        let config = config(&settings).map_err(|error| error.to_string())?;
        filter.set(&settings)?;
        reloader.reload(&config);
        let changed = changed.join(", ");
        tracing::info!(changed, "configuration reloaded; scanning the tasks folder");
        if !pending.is_empty() {
            let settings = pending.join(", ");
            tracing::warn!(settings, "changes of these settings need a restart");
        }
        Ok(settings)
    }
}

/// Warnings about environment variables that look like misspelt settings.
fn misspelt() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let misspelt = environment::misspelt(names, &Cli::command());
    misspelt
        .into_iter()
        .map(|(name, meant)| format!("{name} is not a setting; did you mean {meant}?"))
        .collect()
}

fn usage(error: ConfigError) -> Exit {
    Exit::Usage(error.to_string())
}

fn config(settings: &Settings) -> Result<Config, ConfigError> {
    // The running program, even if its file has been replaced.
    let compiler = Some(own_program());
    let config = Config { compiler, ..settings.config()? };
    config.database()?;
    Ok(config)
}

fn listen(drain_grace: Duration, stage: Arc<OnceLock<StopStage>>) -> Result<(Interrupts, Hangups), Exit> {
    let limit = drain_grace.saturating_add(STOP_TIME);
    Interrupts::of_host(limit, move || {
        let waits_for = stage.get().map_or("its start", StopStage::waits_for);
        format!(
            "the host has not stopped within {} s: it still waits for {waits_for}; the next start repairs the rest",
            limit.as_secs()
        )
    })
}

/// Raises the soft limit of open files, usually 1,024, to the hard limit: each client takes a file descriptor.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "failed to raise the limit of open files");
    }
    if let Some(limit) = limit.maximum.filter(|limit| *limit < ADVISED_DESCRIPTORS) {
        tracing::warn!(
            limit,
            "few open files are allowed, and each client takes one; raise the limit (ulimit -Hn 65536 as root, or \
             LimitNOFILE=65536 in the service)"
        );
    }
}
