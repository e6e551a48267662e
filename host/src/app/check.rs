//! Checks of task files, manifests and configuration files without a host.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;

use crate::config::{self, Settings};
use crate::engine::{self, Engine, Executor as _, Kind, LoadError, Outline};
use crate::model::Version;
use crate::registry;

/// A file that a host would accept.
pub struct CheckedFile {
    /// The kind of the file, such as `task`.
    pub kind: &'static str,
    /// Exports, imports and the grants that they may need, one per line.
    pub details: Vec<String>,
}

/// Checks whether a host would accept a file. An error is one line with the fault and its place. Compiled code is
/// stored in `cache`; a host executes the code in its cache, so no other user may write there.
pub fn check(path: &Path, cache: &Path) -> Result<CheckedFile, String> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| format!("can't read {name}: {error}");
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") if path.file_name().is_some_and(|name| name == config::DEFAULT_FILE) => {
            let settings = Settings::read(Some(path)).map_err(|error| error.to_string())?;
            let checked = settings.config().and_then(|_| settings.address());
            checked.map_err(|error| format!("{name}: {error}"))?;
            Ok(CheckedFile { kind: "configuration", details: Vec::new() })
        }
        Some("toml") => {
            let text = fs::read_to_string(path).map_err(unreadable)?;
            let folder = path.parent().unwrap_or(Path::new("."));
            registry::check_manifest(&name, &text, folder).map_err(|error| error.to_string())?;
            Ok(CheckedFile { kind: "manifest", details: Vec::new() })
        }
        Some("wasm") => {
            let wasm = fs::read(path).map_err(unreadable)?;
            let outline = outline(&wasm, cache).map_err(|reason| format!("{name}: {reason}"))?;
            let kind = match outline.kind {
                Kind::Task => "task",
                Kind::AsyncTask => "async task (experimental)",
                Kind::Command => "ordinary program",
                Kind::Module => "ordinary program for WASI preview 1",
            };
            Ok(CheckedFile { kind, details: details(&outline) })
        }
        _ => Err(format!("{name} is neither a task nor a manifest: its name must end with .wasm or .toml")),
    }
}

/// Loads a task file like a host.
fn outline(wasm: &[u8], cache: &Path) -> Result<Outline, String> {
    let config = engine::Config {
        cache: cache.to_owned(),
        max_instances: 1,
        threads: 1,
        compiler: Some(super::own_program()),
        compile_limits: engine::CompileLimits::default(),
        async_world: true,
        memory_bytes: usize::MAX,
    };
    let engine = Engine::new(&config).map_err(|error| error.to_string())?;
    // On a thread of its own: loading blocks on the description of the task, which a thread of the runtime must not.
    let load = || engine.load(wasm, Version::of(wasm));
    let loaded = thread::scope(|scope| Ok(thread::Builder::new().spawn_scoped(scope, load)?.join()));
    let loaded = loaded.map_err(|error: io::Error| format!("can't start a thread: {error}"))?;
    let program = loaded.unwrap_or(Err(LoadError::Failed)).map_err(|error| error.to_string())?;
    Ok(program.outline())
}

fn details(outline: &Outline) -> Vec<String> {
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
