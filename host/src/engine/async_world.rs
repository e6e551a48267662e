//! The async world, an experiment: tasks whose `process` is an `async func`.
//!
//! They have a wasmtime engine of their own, because concurrency costs every store of an
//! engine that supports it. Code outside of a guest (deadline, pause gate, CPU scheduler)
//! does not distinguish the two worlds.

use wasmparser::{Chunk, ComponentExport, ComponentType, Encoding, Parser, Payload};
use wasmtime::component::{Linker, ResourceTableError};
use wasmtime::{Error, Store};
use wasmtime_wasi::p3;

use super::guest::bindings::async_world::AsyncTaskPre;
use super::guest::bindings::streamtask::task::types::Failure;
use super::guest::{Guest, imports};

/// Most pending calls, streams and futures of one guest. A timer takes less than a kilobyte
/// of the host's memory, which no other limit of the guest counts; a request takes its headers
/// in addition.
const MAX_PENDING: usize = 2_000;

/// Links everything that an async task may import. Of WASI 0.3 it leaves out sockets, which
/// no task may use, and files, because limits exist for those of 0.2 only (`wasi::filesystem`).
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    imports::link(linker)?;
    p3::cli::add_to_linker(linker)?;
    p3::clocks::add_to_linker(linker)?;
    p3::random::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)
}

/// The guest has too many pending operations.
#[derive(Debug, thiserror::Error)]
#[error("the guest has more than {MAX_PENDING} pending calls, streams and futures")]
pub(super) struct TooManyPending;

/// Limits the pending operations of a guest. Does nothing for a guest of the synchronous world.
pub(super) fn limit_pending(store: &mut Store<Guest>) {
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(MAX_PENDING);
    }
}

/// Calls `process`. Returns as soon as there is a result: other pending operations of the guest
/// are dropped with its store.
pub(super) async fn call(
    pre: &AsyncTaskPre<Guest>,
    store: &mut Store<Guest>,
    input: String,
) -> wasmtime::Result<Result<String, Failure>> {
    let task = pre.instantiate_async(&mut *store).await?;
    let called = store.run_concurrent(async |store| task.call_process(store, input).await).await;
    called.flatten().map_err(|error| explain(error, store))
}

/// Replaces wasmtime's error, which names an internal table.
fn explain(error: Error, store: &mut Store<Guest>) -> Error {
    let is_full = matches!(error.downcast_ref(), Some(ResourceTableError::Full))
        && store.concurrent_resource_table().is_some_and(|table| table.iter_mut().count() >= MAX_PENDING);
    if is_full { error.context(TooManyPending) } else { error }
}

/// Whether a file is for the async world: a component that exports `process` and has an
/// async function type. Reads only the outermost sections, so it is fast; the compiler
/// validates the file.
pub(super) fn is_async_task(wasm: &[u8]) -> bool {
    let (mut has_async, mut has_process) = (false, false);
    let whole = each_outer_section(wasm, |payload| match payload {
        Payload::ComponentTypeSection(section) => {
            has_async |= section.into_iter().any(|ty| ty.is_ok_and(|ty| is_async(&ty)));
        }
        Payload::ComponentExportSection(section) => {
            let names = |export: ComponentExport<'_>| export.name.name == "process";
            has_process |= section.into_iter().any(|export| export.is_ok_and(names));
        }
        _ => {}
    });
    whole && has_async && has_process
}

/// The first interface of WASI 0.3 that a component imports.
pub(super) fn wasi_0_3_import(wasm: &[u8]) -> Option<String> {
    let mut found = None;
    let is_newer = |name: &str| name.starts_with("wasi:") && name.contains("@0.3.");
    each_outer_section(wasm, |payload| {
        if let Payload::ComponentImportSection(section) = payload {
            let mut names = section.into_iter().filter_map(|import| Some(import.ok()?.name.name));
            found = found.take().or_else(|| names.find(|name| is_newer(name)).map(str::to_owned));
        }
    });
    found
}

/// Visits the outermost sections of a component. Returns false if the file is not one, or is damaged; the compiler
/// then reports the reason.
fn each_outer_section<'a>(wasm: &'a [u8], mut visit: impl FnMut(Payload<'a>)) -> bool {
    let mut parser = Parser::new(0);
    let mut rest = wasm;
    loop {
        let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(rest, true) else { return false };
        let within = match &payload {
            Payload::ModuleSection { unchecked_range, .. }
            | Payload::ComponentSection { unchecked_range, .. } => {
                unchecked_range.end - unchecked_range.start
            }
            Payload::Version { encoding: Encoding::Module, .. } => return false,
            Payload::End(_) => return true,
            _ => 0,
        };
        visit(payload);
        let Some(next) = rest.get(consumed + within..) else { return false };
        rest = next;
    }
}

fn is_async(ty: &ComponentType<'_>) -> bool {
    matches!(ty, ComponentType::Func(function) if function.async_)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::engine::{CompileLimits, Config, Engine, Kind, LoadError};
    use crate::model::Version;

    fn component(items: &str) -> Vec<u8> {
        wat::parse_str(format!("(component {items})")).unwrap()
    }

    const ASYNC: &str = "(type $async (func async))";
    const PROCESS: &str = "(import \"f\" (func $f)) (export \"process\" (func $f))";

    #[test]
    fn an_async_task_exports_process_and_has_an_async_function() {
        for (items, expected) in [
            (format!("{ASYNC} {PROCESS}"), true),
            (format!("(core module (func)) (component) {ASYNC} {PROCESS}"), true),
            (PROCESS.to_owned(), false),
            (ASYNC.to_owned(), false),
            (format!("(component {ASYNC}) {PROCESS}"), false),
            (format!("{ASYNC} (component {PROCESS})"), false),
            (format!("(core module (func)) (component {ASYNC} (component {PROCESS}))"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_async_task(&component(&items)), expected, "{items}");
        }
    }

    #[test]
    fn an_import_of_wasi_0_3_is_found() {
        let import = |name: &str| format!("(import \"{name}\" (instance))");
        let newer =
            component(&format!("{}{}", import("wasi:io/poll@0.2.6"), import("wasi:cli/stdout@0.3.0")));
        assert_eq!(wasi_0_3_import(&newer).as_deref(), Some("wasi:cli/stdout@0.3.0"));
        for items in [import("wasi:cli/stdout@0.2.6"), import("a:b/c@0.3.0"), String::new()] {
            assert_eq!(wasi_0_3_import(&component(&items)), None, "{items}");
        }
    }

    #[test]
    fn a_damaged_component_is_not_an_async_task() {
        let whole = component(&format!("(core module (func)) {ASYNC} {PROCESS}"));
        for at in 0..whole.len() {
            // Any answer is correct, as long as nothing panics.
            let _ = is_async_task(&whole[..at]);
            for byte in [0, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                let _ = is_async_task(&damaged);
            }
        }
        assert!(!is_async_task(b"\0asm\x0d\0\x01\0") && !is_async_task(b"\0asm\x01\0\0\0"));
    }

    #[test]
    fn a_synchronous_task_stays_in_its_own_world() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().to_owned();
        let config = Config {
            cache,
            max_instances: 1,
            threads: 1,
            compiler: None,
            compile_limits: CompileLimits::default(),
            async_world: true,
            memory_bytes: 64 << 20,
        };
        let engine = Engine::new(&config).unwrap();
        let text = include_str!("../../../tests/guests/bare.wat");
        let load = |text: &str| {
            let wasm = wat::parse_str(text).unwrap();
            engine.compile(&wasm, &Version::of(&wasm), &mut || Some(Box::new(())))
        };
        let (program, _) = load(text).unwrap().unwrap();
        assert_eq!(program.entry.kind(), Kind::Task);
        assert!(wasmtime::Engine::same(program.entry.engine(), &engine.loader.wasmtime));
        let mixed = load(&text.replace(";; COMPONENT", ASYNC)).err().unwrap();
        assert_eq!(mixed, LoadError::SyncProcess);
        let newer = load("(component (import \"wasi:cli/stdout@0.3.0\" (instance)))").err().unwrap();
        assert_eq!(newer, LoadError::NewerWasi("wasi:cli/stdout@0.3.0".to_owned()));
    }
}
