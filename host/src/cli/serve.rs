use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::Exit;
use crate::app::{Host, LaunchError, own_program};
use crate::config::{Config, LogFormat, Settings};

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
        let usage = |error: crate::config::ConfigError| Exit::Usage(error.to_string());
        let file = Settings::read(self.config.as_deref()).map_err(usage)?;
        let settings = self.settings.or(file);
        let address = settings.address().map_err(usage)?;
        let config = Config { compiler: Some(own_program()), ..settings.config().map_err(usage)? };
        init_logging(&settings)?;
        raise_file_limit();
        let listening = TcpListener::bind(address).await;
        let listener =
            listening.map_err(|error| Exit::Start(format!("can't listen on {address}: {error}")))?;
        let tasks = config.tasks.display().to_string();
        let host = Host::launch(config, listener, interrupted()?).await.map_err(refused)?;
        tracing::info!(address = %host.address(), tasks, "listening on http://{}", host.address());
        host.stopped().await;
        Ok(())
    }
}

fn refused(error: LaunchError) -> Exit {
    Exit::Start(error.to_string())
}

fn init_logging(settings: &Settings) -> Result<(), Exit> {
    let filter = settings.log.as_deref().unwrap_or("info");
    let filter: EnvFilter =
        filter.parse().map_err(|error| Exit::Usage(format!("log filter {filter:?}: {error}")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match settings.log_format.unwrap_or_default() {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
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

/// Ready at the first SIGINT or SIGTERM. The second one ends the process at once.
fn interrupted() -> Result<impl Future<Output = ()> + Send, Exit> {
    let failed = |error| Exit::Start(format!("can't listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // What is committed is safe; the next start settles the rest.
            std::process::exit(130);
        });
    })
}
