//! `streamtask dev`: at each change of a project it is built, goes to a host, and is run.

mod host;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::task::JoinHandle;

use self::host::DevHost;
use super::follow::{RunStream, follow_to_end};
use super::interrupts::Interrupts;
use super::project::{BuildError, Output, Project};
use super::screen::Screen;
use super::{Exit, build, input, log};
use crate::model::Version;

/// A host that takes longer to load a version says so.
const PATIENCE: Duration = Duration::from_millis(500);

/// A project to be worked on.
#[derive(Args)]
pub(super) struct Dev {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// A host to use instead of one that is started here
    #[arg(long, alias = "url", value_name = "URL", requires = "tasks")]
    host: Option<String>,
    /// The tasks folder of that host
    #[arg(long, value_name = "DIR", requires = "host")]
    tasks: Option<PathBuf>,
    /// App that the task goes to
    #[arg(long, default_value = "default")]
    app: String,
    /// Input of the runs: a JSON value, or @FILE [default: @tests/dev-input.json, if it is there, or {}]
    #[arg(long, short, value_name = "JSON")]
    input: Option<String>,
}

/// A run that is shown by a task of its own.
struct Shown {
    id: String,
    showing: JoinHandle<()>,
}

impl Dev {
    pub(super) async fn run(self) -> Result<(), Exit> {
        log::init_panics()?;
        let mut interrupts = Interrupts::of_command()?;
        let project = Project::find(&self.folder)?;
        crate::model::AppName::parse(&self.app).map_err(|rule| Exit::Usage(format!("--app: {rule}")))?;
        let host = match (&self.host, &self.tasks) {
            (Some(url), Some(tasks)) => DevHost::there(url, tasks, &self.app)?,
            _ => DevHost::start(project.folder(), &self.app).await?,
        };
        note(&format!("{} is on {}; Ctrl-C ends", project.name, host.url()));
        let mut shown = None;
        let worked = tokio::select! {
            worked = self.work(&project, &host, &mut shown) => worked,
            () = interrupts.next() => Ok(()),
        };
        tokio::select! {
            ended = end(&host, &mut shown) => ended?,
            () = interrupts.next() => return Err(Exit::Interrupted("interrupted before the run had ended".into())),
        }
        host.stop().await;
        worked
    }

    /// Builds, runs, and waits for the next change, for ever.
    async fn work(&self, project: &Project, host: &DevHost, shown: &mut Option<Shown>) -> Result<(), Exit> {
        let mut sources = project.sources();
        loop {
            // Looked at before the build: what changes during it is built again.
            let known = sources.look();
            note(&format!("building {}", project.name));
            match project.build(Output::Kept).await {
                Ok(built) => {
                    end(host, shown).await?;
                    note(&build::describe(&built));
                    *shown = self.begin(project, host, &built.path).await?;
                }
                Err(BuildError::Missing(what)) => return Err(Exit::Usage(what)),
                Err(BuildError::Failed(how, said)) => {
                    note(&format!("{}\n{how}; the last good version stays", said.trim_end()));
                }
            }
            sources.changed_from(&known).await;
        }
    }

    /// Puts the task on the host and starts a run. None if the task or the run is refused,
    /// which is told: the next change may help.
    async fn begin(
        &self,
        project: &Project,
        host: &DevHost,
        wasm: &std::path::Path,
    ) -> Result<Option<Shown>, Exit> {
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
            Err(Exit::Usage(why) | Exit::Refused(why)) => {
                note(&why);
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
        Ok(Some(Shown { id, showing }))
    }

    /// A new version is compiled first, which a person wants to know if it takes a while.
    async fn wait_for_host(&self, project: &Project, host: &DevHost, version: &str) -> Result<(), Exit> {
        let serves = host.serves(&project.name, version);
        tokio::pin!(serves);
        if let Ok(serves) = tokio::time::timeout(PATIENCE, &mut serves).await {
            return serves;
        }
        note("waiting for the host to compile it");
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

/// Cancels the run under way, and waits until it has ended and all of it is shown.
async fn end(host: &DevHost, shown: &mut Option<Shown>) -> Result<(), Exit> {
    let Some(run) = shown.as_mut() else { return Ok(()) };
    if !run.showing.is_finished() {
        host.cancel(&run.id).await?;
        let _ = (&mut run.showing).await;
    }
    *shown = None;
    Ok(())
}

/// A line beside what runs say; nothing if nobody reads stderr any more.
fn note(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{}", crate::process::plain_lines(text));
}
