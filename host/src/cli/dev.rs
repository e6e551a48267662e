//! `streamtask dev`: builds a project at each change, loads it into a host, and runs it.

mod host;
mod keys;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::task::JoinHandle;

use self::host::DevHost;
use self::keys::{Key, Keys};
use super::follow::{RunStream, follow_to_end};
use super::interrupts::Interrupts;
use super::project::{BuildError, BuildOutput, Project};
use super::screen::Screen;
use super::{Exit, build, input, log, open};
use crate::model::Version;

/// Time to load a version after which the user is told to wait.
const SLOW_LOAD: Duration = Duration::from_millis(500);

/// The project to build and run.
#[derive(Args)]
pub(super) struct Dev {
    /// Folder of the project
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// URL of a running host to use instead of a new one
    #[arg(long, alias = "url", value_name = "URL", requires = "tasks")]
    host: Option<String>,
    /// Tasks folder of that host
    #[arg(long, value_name = "DIR", requires = "host")]
    tasks: Option<PathBuf>,
    /// App of the task
    #[arg(long, default_value = "default")]
    app: String,
    /// Input of the runs: a JSON value, or @FILE, which is read for each run [default: @tests/dev-input.json if it exists, else {}]
    #[arg(long, short, value_name = "JSON")]
    input: Option<String>,
}

/// A run whose events a Tokio task prints.
struct ShownRun {
    id: String,
    showing: JoinHandle<()>,
}

impl Dev {
    pub(super) async fn run(self) -> Result<(), Exit> {
        log::init_panics()?;
        let mut interrupts = Interrupts::of_command()?;
        let project = Project::find(&self.folder)?;
        crate::model::AppName::parse(&self.app).map_err(|rule| Exit::Usage(format!("--app: {rule}")))?;
        // Standard input can be read once, and a terminal's is read for keys.
        if self.input.as_deref() == Some("-") {
            return Err(Exit::Usage("dev can't read the input from stdin; use --input @FILE".to_owned()));
        }
        let host = match (&self.host, &self.tasks) {
            (Some(url), Some(tasks)) => DevHost::existing(url, tasks, &self.app)?,
            _ => DevHost::start(project.folder(), &self.app).await?,
        };
        let mut keys = Keys::read();
        let how = match keys.are_read() {
            true => "press r to run it again, o to open the page, q to quit",
            false => "press Ctrl-C to stop",
        };
        note(&format!("{} is on {}; {how}", project.name, open::page(host.url(), None)));
        let mut shown = None;
        let quit = keys.quit();
        let result = tokio::select! {
            result = self.work(&project, &host, &mut shown, &mut keys) => result,
            () = quit.notified() => Ok(()),
            () = interrupts.next() => Ok(()),
        };
        tokio::select! {
            stopped = stop_run(&host, &mut shown) => stopped?,
            () = interrupts.next() => return Err(Exit::Interrupted("interrupted before the run ended".into())),
        }
        host.stop().await;
        result
    }

    /// Builds and runs the project, and repeats this at each change, forever.
    async fn work(
        &self,
        project: &Project,
        host: &DevHost,
        shown: &mut Option<ShownRun>,
        keys: &mut Keys,
    ) -> Result<(), Exit> {
        let mut sources = project.sources();
        let mut last_good = None;
        loop {
            // Scanned before the build, so a change during the build starts another one.
            let known = sources.scan();
            note(&format!("building {}", project.name));
            match project.build(BuildOutput::Captured).await {
                Ok(built) => {
                    stop_run(host, shown).await?;
                    note(&build::describe(&built));
                    *shown = self.start(project, host, &built.path).await?;
                    last_good = Some(built.path);
                }
                Err(BuildError::Missing(message)) => return Err(Exit::Usage(message)),
                Err(BuildError::Failed { status, output }) => {
                    note(&format!("{}\n{status}; the last good version stays", output.trim_end()));
                }
            }
            loop {
                let key = tokio::select! {
                    _ = sources.changed_from(&known) => break,
                    key = keys.next() => key,
                };
                match (key, &last_good) {
                    (Key::Run, Some(path)) => {
                        stop_run(host, shown).await?;
                        *shown = self.start(project, host, path).await?;
                    }
                    (Key::Run, None) => note("there is no version to run yet"),
                    (Key::Open, _) => {
                        let run = shown.as_ref().map(|shown| shown.id.as_str());
                        if let Err(reason) = open::browse(&open::page(host.url(), run)) {
                            note(&reason);
                        }
                    }
                }
            }
        }
    }

    /// Loads the task into the host and starts a run. None if the host refuses one of them; the user is told, and may
    /// fix it with the next change.
    async fn start(
        &self,
        project: &Project,
        host: &DevHost,
        wasm: &std::path::Path,
    ) -> Result<Option<ShownRun>, Exit> {
        let content =
            std::fs::read(wasm).map_err(|error| Exit::Usage(format!("{}: {error}", wasm.display())))?;
        let version = Version::of(&content).to_string();
        let manifest = project.manifest().and_then(|path| std::fs::read(path).ok());
        let input = self.input(project);
        let started = async {
            host.put(&project.name, &content, manifest.as_deref())?;
            self.wait_for_host(project, host, &version).await?;
            host.run(&project.name, input?).await
        };
        let run: Value = match started.await {
            Ok(run) => run,
            Err(Exit::Usage(message) | Exit::Refused(message)) => {
                note(&message);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let id = run["id"].as_str().unwrap_or_default().to_owned();
        let stream = RunStream::new(host.client()?, &run, Some(0), None)?;
        let showing = tokio::spawn(async move {
            let ended = follow_to_end(stream, Screen::progress(), false).await;
            if let Err(exit) = ended.and_then(|outcome| outcome.conclude(false))
                && let Some(message) = exit.message()
            {
                note(message);
            }
        });
        Ok(Some(ShownRun { id, showing }))
    }

    /// Waits until the host has loaded the version, with a note to the user if that is slow: it compiles new versions.
    async fn wait_for_host(&self, project: &Project, host: &DevHost, version: &str) -> Result<(), Exit> {
        let serves = host.serves(&project.name, version);
        tokio::pin!(serves);
        if let Ok(serves) = tokio::time::timeout(SLOW_LOAD, &mut serves).await {
            return serves;
        }
        note("waiting for the host to compile the task");
        serves.await
    }

    fn input(&self, project: &Project) -> Result<bytes::Bytes, Exit> {
        match (&self.input, project.input()) {
            (Some(input), _) => input::read(input),
            (None, Some(path)) => input::read(&format!("@{}", path.display())),
            (None, None) => input::read("{}"),
        }
    }
}

/// Cancels the active run, and waits until it has ended and its last event is printed.
async fn stop_run(host: &DevHost, shown: &mut Option<ShownRun>) -> Result<(), Exit> {
    let Some(run) = shown.as_mut() else { return Ok(()) };
    if !run.showing.is_finished() {
        host.cancel(&run.id).await?;
        let _ = (&mut run.showing).await;
    }
    *shown = None;
    Ok(())
}

/// Prints a message beside the events. A closed stderr is not an error.
fn note(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{}", crate::process::plain_lines(text));
}
