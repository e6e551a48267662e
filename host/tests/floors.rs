//! The rooms stand on floors (`src/lib.rs`), and a room uses only what is below
//! it. Reads the source itself, tests included: a test that needs a higher room
//! tests the wrong room.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod source;

use self::source::{read_path, sources, tokens};

/// Rooms and their floors. A room imports from lower floors only.
const FLOORS: &[(&str, u32)] = &[
    ("main", 9),
    ("cli", 8),
    ("app", 7),
    ("fuzzing", 7),
    ("config", 6),
    ("http", 6),
    ("scheduler", 5),
    ("retention", 5),
    ("event_log", 4),
    ("registry", 4),
    ("engine", 3),
    ("files", 3),
    ("notifier", 3),
    ("storage", 3),
    ("model", 2),
    ("platform", 1),
    ("postgres", 1),
    ("process", 0),
];

/// What a room does not know although it lies below, as each room's first lines
/// say.
const APART: &[(&str, &str)] = &[
    // All that the binary does is in the library.
    ("main", "app"),
    ("main", "config"),
    ("main", "http"),
    // A command starts a host through `app`, or speaks to one as any client does.
    ("cli", "http"),
    ("cli", "scheduler"),
    ("cli", "retention"),
    ("cli", "event_log"),
    ("cli", "registry"),
    ("cli", "engine"),
    ("cli", "notifier"),
    ("cli", "storage"),
    // Formats and routes know nothing of wasm, and which database it is.
    ("http", "engine"),
    ("http", "storage::sqlite"),
    ("scheduler", "storage::sqlite"),
    ("retention", "storage::sqlite"),
    ("event_log", "storage::sqlite"),
    ("http", "storage::postgres"),
    ("scheduler", "storage::postgres"),
    ("retention", "storage::postgres"),
    ("event_log", "storage::postgres"),
    // Connections are for storage and the notifier.
    ("cli", "postgres"),
    ("http", "postgres"),
    ("scheduler", "postgres"),
    ("retention", "postgres"),
    ("event_log", "postgres"),
    ("registry", "postgres"),
    ("engine", "postgres"),
    // Nothing of how a run is executed.
    ("event_log", "engine"),
    // Nothing of runs.
    ("registry", "storage"),
    ("registry", "files"),
    ("registry", "notifier"),
];

/// Names that only one folder may use.
const KEPT_TO: &[(&str, &str)] = &[
    ("wasmtime", "engine/"),
    ("wasmtime_wasi", "engine/"),
    ("wasmtime_wasi_http", "engine/"),
    ("wasmparser", "engine/"),
    ("wiggle", "engine/"),
    ("wit_component", "engine/"),
    ("rusqlite", "storage/sqlite/"),
    ("tokio_postgres", "postgres/ storage/postgres/ notifier/postgres"),
    // `http` serves, `cli` is a client of the host, and guests send requests to other servers.
    ("hyper", "http/ cli/client.rs engine/wasi/outgoing/"),
    ("hyper_util", "http/ cli/client.rs engine/wasi/outgoing/"),
    ("http_body_util", "http/ cli/client.rs engine/wasi/outgoing/"),
    ("hyper_rustls", "engine/wasi/outgoing/"),
    ("rustls", "engine/wasi/outgoing/ postgres/"),
    ("rustls_native_certs", "postgres/"),
    ("tokio_rustls", "postgres/"),
    ("clap", "cli/ config.rs config/"),
    ("unicode_width", "cli/"),
    ("mime_guess", "http/"),
    ("prometheus_client", "http/"),
    // Everywhere else, what there is to say goes to the log.
    ("print", "cli/"),
    ("println", "cli/"),
    ("eprint", "cli/"),
    ("eprintln", "cli/"),
    ("stdout", "cli/ engine/"),
    ("stderr", "cli/ engine/"),
];

/// Names of rooms that say nothing of what belongs into them.
const NO_ROOM: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "shared"];

/// A file longer than this holds more than one thought.
const MAX_LINES: usize = 500;

#[test]
fn every_import_goes_down() {
    let faults: Vec<String> = sources().iter().flat_map(|(path, text)| import_faults(path, text)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_library_stays_in_its_room() {
    let faults: Vec<String> = sources().iter().flat_map(|(path, text)| name_faults(path, text)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_room_has_a_floor_and_every_floor_its_room() {
    let declared: Vec<String> = declared_rooms(include_str!("../src/lib.rs"));
    for room in &declared {
        assert!(floor(room).is_some(), "the room {room} stands on no floor");
    }
    for (room, _) in FLOORS {
        assert!(*room == "main" || declared.iter().any(|declared| declared == room), "no room {room}");
    }
}

#[test]
fn files_are_short_and_rooms_have_names() {
    for (path, text) in sources() {
        assert!(text.lines().count() < MAX_LINES, "{path} has {} lines", text.lines().count());
        assert!(module(&path).iter().all(|part| !NO_ROOM.contains(&part.as_str())), "{path} says nothing");
    }
}

#[test]
fn a_planted_import_is_found() {
    let planted = [
        ("engine/program.rs", "use crate::storage::Storage;", "engine -> storage"),
        ("engine/program.rs", "fn f() { crate::http::serve() }", "engine -> http"),
        ("engine/program.rs", "use super::super::scheduler::Scheduler;", "engine -> scheduler"),
        ("storage/sqlite/mod.rs", "use super::super::notifier::Topic;", "storage -> notifier"),
        ("storage/sqlite/list.rs", "mod tests { use super::super::super::super::app; }", "storage -> app"),
        (
            "model/run.rs",
            "use crate::{\n    model::Json,\n    registry::{self, Task},\n};",
            "model -> registry",
        ),
        ("http/mod.rs", "use crate::config::Config;", "http -> config"),
        ("http/runs.rs", "use crate::storage::{Runs, sqlite::Sqlite};", "http -> storage::sqlite"),
        ("http/runs.rs", "type E = crate::engine::Engine;", "http -> engine"),
        ("cli/serve.rs", "use crate::storage::sqlite::Sqlite;", "cli -> storage"),
        ("config.rs", "mod tests { use super::super::http; }", "config -> http"),
        ("notifier/mod.rs", "pub(in crate::cli) fn f() {}", "notifier -> cli"),
        ("main.rs", "use streamtask_host::{cli, app::Host};", "main -> app"),
        ("scheduler/mod.rs", "use crate::*;", "scheduler -> *"),
    ];
    for (path, text, fault) in planted {
        let faults = import_faults(path, text);
        assert!(faults.len() == 1 && faults[0].contains(fault), "{text}: {faults:?}");
    }
    let innocent = [
        ("engine/program.rs", "use super::Engine; use crate::model::Json; // use crate::http::serve;"),
        ("engine/program.rs", "mod tests { use super::*; mod deep { use super::super::super::pool; } }"),
        ("storage/sqlite/writer.rs", "use super::super::Log; /* crate::cli */ fn f() { \"crate::cli\"; }"),
        ("scheduler/mod.rs", "use crate::storage::{Runs, Storage}; use self::slots::Slots;"),
        ("http/mod.rs", "fn f<'a>(x: &'a str) -> char { '\"' } use crate::scheduler::Scheduler;"),
    ];
    for (path, text) in innocent {
        assert_eq!(import_faults(path, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_planted_name_is_found() {
    let planted = [
        ("scheduler/runner.rs", "use wasmtime::Store;"),
        ("registry/mod.rs", "fn f(e: wasmtime::Engine) {}"),
        ("storage/mod.rs", "use rusqlite::Connection;"),
        ("app/mod.rs", "fn f() { hyper::StatusCode::OK; }"),
        ("cli/start.rs", "use hyper_util::client;"),
        ("http/mod.rs", "fn f() { println!(\"x\"); }"),
        ("model/run.rs", "fn f() { writeln!(std::io::stderr(), \"x\"); }"),
    ];
    for (path, text) in planted {
        assert_eq!(name_faults(path, text).len(), 1, "{text}");
    }
    for (path, text) in [
        ("cli/start.rs", "fn f() { println!(\"wasmtime\"); }"),
        ("engine/program.rs", "use wasmtime::Store;"),
        ("config.rs", "/// What hyper does. r#\"rusqlite\"#\nconst X: &str = r#\"say \"hyper\" \"#;"),
    ] {
        assert_eq!(name_faults(path, text), Vec::<String>::new(), "{text}");
    }
}

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The modules that the root of the crate declares.
fn declared_rooms(text: &str) -> Vec<String> {
    tokens(text)
        .windows(3)
        .filter(|three| three[0] == "mod" && three[2] == ";")
        .map(|three| three[1].clone())
        .collect()
}

/// `storage/sqlite/mod.rs` → `storage`, `sqlite`.
fn module(path: &str) -> Vec<String> {
    let parts = path.trim_end_matches(".rs").split('/').map(str::to_owned);
    parts.filter(|part| part != "mod" && part != "lib").collect()
}

fn import_faults(path: &str, text: &str) -> Vec<String> {
    let module = module(path);
    let Some(room) = module.first() else { return Vec::new() };
    let Some(own) = floor(room) else { return vec![format!("{path}: the room {room} stands on no floor")] };
    let mut faults = Vec::new();
    for used in used_paths(&module, text) {
        let Some(other) = used.first().filter(|other| *other != room) else { continue };
        let mut apart = APART.iter().filter(|(from, _)| from == room).map(|(_, what)| *what);
        let used = used.join("::") + "::";
        let apart = apart.find(|what| used.starts_with(&format!("{what}::")));
        if let Some(what) = apart {
            faults.push(format!("{path}: {room} -> {what}, which it is to know nothing of"));
        } else if floor(other).is_none_or(|floor| floor >= own) {
            faults.push(format!("{path}: {room} -> {other} goes up or sideways"));
        }
    }
    faults.dedup();
    faults
}

fn name_faults(path: &str, text: &str) -> Vec<String> {
    let kept = |name: &String| KEPT_TO.iter().find(|(kept, _)| kept == name);
    let strays = tokens(text).into_iter().filter_map(|name| kept(&name));
    let strays = strays.filter(|(_, homes)| !homes.split(' ').any(|home| path.starts_with(home)));
    strays.map(|(name, homes)| format!("{path}: names {name}, which belongs to {homes}")).collect()
}

/// All paths in the text that begin at the crate's root or lead up to it, from
/// there on.
fn used_paths(module: &[String], text: &str) -> Vec<Vec<String>> {
    let tokens = tokens(text);
    let (mut paths, mut at) = (Vec::new(), 0);
    // For each open brace, whether a module begins with it.
    let mut braces: Vec<bool> = Vec::new();
    while at < tokens.len() {
        let begins = ["crate", "super", "streamtask_host"].contains(&tokens[at].as_str());
        if begins && (at == 0 || tokens[at - 1] != "::") {
            let mut found = Vec::new();
            at = read_path(&tokens, at, &mut Vec::new(), &mut found);
            let depth = module.len() + braces.iter().filter(|is_module| **is_module).count();
            paths.extend(found.into_iter().filter_map(|path| from_root(path, depth)));
            continue;
        }
        match tokens[at].as_str() {
            "{" => braces.push(at >= 2 && tokens[at - 2] == "mod"),
            "}" => drop(braces.pop()),
            _ => {}
        }
        at += 1;
    }
    paths
}

/// What follows the crate's root, if the path leads there from a module `depth`
/// levels below it.
fn from_root(path: Vec<String>, depth: usize) -> Option<Vec<String>> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    match path[0].as_str() {
        "crate" | "streamtask_host" => Some(path[1..].to_vec()),
        _ => (ups >= depth).then(|| path[ups..].to_vec()),
    }
    // `pub(crate)` is no import.
    .filter(|path| !path.is_empty())
}
