//! Checks of task files, manifests and configuration files without a host.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;

use crate::config::{self, ConfigError, Settings};
use crate::engine::{self, Engine, Executor as _, Kind, LoadError, ProgramOutline, SetupError};
use crate::model::Version;
use crate::registry::{self, ManifestError};

/// A file that a host would accept.
pub struct CheckedFile {
    /// The kind of the file, such as `task`.
    pub kind: &'static str,
    /// Exports, imports and the grants that they may need, one per line.
    pub details: Vec<String>,
}

/// Why a host would not accept a file: one line with the fault and its place.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It can't be read.
    #[error("can't read {name}: {error}")]
    Unreadable {
        /// The file.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// It is no configuration file.
    #[error(transparent)]
    Settings(ConfigError),
    /// The settings do not fit together.
    #[error("{name}: {error}")]
    Config {
        /// The file.
        name: String,
        /// Why.
        error: ConfigError,
    },
    /// It is no manifest.
    #[error(transparent)]
    Manifest(ManifestError),
    /// The file is not a task.
    #[error("{name}: {error}")]
    Task {
        /// The file.
        name: String,
        /// Why.
        error: TaskError,
    },
    /// Its name does not tell what it is.
    #[error("{0} is neither a task nor a manifest: its name must end with .wasm or .toml")]
    Extension(String),
}

/// Why a task file could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// There is no engine to load it with.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The system has no thread left.
    #[error("can't start a thread: {0}")]
    Thread(io::Error),
    /// The file is at fault.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Checks whether a host would accept a file. Compiled code is stored in `cache`; a host executes the code in its cache, so
/// no other user may write there.
pub fn check(path: &Path, cache: &Path) -> Result<CheckedFile, CheckError> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| CheckError::Unreadable { name: name.clone(), error };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") if path.file_name().is_some_and(|name| name == config::DEFAULT_FILE) => {
            let settings = Settings::read(Some(path)).map_err(CheckError::Settings)?;
            let checked = settings.config().and_then(|_| settings.address());
            checked.map_err(|error| CheckError::Config { name, error })?;
            Ok(CheckedFile { kind: "configuration", details: Vec::new() })
        }
        Some("toml") => {
            let text = fs::read_to_string(path).map_err(unreadable)?;
            let folder = path.parent().unwrap_or(Path::new("."));
            registry::check_manifest(&name, &text, folder).map_err(CheckError::Manifest)?;
            Ok(CheckedFile { kind: "manifest", details: Vec::new() })
        }
        Some("wasm") => {
            let wasm = fs::read(path).map_err(unreadable)?;
            let outline = outline(&wasm, cache).map_err(|error| CheckError::Task { name, error })?;
            let kind = match outline.kind {
                Kind::Task => "task",
                Kind::AsyncTask => "async task (experimental)",
                Kind::Command => "ordinary program",
                Kind::Module => "ordinary program for WASI preview 1",
            };
            Ok(CheckedFile { kind, details: details(&outline) })
        }
        _ => Err(CheckError::Extension(name)),
    }
}

/// Loads a task file like a host.
fn outline(wasm: &[u8], cache: &Path) -> Result<ProgramOutline, TaskError> {
    let config = engine::Config {
        cache: cache.to_owned(),
        max_instances: 1,
        threads: 1,
        compiler: Some(super::own_program()),
        compile_limits: engine::CompileLimits::default(),
        async_world: true,
        memory_bytes: usize::MAX,
    };
    let engine = Engine::new(&config)?;
    // On a thread of its own: loading blocks on the description of the task, which a thread of the runtime must not.
    let load = || engine.load(wasm, Version::of(wasm));
    let loaded = thread::scope(|scope| Ok(thread::Builder::new().spawn_scoped(scope, load)?.join()));
    let loaded = loaded.map_err(TaskError::Thread)?;
    let program = loaded.unwrap_or(Err(LoadError::Failed))?;
    Ok(program.outline())
}

fn details(outline: &ProgramOutline) -> Vec<String> {
    let list = |what: &str, names: &[String]| format!("{what}: {}", names.join(", "));
    let mut details = vec![list("exports", &outline.exports), list("imports", &outline.imports)];
    let imports = |prefix: &str| outline.imports.iter().any(|name| name.starts_with(prefix));
    for (prefix, need) in [
        ("wasi:http/outgoing-handler@", "[[grants.http]], to send requests"),
        ("wasi:http/client@", "[[grants.http]], to send requests"),
        ("wasi:filesystem/preopens@", "[[grants.folders]] or output-files, to access files"),
        ("wasi:sockets/tcp-create-socket@", "sockets, which can't be granted"),
    ] {
        if imports(prefix) {
            details.push(format!("may need {need}"));
        }
    }
    details
}

/// The JSON Schema of manifests.
pub fn manifest_schema() -> String {
    registry::manifest_schema()
}
