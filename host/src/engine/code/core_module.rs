//! Core modules, the output of most toolchains: programs for WASI preview 1, which run unchanged,
//! and modules for the world of the contract, which are converted to components. For any other
//! module, this reports the reason why it is not a task.

use std::collections::BTreeSet;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// Most names in the reason why a module is not a task.
const MAX_NAMES: usize = 5;

/// Whether the bytes begin like a core module.
pub(in crate::engine) fn is_core_module(wasm: &[u8]) -> bool {
    wasm.starts_with(b"\0asm\x01\0\0\0")
}

/// Whether the bytes are a core module that names no world, and so has to be a program.
pub(in crate::engine) fn is_program(wasm: &[u8]) -> bool {
    is_core_module(wasm) && ModuleOutline::of(wasm).is_ok_and(|outline| !outline.has_world)
}

/// The reason why a core module can't be a task, from its imports and exports.
pub(in crate::engine) fn why_not(wasm: &[u8]) -> Option<String> {
    match ModuleOutline::of(wasm) {
        Ok(outline) => outline.why_not(),
        Err(error) => Some(format!("it is not valid: {error}")),
    }
}

/// Converts a core module of a world to a component. An error is the reason why that is
/// impossible.
pub(in crate::engine) fn component(wasm: &[u8]) -> Result<Vec<u8>, String> {
    let adapter = WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    let encoder = ComponentEncoder::default();
    let encoded = encoder
        .module(wasm)
        .and_then(|encoder| encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter))
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| format!("{error:#}"))
}

/// The imports and exports of a module.
#[derive(Default)]
struct ModuleOutline {
    imports: BTreeSet<(String, String)>,
    exports: BTreeSet<String>,
    /// Whether it names its world.
    has_world: bool,
}

impl ModuleOutline {
    fn of(wasm: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut outline = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        outline.imports.insert((import.module.to_owned(), import.name.to_owned()));
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        outline.exports.insert(export?.name.to_owned());
                    }
                }
                Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                    outline.has_world = true;
                }
                _ => {}
            }
        }
        Ok(outline)
    }

    /// Recognises modules that are often confused with tasks.
    fn why_not(&self) -> Option<String> {
        let imports = |like: fn(&str, &str) -> bool| self.imports.iter().any(|(from, name)| like(from, name));
        if imports(|from, _| from.starts_with("__wbindgen") || from == "wbg" || from.ends_with("_bg.js")) {
            return Some(
                "it is made for a browser by wasm-bindgen; build it without wasm-bindgen, for wasm32-wasip2"
                    .into(),
            );
        }
        if imports(|from, name| {
            (from == "env" && (name.contains("emscripten_") || name.starts_with("invoke_"))) || from == "a"
        }) {
            return Some(
                "it is made for a browser by Emscripten; build it with wasi-sdk, \
                 or with `clang --target=wasm32-wasi`"
                    .into(),
            );
        }
        if imports(|from, _| from == "gojs" || from == "go") {
            return Some("it is made for a browser by Go; build it with GOOS=wasip1 GOARCH=wasm".into());
        }
        if imports(|from, _| from == "wasi_unstable") {
            return Some(
                "it is for WASI preview 0; build it with a current toolchain, for preview 1 or 2".into(),
            );
        }
        if imports(|from, name| from == "wasi" && name == "thread-spawn") {
            return Some(
                "it needs threads (wasi-threads), which are not supported; build it without them".into(),
            );
        }
        if self.has_world {
            return None;
        }
        let known = [WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME];
        let others: Vec<_> = self.imports.iter().filter(|(from, _)| !known.contains(&&**from)).collect();
        if !others.is_empty() {
            let names = others.iter().take(MAX_NAMES).map(|(from, name)| format!("{from}.{name}"));
            let names = names.collect::<Vec<_>>().join(", ");
            let more = if others.len() > MAX_NAMES { ", …" } else { "" };
            return Some(format!("it imports functions that this host does not provide: {names}{more}"));
        }
        if !self.exports.contains("_start") {
            let names: Vec<&str> = self.exports.iter().take(MAX_NAMES).map(String::as_str).collect();
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            return Some(format!("it has no `_start` function and names no world; it exports {names}"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        why_not(&wat::parse_str(text).unwrap()).unwrap()
    }

    #[test]
    fn modules_for_other_hosts_are_recognised() {
        for (import, words) in [
            (r#""__wbindgen_placeholder__" "__wbindgen_throw""#, "wasm-bindgen"),
            (r#""./page_bg.js" "f""#, "wasm-bindgen"),
            (r#""env" "emscripten_resize_heap""#, "Emscripten"),
            (r#""a" "b""#, "Emscripten"),
            (r#""gojs" "runtime.wasmExit""#, "GOOS=wasip1"),
            (r#""wasi_unstable" "fd_write""#, "preview 0"),
            (r#""wasi" "thread-spawn""#, "threads"),
            (r#""env" "abort""#, "env.abort"),
        ] {
            let text = format!("(module (import {import} (func)) (func (export \"_start\")))");
            assert!(reason(&text).contains(words), "{import}: {}", reason(&text));
        }
        assert!(reason("(module)").contains("it exports nothing"));
        assert!(reason(r#"(module (func (export "main")))"#).contains("it exports main"));
    }

    #[test]
    fn a_program_is_recognised_by_its_start_function() {
        let wasm =
            wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "_start")))"#).unwrap();
        assert!(is_core_module(&wasm) && is_program(&wasm));
        assert_eq!(why_not(&wasm), None);
        assert!(!is_program(b"\0asm\x0d\0\x01\0"));
    }
}
