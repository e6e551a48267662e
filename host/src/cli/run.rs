//! `streamtask run`: a task's file in the terminal, without a server.

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
use crate::app::single::{Single, SingleError, SingleRun, Wish};
use crate::config::{Config, DurabilitySetting, Settings};

/// Runs under way at once: the one, and children that it starts of itself.
const MAX_RUNNING: u32 = 16;
/// A file that takes longer to load is being compiled, which a person wants to know.
const PATIENCE: Duration = Duration::from_millis(500);

/// Run a task's file. The result goes to stdout, what the run says on its way to stderr.
#[derive(Args)]
pub(super) struct Run {
    /// The task, NAME.wasm; its manifest is NAME.toml beside it
    file: PathBuf,
    /// Input of the run: a JSON value, @FILE, or - for stdin
    #[arg(long, short, default_value = "{}", value_name = "JSON")]
    input: String,
    /// Label of the run; can be repeated
    #[arg(long, value_name = "KEY:VALUE")]
    label: Vec<String>,
    /// Parameter that the run finds set, to a JSON value; can be repeated
    #[arg(long, value_name = "NAME=JSON")]
    param: Vec<String>,
    /// Keep the run and what it says in this folder. If it is cut off, the same command goes on with it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// What the manifest may grant, as for `serve` [default: env,files]
    #[arg(long, value_name = "KINDS")]
    grants: Option<crate::config::GrantKinds>,
    /// Configuration file with limits, as for `serve` [default: streamtask.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "STREAMTASK_CONFIG")]
    config: Option<PathBuf>,
    /// Print nothing but the result
    #[arg(long, short)]
    quiet: bool,
    /// Print the events to stdout, one JSON object a line, and no result
    #[arg(long, visible_alias = "json", conflicts_with = "quiet")]
    events: bool,
}

impl Run {
    pub(super) async fn run(mut self) -> Result<(), Exit> {
        // From the beginning: a signal that comes while the file is compiled must not leave a folder behind.
        log::init_panics()?;
        let mut interrupts = Interrupts::of_command()?;
        let input = input::read(&self.input)?;
        let data = folders::Data::new(self.keep.take())?;
        let config = self.configuration(data.path())?;
        let wish = Wish { input, labels: self.label.clone(), parameters: self.param.clone() };
        let mut screen = Screen::new(self.events, self.quiet);
        let (single, mut run) = tokio::select! {
            started = self.start(config, wish, &screen) => started?,
            () = interrupts.next() => return Err(Exit::Interrupted("interrupted before the run began".into())),
        };
        if run.resumed {
            screen.note(&format!("going on with the run {}", run.id));
        }
        let outcome = watch(&single, &mut run, &mut screen, &mut interrupts).await;
        screen.finish();
        let outcome = outcome?;
        let files = single.files_of(&run.id);
        if files > 0 && !data.is_kept() {
            screen
                .note(&format!("files that the run left, now removed: {files}; `--keep FOLDER` keeps them"));
        }
        single.stop().await;
        outcome.conclude(self.events)
    }

    fn configuration(&self, data: &Path) -> Result<Config, Exit> {
        let usage = |error: crate::config::ConfigError| Exit::Usage(error.to_string());
        let file = Settings::read(self.config.as_deref()).map_err(usage)?;
        // What is thrown away needs to survive nothing.
        let durability = self.keep.is_none().then_some(DurabilitySetting::Normal);
        let own = Settings { durability, grants: self.grants.clone(), ..Settings::default() };
        let config = own.or(file).config().map_err(usage)?;
        Ok(Config {
            data: data.to_owned(),
            cache: folders::cache(),
            compiler: Some(own_program()),
            max_running: MAX_RUNNING,
            max_queued: u64::from(MAX_RUNNING),
            // By then the run has ended, and children that it let go have nobody to wait for.
            drain_grace: Duration::ZERO,
            // Whoever runs a file knows what it is.
            experimental_async: true,
            ..config
        })
    }

    async fn start(&self, config: Config, wish: Wish, screen: &Screen) -> Result<(Single, SingleRun), Exit> {
        let single = Single::launch(&self.file, config).await?;
        self.load(&single, screen).await?;
        let run = single.start(wish).await?;
        Ok((single, run))
    }

    async fn load(&self, single: &Single, screen: &Screen) -> Result<(), Exit> {
        let loaded = single.loaded();
        tokio::pin!(loaded);
        if let Ok(loaded) = tokio::time::timeout(PATIENCE, &mut loaded).await {
            return Ok(loaded?);
        }
        if stderr_is_terminal() {
            screen.note(&format!("compiling {}; the next time it begins at once", self.file.display()));
        }
        Ok(loaded.await?)
    }
}

/// Shows the run until it ends; returns how. The first interrupt cancels it, the second
/// ends the command.
async fn watch(
    single: &Single,
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
                    return Err(Exit::Interrupted("interrupted before the run had ended".to_owned()));
                }
                cancelling = true;
                screen.note("cancelling; once more to end at once");
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
