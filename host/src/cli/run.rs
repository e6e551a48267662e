//! `streamtask run`: runs a task file in the terminal, without a server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::interrupts::Interrupts;
use super::run_outcome::RunOutcome;
use super::screen::{Screen, stderr_is_terminal};
use super::stream_event::is_terminal;
use super::{Exit, folders, input, log};
use crate::app::own_program;
use crate::app::single::{SingleError, SingleHost, SingleInput, SingleRun};
use crate::config::{Config, Durability, Settings};

/// Most concurrent runs: the run and the children that it starts.
const MAX_RUNNING: u32 = 16;
/// Time to load a file after which the user is told that it is being compiled.
const SLOW_LOAD: Duration = Duration::from_millis(500);

/// Run a task file. The result goes to stdout, the events go to stderr.
#[derive(Args)]
pub(super) struct Run {
    /// Task file, NAME.wasm; its manifest is NAME.toml in the same folder
    file: PathBuf,
    /// Input of the run: a JSON value, @FILE, or - for stdin
    #[arg(long, short, default_value = "{}", value_name = "JSON")]
    input: String,
    /// Label of the run; can be repeated
    #[arg(long, value_name = "KEY:VALUE")]
    label: Vec<String>,
    /// Parameter to set for the run, with a JSON value; can be repeated
    #[arg(long, value_name = "NAME=JSON")]
    param: Vec<String>,
    /// Keep the run and its data in this folder; if the run is interrupted, the same command resumes it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Kinds of grants allowed to the manifest, as for `serve` [default: env,files]
    #[arg(long, value_name = "KINDS")]
    grants: Option<crate::config::GrantKinds>,
    /// Configuration file with limits, as for `serve` [default: streamtask.toml, if it exists]
    #[arg(long, value_name = "FILE", env = "STREAMTASK_CONFIG")]
    config: Option<PathBuf>,
    /// Print only the result
    #[arg(long, short)]
    quiet: bool,
    /// Print the events to stdout as JSON, one per line, instead of the result
    #[arg(long, visible_alias = "json", conflicts_with = "quiet")]
    events: bool,
}

impl Run {
    pub(super) async fn run(mut self) -> Result<(), Exit> {
        // First of all: a signal during the compilation must not leave a folder behind.
        log::init_panics()?;
        let mut interrupts = Interrupts::of_command()?;
        let json = input::read(&self.input)?;
        let data = folders::DataFolder::new(self.keep.take())?;
        let config = self.configuration(data.path())?;
        let input = SingleInput { json, labels: self.label.clone(), parameters: self.param.clone() };
        let mut screen = Screen::new(self.events, self.quiet);
        let (single, mut run) = tokio::select! {
            started = self.start(config, input, &screen) => started?,
            () = interrupts.next() => return Err(Exit::Interrupted("interrupted before the run started".into())),
        };
        if run.resumed {
            screen.note(&format!("resuming run {}", run.id));
        }
        let outcome = watch(&single, &mut run, &mut screen, &mut interrupts).await;
        screen.finish();
        let outcome = outcome?;
        let files = single.files_of(&run.id);
        if files > 0 && !data.is_kept() {
            screen.note(&format!("output files removed: {files}; `--keep DIR` keeps them"));
        }
        single.stop().await;
        outcome.conclude(self.events)
    }

    fn configuration(&self, data: &Path) -> Result<Config, Exit> {
        let usage = |error: crate::config::ConfigError| Exit::Usage(error.to_string());
        let file = Settings::read(self.config.as_deref()).map_err(usage)?;
        // Temporary data need not survive a power loss.
        let durability = self.keep.is_none().then_some(Durability::Normal);
        let overrides = Settings { durability, grants: self.grants.clone(), ..Settings::default() };
        let config = overrides.or(file).config().map_err(usage)?;
        Ok(Config {
            data: data.to_owned(),
            cache: folders::cache(),
            compiler: Some(own_program()),
            max_running: MAX_RUNNING,
            max_queued: u64::from(MAX_RUNNING),
            // The host stops after the run has ended, and detached children are not waited for.
            drain_grace: Duration::ZERO,
            // The user has chosen this file, so no flag is needed.
            experimental_async: true,
            ..config
        })
    }

    async fn start(
        &self,
        config: Config,
        input: SingleInput,
        screen: &Screen,
    ) -> Result<(SingleHost, SingleRun), Exit> {
        let single = SingleHost::launch(&self.file, config).await?;
        self.load(&single, screen).await?;
        let run = single.start(input).await?;
        Ok((single, run))
    }

    async fn load(&self, single: &SingleHost, screen: &Screen) -> Result<(), Exit> {
        let loaded = single.loaded();
        tokio::pin!(loaded);
        if let Ok(loaded) = tokio::time::timeout(SLOW_LOAD, &mut loaded).await {
            return Ok(loaded?);
        }
        if stderr_is_terminal() {
            screen.note(&format!("compiling {}; later runs start at once", self.file.display()));
        }
        Ok(loaded.await?)
    }
}

/// Shows the run until it ends and returns its outcome. The first interrupt cancels the run, the second one ends the
/// command.
async fn watch(
    single: &SingleHost,
    run: &mut SingleRun,
    screen: &mut Screen,
    interrupts: &mut Interrupts,
) -> Result<RunOutcome, Exit> {
    let mut cancelling = false;
    loop {
        let line = tokio::select! {
            line = run.next() => line?,
            () = interrupts.next() => {
                if cancelling {
                    return Err(Exit::Interrupted("interrupted before the run ended".to_owned()));
                }
                cancelling = true;
                screen.note("cancelling; press Ctrl-C again to stop at once");
                single.cancel(&run.id).await?;
                continue;
            }
        };
        let Some(line) = line else { return Err(Exit::Start("the run was removed".to_owned())) };
        let event: Value = serde_json::from_slice(&line).unwrap_or_default();
        screen.event(&event, &line)?;
        if is_terminal(&event) {
            return Ok(RunOutcome::of_event(&line)?);
        }
    }
}

impl From<SingleError> for Exit {
    fn from(error: SingleError) -> Self {
        let message = error.to_string();
        match error {
            SingleError::File { .. } | SingleError::Request(_) => Self::Usage(message),
            SingleError::Launch(_) | SingleError::Storage(_) => Self::Start(message),
        }
    }
}
