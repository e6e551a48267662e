//! Builds all examples from source.
//!
//! An example is a folder in example-tasks. Its files determine its language, and its name is that
//! of the task, so a new example needs no change here.

mod c;
mod debian;
mod go;
mod javascript;
pub(crate) mod pip;
mod python;
mod rust;
mod zig;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use crate::process::{run as run_shown, run_quietly};
use crate::root;
use crate::stamp::Stamp;

pub(crate) use rust::{GUEST_TARGET, add_guest_target};

/// The outcome of a build. Each line has an example and the reason.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) built: usize,
    /// Skipped, because a tool is missing.
    pub(crate) left_out: Vec<String>,
    pub(crate) failed: Vec<String>,
}

/// The default folder for examples.
pub(crate) fn default_folder() -> PathBuf {
    root().join("target/examples")
}

/// The default folder for the guests of the conformance kit.
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

/// Builds all examples into the folder `to`. Examples in other languages than Rust can be skipped
/// or fail without affecting the rest.
pub(crate) fn build(to: &Path) -> Result<Outcome, String> {
    rust::build_all(run_shown)?;
    build_each(&all_but(&[])?, to, || true)
}

/// Builds the examples in Rust, without output.
pub(crate) fn compile_rust() -> Result<(), String> {
    rust::build_all(run_quietly)
}

/// Puts the compiled examples in Rust into the folder `to`, except some.
pub(crate) fn publish_rust(left_out: &[String], to: &Path) -> Result<Outcome, String> {
    let mut examples = all_but(left_out)?;
    examples.retain(|example| matches!(example.language, Language::Rust));
    build_each(&examples, to, || true)
}

/// Builds the examples in other languages into the folder `to`, except some, while `wanted`.
pub(crate) fn build_others(
    left_out: &[String],
    to: &Path,
    wanted: impl Fn() -> bool,
) -> Result<Outcome, String> {
    let mut examples = all_but(left_out)?;
    examples.retain(|example| !matches!(example.language, Language::Rust));
    build_each(&examples, to, wanted)
}

fn all_but(left_out: &[String]) -> Result<Vec<Example>, String> {
    let mut examples = all().map_err(|error| format!("can't read the examples: {error}"))?;
    examples.retain(|example| !left_out.contains(&example.name));
    Ok(examples)
}

/// The names and manifests of the examples that have one.
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
    build_each(&guests, to, || true)
}

fn build_each(examples: &[Example], to: &Path, wanted: impl Fn() -> bool) -> Result<Outcome, String> {
    fs::create_dir_all(to).map_err(|error| format!("can't create {}: {error}", to.display()))?;
    let mut outcome = Outcome::default();
    for example in examples.iter().take_while(|_| wanted()) {
        let built = example.build().and_then(|wasm| example.publish(&wasm, to).map_err(Problem::from));
        outcome.add(&example.title, built);
    }
    Ok(outcome)
}

/// Runs the tests of the SDKs in other languages than Rust, and of examples.
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
    /// The name of its main file.
    name: String,
    /// The name of the task; differs only for guests of the kit.
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
    /// In any language; the source is elsewhere.
    Debian,
}

/// The reason why an example was not built.
pub(crate) enum Problem {
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

/// All examples, sorted by name.
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

/// `names` converts a folder's name to the name and title of an example.
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

    /// Copies the component and its manifest, if it has one, into a tasks folder.
    fn publish(&self, component: &Path, to: &Path) -> Result<(), String> {
        let manifest = format!("{}.toml", self.name);
        let said = self.folder.join(&manifest);
        if said.is_file() {
            publish(&said, &manifest, to)?;
        }
        publish(component, &format!("{}.wasm", self.title), to)
    }

    /// Builds a component, unless the last one was built from the same sources, recipe, contract
    /// and shared files: the SDK and pinned tools.
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

/// The folder for build caches.
fn cache() -> PathBuf {
    root().join("target/xtask")
}

/// Copies a file into a folder that a running host may be watching: atomically, and only if it has
/// changed, so that nothing is reloaded needlessly.
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
        // It may not exist.
        let _ = fs::remove_file(&unfinished);
        format!("can't write {}: {error}", target.display())
    })
}
