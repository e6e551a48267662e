//! Projects: folders with the source of a task.
//!
//! Each language has a file of its own with a [`Language`]: the files that identify a project, the template of a new
//! project, and the build command.

mod c;
mod go;
mod javascript;
mod python;
mod rust;
mod sources;
mod template;

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use clap::builder::PossibleValue;
use tokio::process::Command;

use super::Exit;
use super::shell::quoted;
use crate::model::TaskRef;

pub(super) use sources::Sources;

/// Embedded files: paths and contents.
type Files = &'static [(&'static str, &'static [u8])];

/// A programming language for tasks.
pub(super) struct Language {
    /// The name on the command line.
    name: &'static str,
    /// A folder with one of these files is a project in this language.
    markers: &'static [&'static str],
    /// Names of files and folders that a build creates or updates besides the task. They are no sources.
    outputs: &'static [&'static str],
    template: Files,
    sdk: Files,
    /// The command that fetches what a new project needs, once, before the first build.
    setup: Option<&'static str>,
    /// Reads the name of the project from its files.
    read_name: fn(&Path) -> Option<String>,
    /// Checks the tools that every project in the language needs. An error names a missing one and how to install it, as
    /// `what: how`.
    tools: fn(&Path) -> Result<(), Unbuildable>,
    /// Returns the build command. An error names what is missing and how to install it.
    recipe: fn(&Project) -> Result<Recipe, Unbuildable>,
}

/// The build command of a project.
struct Recipe {
    command: Command,
    /// The file that it creates.
    output: PathBuf,
}

/// Why a project can't be built here: a message that names the missing tool or part, and how to get it.
struct Unbuildable(String);

impl From<String> for Unbuildable {
    fn from(message: String) -> Self {
        Self(message)
    }
}

impl From<&str> for Unbuildable {
    fn from(message: &str) -> Self {
        Self(message.to_owned())
    }
}

/// All languages, in the order in which they are tried: a project in another language may have a Makefile too.
static LANGUAGES: &[&Language] = &[
    &rust::LANGUAGE,
    &python::LANGUAGE,
    &javascript::TYPESCRIPT,
    &javascript::JAVASCRIPT,
    &go::LANGUAGE,
    &c::LANGUAGE,
];

/// The language in an argument.
#[derive(Clone, Copy)]
pub(super) struct LanguageName(&'static Language);

impl ValueEnum for LanguageName {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: &[LanguageName] = &[
            LanguageName(&rust::LANGUAGE),
            LanguageName(&python::LANGUAGE),
            LanguageName(&javascript::JAVASCRIPT),
            LanguageName(&javascript::TYPESCRIPT),
            LanguageName(&go::LANGUAGE),
            LanguageName(&c::LANGUAGE),
            LanguageName(&c::CPP),
        ];
        ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name))
    }
}

/// Each language by its name on the command line.
pub(super) fn toolchains() -> impl Iterator<Item = (&'static str, LanguageName)> {
    LanguageName::value_variants().iter().map(|language| (language.0.name, *language))
}

/// The commands that follow the creation of a project, for the user.
pub(super) fn next_commands(language: LanguageName, folder: &Path) -> Vec<String> {
    let enter = format!("cd {}", quoted(folder));
    let setup = language.0.setup.map(str::to_owned);
    let dev = "streamtask dev".to_owned();
    [Some(enter), setup, Some(dev)].into_iter().flatten().collect()
}

/// The tool that is missing to build projects in a language, and how to install it.
pub(super) fn missing_tool(language: LanguageName) -> Option<String> {
    // Not in the current folder, whose own environment of Python or choice of a toolchain would be executed.
    (language.0.tools)(Path::new("/")).err().map(|Unbuildable(message)| message)
}

/// A folder with the source of a task.
pub(super) struct Project {
    folder: PathBuf,
    /// Name of the task.
    pub(super) name: String,
    language: &'static Language,
}

/// The result of a build.
pub(super) struct Built {
    /// NAME.wasm in the project's folder.
    pub(super) path: PathBuf,
    /// Size in bytes.
    pub(super) size: u64,
    /// Duration of the build.
    pub(super) took: Duration,
}

impl Project {
    /// Finds the project in a folder.
    pub(super) fn find(folder: &Path) -> Result<Self, Exit> {
        let folder = std::fs::canonicalize(folder)
            .map_err(|error| Exit::Usage(format!("can't read {}: {error}", folder.display())))?;
        let has = |marker: &&str| folder.join(marker).is_file();
        let Some(language) = LANGUAGES.iter().find(|language| language.markers.iter().any(has)) else {
            let markers: Vec<&str> =
                LANGUAGES.iter().flat_map(|language| language.markers).copied().collect();
            let message =
                format!("{} is not a project: it has none of {}", folder.display(), markers.join(", "));
            return Err(Exit::Usage(message));
        };
        let name = (language.read_name)(&folder);
        let name = name.or_else(|| Some(folder.file_name()?.to_str()?.to_owned())).unwrap_or_default();
        check_name(&name)?;
        Ok(Self { folder, name, language })
    }

    /// Creates a project in a folder, which must be empty or missing.
    pub(super) fn create(name: &str, language: LanguageName, folder: &Path) -> Result<(), Exit> {
        check_name(name)?;
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            // The tools of the languages require this.
            return Err(Exit::Usage(format!(
                "{name:?} can't be the name of a project: it must start with a letter"
            )));
        }
        template::write(language.0, name, folder)
    }

    /// Builds the task.
    pub(super) async fn build(&self, output: BuildOutput) -> Result<Built, BuildError> {
        let begun = Instant::now();
        let recipe = (self.language.tools)(&self.folder).and_then(|()| (self.language.recipe)(self));
        let Recipe { mut command, output: file } =
            recipe.map_err(|Unbuildable(message)| BuildError::Missing(message))?;
        command.current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true);
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let cannot = |error: std::io::Error| BuildError::Missing(format!("can't run {program}: {error}"));
        let (status, text) = match output {
            BuildOutput::Shown => {
                command.stdout(stderr_as_stdout().map_err(cannot)?);
                (command.status().await.map_err(cannot)?, String::new())
            }
            BuildOutput::Captured => {
                let output = command.output().await.map_err(cannot)?;
                let text = [output.stdout, output.stderr].concat();
                (output.status, String::from_utf8_lossy(&text).into_owned())
            }
        };
        if !status.success() {
            return Err(BuildError::Failed { status: format!("{program}: {status}"), output: text });
        }
        let path = self.component();
        let failed = |error: std::io::Error| BuildError::Failed {
            status: format!("{program} did not create {}: {error}", file.display()),
            output: text.clone(),
        };
        if file != path {
            std::fs::copy(&file, &path).map_err(failed)?;
        }
        let size = std::fs::metadata(&path).map_err(failed)?.len();
        Ok(Built { path, size, took: begun.elapsed() })
    }

    /// The path of the built task.
    fn component(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    /// The path of the manifest, if the project has one.
    pub(super) fn manifest(&self) -> Option<PathBuf> {
        Some(self.folder.join(format!("{}.toml", self.name))).filter(|path| path.is_file())
    }

    /// The path of the example input, if the project has one.
    pub(super) fn input(&self) -> Option<PathBuf> {
        Some(self.folder.join("tests/dev-input.json")).filter(|path| path.is_file())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Watches the sources of the project.
    pub(super) fn sources(&self) -> Sources {
        Sources::new(self.folder.clone(), self.language.outputs)
    }
}

/// What happens with the output of a build tool.
#[derive(Clone, Copy)]
pub(super) enum BuildOutput {
    /// It goes to stderr, live.
    Shown,
    /// It becomes part of the error if the build fails.
    Captured,
}

/// Why a build failed.
pub(super) enum BuildError {
    /// A tool is missing: the message names it and how to install it.
    Missing(String),
    /// The tool failed.
    Failed {
        /// The program with its exit status.
        status: String,
        /// The captured output.
        output: String,
    },
}

impl From<BuildError> for Exit {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Missing(message) => Self::Usage(message),
            BuildError::Failed { status, .. } => Self::BuildFailed(format!("the build failed: {status}")),
        }
    }
}

fn check_name(name: &str) -> Result<(), Exit> {
    let checked = TaskRef::parse("default", name);
    checked.map(drop).map_err(|rule| Exit::Usage(format!("{name:?} can't be the name of a task: {rule}")))
}

/// Standard error as the standard output of a child process, because stdout is for the result.
fn stderr_as_stdout() -> std::io::Result<Stdio> {
    Ok(std::io::stderr().as_fd().try_clone_to_owned()?.into())
}

/// The output of a program; none if it is missing or fails.
fn output_of(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str], folder: &Path) -> Option<String> {
    let mut command = std::process::Command::new(program);
    let output = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
