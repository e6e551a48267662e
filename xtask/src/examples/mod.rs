//! Every example from source.
//!
//! An example is a folder in example-tasks. What lies in it tells its language, and
//! its name is that of the task, so a new example needs nothing here.

mod javascript;
mod python;
mod rust;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use crate::root;
use crate::stamp::Stamp;

pub(crate) use rust::{GUEST_TARGET, add_guest_target};

/// What became of the examples. The lines name one each, and say why.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) built: usize,
    /// A tool that they need is missing.
    pub(crate) left_out: Vec<String>,
    pub(crate) failed: Vec<String>,
}

/// Where examples go unless the caller wants them elsewhere.
pub(crate) fn default_folder() -> PathBuf {
    root().join("target/examples")
}

/// `cargo xtask examples`.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<(), String> {
    let to = match &arguments[..] {
        [] => default_folder(),
        [option, to] if option == "--to" => PathBuf::from(to),
        _ => return Err("usage: cargo xtask examples [--to DIR]".to_owned()),
    };
    let outcome = build(&to)?;
    println!("{} examples are in {}", outcome.built, to.display());
    match outcome.failed.len() {
        0 => Ok(()),
        count => Err(format!("{count} examples can't be built")),
    }
}

/// Builds all examples into the folder `to`. Those in other languages than Rust
/// may be left out or fail without harm to the rest.
pub(crate) fn build(to: &Path) -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    let examples = all().map_err(|error| format!("can't read the examples: {error}"))?;
    rust::build_all()?;
    for example in examples {
        let name = example.name.as_str();
        let to = example.goes_to.as_deref().unwrap_or(to);
        match example.build().and_then(|wasm| example.publish(&wasm, to).map_err(Problem::from)) {
            Ok(()) => outcome.built += usize::from(example.goes_to.is_none()),
            Err(Problem::Missing(tool)) => {
                eprintln!("{name}: left out; it needs {tool}");
                outcome.left_out.push(format!("example {name}: it needs {tool}"));
            }
            Err(Problem::Failed(why)) => {
                eprintln!("{name}: {why}");
                outcome.failed.push(format!("example {name}: {why}"));
            }
        }
    }
    Ok(outcome)
}

/// Runs the tests of the SDK for JavaScript. Returns what is left out.
pub(crate) fn test_sdk() -> Result<Vec<String>, String> {
    match javascript::test_sdk() {
        Ok(()) => Ok(Vec::new()),
        Err(Problem::Missing(tool)) => Ok(vec![format!("tests of the SDK for JavaScript: they need {tool}")]),
        Err(Problem::Failed(why)) => Err(format!("tests of the SDK for JavaScript: {why}")),
    }
}

/// One example.
struct Example {
    name: String,
    folder: PathBuf,
    language: Language,
    /// Where it goes whatever the caller wants; none for what is in example-tasks.
    goes_to: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug)]
enum Language {
    Rust,
    Python,
    JavaScript,
}

/// Why there is no example.
enum Problem {
    /// A tool that not everyone has: its name, and how to get it.
    Missing(&'static str),
    Failed(String),
}

impl From<String> for Problem {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The examples, by name.
fn all() -> io::Result<Vec<Example>> {
    let mut examples = Vec::new();
    for entry in fs::read_dir(root().join("example-tasks"))? {
        let folder = entry?.path();
        let language = match () {
            () if folder.join("Cargo.toml").is_file() => Language::Rust,
            () if folder.join("requirements.txt").is_file() => Language::Python,
            () if folder.join("package.json").is_file() => Language::JavaScript,
            () => continue,
        };
        if let Some(name) = folder.file_name().and_then(|name| name.to_str()) {
            examples.push(Example { name: name.to_owned(), folder, language, goes_to: None });
        }
    }
    examples.extend(["javascript", "typescript"].map(|name| of_the_kit(name, Language::JavaScript)));
    examples.push(of_the_kit("python", Language::Python));
    examples.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(examples)
}

/// A guest of the conformance kit, which is built as examples are.
fn of_the_kit(name: &str, language: Language) -> Example {
    Example {
        name: "conformance".to_owned(),
        folder: root().join("tests/conformance").join(name),
        language,
        goes_to: Some(root().join("target/conformance").join(name)),
    }
}

impl Example {
    /// The built component.
    fn build(&self) -> Result<PathBuf, Problem> {
        match self.language {
            Language::Rust => Ok(rust::component(&self.name)),
            Language::Python => self.build_if_changed(python::RECIPE, &[python::sdk()], python::build),
            Language::JavaScript => {
                self.build_if_changed(javascript::RECIPE, &javascript::shared(), javascript::build)
            }
        }
    }

    /// Puts the component and what is said of it, if anything is, into a tasks folder.
    fn publish(&self, component: &Path, to: &Path) -> Result<(), String> {
        fs::create_dir_all(to).map_err(|error| format!("can't create {}: {error}", to.display()))?;
        let manifest = format!("{}.toml", self.name);
        let said = self.folder.join(&manifest);
        if said.is_file() {
            publish(&said, &manifest, to)?;
        }
        publish(component, &format!("{}.wasm", self.name), to)
    }

    /// Builds a component, unless the one from the last time is of the same
    /// sources, recipe, and files and folders that it shares with others: the SDK or the
    /// contract, and pinned tools.
    fn build_if_changed(
        &self,
        recipe: &str,
        shared: &[PathBuf],
        build: fn(&Example, &Path) -> Result<(), Problem>,
    ) -> Result<PathBuf, Problem> {
        let language = self.goes_to.as_deref().and_then(Path::file_name).and_then(OsStr::to_str);
        let folder = cache().join(match language {
            None => self.name.clone(),
            Some(language) => format!("{}-in-{language}", self.name),
        });
        let component = folder.join("component.wasm");
        let built_from = folder.join("built-from");
        let mut sources = Stamp::default().text(recipe).folder(&self.folder)?;
        for path in shared {
            sources = if path.is_dir() { sources.folder(path)? } else { sources.file(path)? };
        }
        let sources = sources.finish();
        if component.is_file() && fs::read_to_string(&built_from).is_ok_and(|built| built == sources) {
            return Ok(component);
        }
        fs::create_dir_all(&folder)?;
        let begun = Instant::now();
        build(self, &component)?;
        fs::write(&built_from, sources)?;
        eprintln!("{}: built in {:.0} s", self.name, begun.elapsed().as_secs_f64());
        Ok(component)
    }
}

/// What is kept to build less the next time.
fn cache() -> PathBuf {
    root().join("target/xtask")
}

/// Copies a file into a folder that a running host may be watching: whole at once,
/// and not at all if it is there already, so that nothing is loaded again.
fn publish(file: &Path, name: &str, to: &Path) -> Result<(), String> {
    let cannot_read = |error: io::Error| format!("can't read {}: {error}", file.display());
    let content = fs::read(file).map_err(cannot_read)?;
    let target = to.join(name);
    if fs::read(&target).is_ok_and(|present| present == content) {
        return Ok(());
    }
    // Hosts ignore hidden files.
    let unfinished = to.join(format!(".{name}.{}.tmp", process::id()));
    fs::write(&unfinished, content).and_then(|()| fs::rename(&unfinished, &target)).map_err(|error| {
        // It may not even be there.
        let _ = fs::remove_file(&unfinished);
        format!("can't write {}: {error}", target.display())
    })
}
