//! Files that are meant for a tasks folder, looked at without a host.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;

use crate::config::{self, Settings};
use crate::engine::{self, Engine, Executor as _, Kind, LoadError, Outline};
use crate::model::Version;
use crate::registry;

/// What a file is that a host would take.
pub struct Checked {
    /// In a few words.
    pub is: &'static str,
    /// What it is made of and may need, a line each.
    pub details: Vec<String>,
}

/// Says what a file is that a host would take. An error is one line: what is wrong,
/// and where. Compiled code is left in `cache`: what is in there is executed, so nobody
/// else may write to it.
pub fn check(path: &Path, cache: &Path) -> Result<Checked, String> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| format!("can't read {name}: {error}");
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") if path.file_name().is_some_and(|name| name == config::DEFAULT_FILE) => {
            let settings = Settings::read(Some(path)).map_err(|error| error.to_string())?;
            let checked = settings.config().and_then(|_| settings.address());
            checked.map_err(|error| format!("{name}: {error}"))?;
            Ok(Checked { is: "a configuration", details: Vec::new() })
        }
        Some("toml") => {
            let text = fs::read_to_string(path).map_err(unreadable)?;
            let folder = path.parent().unwrap_or(Path::new("."));
            registry::check_manifest(&name, &text, folder).map_err(|error| error.to_string())?;
            Ok(Checked { is: "a manifest", details: Vec::new() })
        }
        Some("wasm") => {
            let wasm = fs::read(path).map_err(unreadable)?;
            let outline = outline(&wasm, cache).map_err(|reason| format!("{name}: {reason}"))?;
            let is = match outline.kind {
                Kind::Task => "a task",
                Kind::AsyncTask => "an async task (experimental)",
                Kind::Command => "an ordinary program",
                Kind::Module => "an ordinary program for WASI preview 1",
            };
            Ok(Checked { is, details: details(&outline) })
        }
        _ => Err(format!(
            "{name} is neither a task nor a manifest: its name ends with neither .wasm nor .toml"
        )),
    }
}

/// Loads a file as a host does.
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
    // On a thread of its own: what a task says of itself is waited for, which no thread that drives others may.
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
        ("wasi:filesystem/preopens@", "[[grants.folders]] or output-files, to see files"),
        ("wasi:sockets/tcp-create-socket@", "nothing for sockets: they can't be granted"),
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
