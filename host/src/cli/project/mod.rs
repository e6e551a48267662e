//! Projects: a folder with the source of a task, in some language.
//!
//! What a language is made of stands in its own file, as one [`Language`]: by which files it
//! is known, what a new project has, and which command builds it.

mod c;
mod go;
mod javascript;
mod python;
mod rust;
mod sources;
mod template;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use clap::builder::PossibleValue;
use tokio::process::Command;

use super::Exit;
use crate::model::TaskRef;

pub(super) use sources::Sources;

/// Paths and contents.
type Files = &'static [(&'static str, &'static [u8])];

/// A language in which tasks are written.
pub(super) struct Language {
    /// Its name on the command line.
    name: &'static str,
    /// The folder that has one of these files is a project of it.
    marks: &'static [&'static str],
    /// What a build makes or brings up to date besides the task: no change of it is one of
    /// the source. Names of files or folders.
    outputs: &'static [&'static str],
    template: Files,
    sdk: Files,
    /// The name that the project's own files give it.
    named: fn(&Path) -> Option<String>,
    /// How to build it. An error says what is missing, and how to get it.
    recipe: fn(&Project) -> Result<Recipe, String>,
}

/// A language's own tool with the right arguments.
struct Recipe {
    command: Command,
    /// The file that it makes.
    made: PathBuf,
}

/// All, in the order in which a folder is asked. A project in another language may have a
/// Makefile as well.
static LANGUAGES: &[&Language] = &[
    &rust::LANGUAGE,
    &python::LANGUAGE,
    &javascript::TYPESCRIPT,
    &javascript::JAVASCRIPT,
    &go::LANGUAGE,
    &c::LANGUAGE,
];

/// A language as an argument.
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

/// The source of a task.
pub(super) struct Project {
    folder: PathBuf,
    /// Of the task.
    pub(super) name: String,
    language: &'static Language,
}

/// A built task.
pub(super) struct Built {
    /// NAME.wasm in the project's folder.
    pub(super) path: PathBuf,
    /// Its bytes.
    pub(super) size: u64,
    /// How long it took.
    pub(super) took: Duration,
}

impl Project {
    /// The project that is in the folder.
    pub(super) fn find(folder: &Path) -> Result<Self, Exit> {
        let folder = std::fs::canonicalize(folder)
            .map_err(|error| Exit::Usage(format!("can't read {}: {error}", folder.display())))?;
        let has = |mark: &&str| folder.join(mark).is_file();
        let Some(language) = LANGUAGES.iter().find(|language| language.marks.iter().any(has)) else {
            let marks: Vec<&str> = LANGUAGES.iter().flat_map(|language| language.marks).copied().collect();
            let message = format!("{} has no project: none of {}", folder.display(), marks.join(", "));
            return Err(Exit::Usage(message));
        };
        let own = (language.named)(&folder);
        let name = own.or_else(|| Some(folder.file_name()?.to_str()?.to_owned())).unwrap_or_default();
        check_name(&name)?;
        Ok(Self { folder, name, language })
    }

    /// Writes a new project into a folder, which must be empty or not there.
    pub(super) fn create(name: &str, language: LanguageName, folder: &Path) -> Result<(), Exit> {
        check_name(name)?;
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            // The languages' own tools take no other.
            return Err(Exit::Usage(format!("{name:?} can't be a project: its name begins with a letter")));
        }
        template::write(language.0, name, folder)
    }

    /// Builds the task. What the tool says goes where `output` says.
    pub(super) async fn build(&self, output: Output) -> Result<Built, BuildError> {
        let begun = Instant::now();
        let Recipe { mut command, made } = (self.language.recipe)(self).map_err(BuildError::Missing)?;
        command.current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true);
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let cannot = |error: std::io::Error| BuildError::Missing(format!("can't run {program}: {error}"));
        let (status, said) = match output {
            Output::Shown => {
                command.stdout(super::folders::stderr().map_err(cannot)?);
                (command.status().await.map_err(cannot)?, String::new())
            }
            Output::Kept => {
                let output = command.output().await.map_err(cannot)?;
                let said = [output.stdout, output.stderr].concat();
                (output.status, String::from_utf8_lossy(&said).into_owned())
            }
        };
        if !status.success() {
            return Err(BuildError::Failed(format!("{program}: {status}"), said));
        }
        let path = self.component();
        let failed = |error: std::io::Error| {
            BuildError::Failed(format!("{program} made no {}: {error}", made.display()), said.clone())
        };
        if made != path {
            std::fs::copy(&made, &path).map_err(failed)?;
        }
        let size = std::fs::metadata(&path).map_err(failed)?.len();
        Ok(Built { path, size, took: begun.elapsed() })
    }

    /// Where the built task goes.
    fn component(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    /// Its manifest, if it has one.
    pub(super) fn manifest(&self) -> Option<PathBuf> {
        Some(self.folder.join(format!("{}.toml", self.name))).filter(|path| path.is_file())
    }

    /// The input that comes with it, if one does.
    pub(super) fn input(&self) -> Option<PathBuf> {
        Some(self.folder.join("tests/dev-input.json")).filter(|path| path.is_file())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it is built from.
    pub(super) fn sources(&self) -> Sources {
        Sources::new(self.folder.clone(), self.language.outputs)
    }
}

/// Where it goes what a build says.
#[derive(Clone, Copy)]
pub(super) enum Output {
    /// To stderr, as it comes.
    Shown,
    /// Into the error, if there is one.
    Kept,
}

/// Why there is no task.
pub(super) enum BuildError {
    /// A tool is not there: which, and how to get it.
    Missing(String),
    /// The tool failed: how, and what it said.
    Failed(String, String),
}

impl From<BuildError> for Exit {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Missing(what) => Self::Usage(what),
            BuildError::Failed(how, _) => Self::BuildFailed(format!("the build failed: {how}")),
        }
    }
}

fn check_name(name: &str) -> Result<(), Exit> {
    let checked = TaskRef::parse("default", name);
    checked.map(drop).map_err(|rule| Exit::Usage(format!("{name:?} can't be a task: {rule}")))
}

/// What a program prints; none if it is not there or fails.
fn ask(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str], folder: &Path) -> Option<String> {
    let mut command = std::process::Command::new(program);
    let output = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
