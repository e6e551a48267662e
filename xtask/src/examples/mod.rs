//! Every example from source.
//!
//! An example is a folder in example-tasks. What lies in it tells its language, and
//! its name is that of the task, so a new example needs nothing here.

mod c;
mod debian;
mod go;
mod javascript;
mod pip;
mod python;
mod rust;
mod zig;

use std::ffi::OsString;
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

/// Where the guests of the conformance kit go unless the caller wants them elsewhere.
pub(crate) fn kit_folder() -> PathBuf {
    root().join("target/kit")
}

/// `cargo xtask examples`.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<(), String> {
    build_as_told("examples", arguments, default_folder(), build)
}

/// `cargo xtask kit`.
pub(crate) fn run_kit(arguments: Vec<OsString>) -> Result<(), String> {
    build_as_told("kit", arguments, kit_folder(), build_kit)
}

fn build_as_told(
    what: &str,
    arguments: Vec<OsString>,
    usual: PathBuf,
    build: fn(&Path) -> Result<Outcome, String>,
) -> Result<(), String> {
    let to = match &arguments[..] {
        [] => usual,
        [option, to] if option == "--to" => PathBuf::from(to),
        _ => return Err(format!("usage: cargo xtask {what} [--to DIR]")),
    };
    let outcome = build(&to)?;
    println!("{} are in {}", outcome.built, to.display());
    match outcome.failed.len() {
        0 => Ok(()),
        count => Err(format!("{count} can't be built")),
    }
}

/// Builds all examples into the folder `to`. Those in other languages than Rust
/// may be left out or fail without harm to the rest.
pub(crate) fn build(to: &Path) -> Result<Outcome, String> {
    build_but(&[], to)
}

/// The same without some of them.
pub(crate) fn build_but(left_out: &[String], to: &Path) -> Result<Outcome, String> {
    let mut examples = all().map_err(|error| format!("can't read the examples: {error}"))?;
    examples.retain(|example| !left_out.contains(&example.name));
    rust::build_all()?;
    build_each(&examples, to)
}

/// Names of examples that have a manifest, with its text.
pub(crate) fn manifests() -> Result<Vec<(String, String)>, String> {
    let examples = all().map_err(|error| format!("can't read the examples: {error}"))?;
    let with_text = examples.into_iter().filter_map(|example| {
        let text = fs::read_to_string(example.folder.join(format!("{}.toml", example.name))).ok()?;
        Some((example.name, text))
    });
    Ok(with_text.collect())
}

/// Builds the guests of the conformance kit into the folder `to`, each as
/// conformance-LANGUAGE.wasm.
pub(crate) fn build_kit(to: &Path) -> Result<Outcome, String> {
    let guests = kit().map_err(|error| format!("can't read the conformance kit: {error}"))?;
    build_each(&guests, to)
}

fn build_each(examples: &[Example], to: &Path) -> Result<Outcome, String> {
    fs::create_dir_all(to).map_err(|error| format!("can't create {}: {error}", to.display()))?;
    let mut outcome = Outcome::default();
    for example in examples {
        let built = example.build().and_then(|wasm| example.publish(&wasm, to).map_err(Problem::from));
        outcome.add(&example.title, built);
    }
    Ok(outcome)
}

/// The tests that SDKs in other languages than Rust have of their own, and examples with them.
pub(crate) fn test_sdks() -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    outcome.add("tests of the SDK for JavaScript", javascript::test());
    outcome.add("tests of the SDK for Python", python::test());
    outcome.add("tests of the SDK for C", c::test());
    outcome.add("tests of the SDK for Go", go::test(&go::sdk()));
    for example in all().map_err(|error| format!("can't read the examples: {error}"))? {
        if matches!(example.language, Language::Go) {
            outcome.add(&format!("tests of {}", example.title), go::test(&example.folder));
        }
    }
    Ok(outcome)
}

impl Outcome {
    fn add(&mut self, what: &str, became: Result<(), Problem>) {
        match became {
            Ok(()) => self.built += 1,
            Err(Problem::Missing(tool)) => {
                eprintln!("{what}: left out; it needs {tool}");
                self.left_out.push(format!("{what}: it needs {tool}"));
            }
            Err(Problem::Failed(why)) => {
                eprintln!("{what}: {why}");
                self.failed.push(format!("{what}: {why}"));
            }
        }
    }
}

/// One example, or a guest of the conformance kit.
struct Example {
    /// That of its main file.
    name: String,
    /// That of the task; differs only for guests of the kit.
    title: String,
    folder: PathBuf,
    language: Language,
}

#[derive(Clone, Copy)]
enum Language {
    Rust,
    Python,
    JavaScript,
    Go,
    C,
    Zig,
    /// In whichever one; the source is elsewhere.
    Debian,
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
    in_folders_of(&root().join("example-tasks"), |folder| (folder.to_owned(), folder.to_owned()))
}

/// The guests of the conformance kit, by language. Those in Rust are built with the test guests.
fn kit() -> io::Result<Vec<Example>> {
    let name = "conformance".to_owned();
    let mut guests = in_folders_of(&root().join("tests").join(&name), |language| {
        (name.clone(), format!("{name}-{language}"))
    })?;
    guests.retain(|guest| !matches!(guest.language, Language::Rust));
    Ok(guests)
}

/// `names` makes an example's name and title of that of its folder.
fn in_folders_of(parent: &Path, names: impl Fn(&str) -> (String, String)) -> io::Result<Vec<Example>> {
    let mut examples = Vec::new();
    for entry in fs::read_dir(parent)? {
        let folder = entry?.path();
        let Some((name, title)) = folder.file_name().and_then(|name| name.to_str()).map(&names) else {
            continue;
        };
        let has = |file: &str| folder.join(file).is_file();
        let language = match () {
            () if has("Cargo.toml") => Language::Rust,
            () if has("requirements.txt") => Language::Python,
            () if has("package.json") => Language::JavaScript,
            () if has("go.mod") => Language::Go,
            () if has("Makefile") => Language::C,
            () if has(&format!("{name}.zig")) => Language::Zig,
            () if has("build.sh") => Language::Debian,
            () => continue,
        };
        examples.push(Example { name, title, folder, language });
    }
    examples.sort_by(|one, other| one.title.cmp(&other.title));
    Ok(examples)
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
            Language::Go => self.build_if_changed(go::RECIPE, &[go::sdk()], go::build),
            Language::C => self.build_if_changed(c::RECIPE, &[c::sdk()], c::build),
            Language::Zig => self.build_if_changed(zig::RECIPE, &[], zig::build),
            Language::Debian => self.build_if_changed(debian::RECIPE, &[], debian::build),
        }
    }

    /// Puts the component and what is said of it, if anything is, into a tasks folder.
    fn publish(&self, component: &Path, to: &Path) -> Result<(), String> {
        let manifest = format!("{}.toml", self.name);
        let said = self.folder.join(&manifest);
        if said.is_file() {
            publish(&said, &manifest, to)?;
        }
        publish(component, &format!("{}.wasm", self.title), to)
    }

    /// Builds a component, unless the one from the last time is of the same
    /// sources, recipe, contract, and files and folders that it shares with others: the
    /// SDK and pinned tools.
    fn build_if_changed(
        &self,
        recipe: &str,
        shared: &[PathBuf],
        build: fn(&Example, &Path) -> Result<(), Problem>,
    ) -> Result<PathBuf, Problem> {
        let folder = cache().join(&self.title);
        let component = folder.join("component.wasm");
        let built_from = folder.join("built-from");
        let mut sources = Stamp::default().text(recipe).folder(&root().join("wit"))?.folder(&self.folder)?;
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
        eprintln!("{}: built in {:.0} s", self.title, begun.elapsed().as_secs_f64());
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
