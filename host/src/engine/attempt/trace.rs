//! Backtraces of traps, with demangled function names.
//!
//! The file determines the names of functions, so the length of a demangled name is bounded.

use std::fmt::{self, Write as _};

use wasmtime::WasmBacktrace;

/// Longest name that is shown. Longer ones, of deeply nested types, are no more useful.
const MAX_NAME_BYTES: usize = 256;
/// Prefixes of functions of language runtimes, which lie between the author's code and the trap.
const RUNTIME_PREFIXES: [&str; 13] = [
    "core::",
    "std::",
    "alloc::",
    "<core::",
    "<std::",
    "<alloc::",
    "__",
    "_start",
    "rust_",
    "operator new",
    "abort_",
    "dlmalloc",
    "runtime.",
];
/// Whole names of such functions.
const RUNTIME_FUNCTIONS: [&str; 10] =
    ["abort", "raise", "exit", "_Exit", "_exit", "malloc", "calloc", "realloc", "memcpy", "memset"];

/// The backtrace, one frame per line, innermost first.
pub(in crate::engine) fn of(backtrace: &WasmBacktrace) -> String {
    let frame = |frame: &wasmtime::FrameInfo| {
        let module = frame.module().name().unwrap_or("?");
        match frame.func_name() {
            Some(name) => format!("{module}!{}", readable(name)),
            None => format!("{module}!function {}", frame.func_index()),
        }
    };
    backtrace.frames().iter().map(frame).collect::<Vec<_>>().join("\n")
}

/// The innermost function of the author's code; none if the file has no names.
pub(in crate::engine) fn author_function(backtrace: &WasmBacktrace) -> Option<String> {
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name()).map(readable);
    innermost(names)
}

fn innermost(mut names: impl Iterator<Item = String>) -> Option<String> {
    let is_of_runtime = |name: &str| {
        RUNTIME_FUNCTIONS.contains(&name) || RUNTIME_PREFIXES.iter().any(|runtime| name.starts_with(runtime))
    };
    names.find(|name| !is_of_runtime(name))
}

/// The name, demangled if it is one of Rust or C++.
fn readable(name: &str) -> String {
    let mut readable = BoundedName(String::new());
    let written = if let Ok(name) = rustc_demangle::try_demangle(name) {
        write!(readable, "{name:#}")
    } else if name.len() <= MAX_NAME_BYTES
        && let Ok(symbol) = cpp_demangle::Symbol::new(name)
    {
        // A short mangled name can expand to gigabytes, so it is written piece by piece.
        symbol.structured_demangle(&mut readable, &cpp_demangle::DemangleOptions::default())
    } else {
        readable.write_str(name)
    };
    if written.is_err() {
        readable.0.push('…');
    }
    readable.0
}

/// A name of bounded length: writing more to it fails.
struct BoundedName(String);

impl fmt::Write for BoundedName {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_NAME_BYTES - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        if text.len() <= room { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_demangled() {
        assert_eq!(readable("_ZN8importer4deep17h05af221e174051e9E"), "importer::deep");
        assert_eq!(readable("_RNvCs15kBYyAo9fc_7mycrate7example"), "mycrate::example");
        assert_eq!(readable("_Z4deepi"), "deep(int)");
        assert_eq!(readable("main.deep"), "main.deep");
    }

    #[test]
    fn the_length_of_a_name_is_bounded() {
        // `f(a, b<a, a>, c<b<a, a>, b<a, a>>, …)`: each parameter is twice the one before, and costs ten bytes.
        let mut doubling = "_Z1f1a1bIS_S_E".to_owned();
        for nth in (1..30).step_by(2) {
            let before = char::from_digit(nth, 36).unwrap().to_ascii_uppercase();
            doubling.push_str(&format!("1cIS{before}_S{before}_E"));
        }
        assert!(
            readable(&doubling).starts_with("f(a, b<a, a>, c<b<a, a>, b<a, a>"),
            "{}",
            readable(&doubling)
        );
        for name in
            [doubling, "x".repeat(100_000), format!("_ZN100000{}E", "y".repeat(100_000)), "漢".repeat(1000)]
        {
            assert!(readable(&name).len() <= MAX_NAME_BYTES + '…'.len_utf8(), "{name:.40}");
        }
    }

    #[test]
    fn the_authors_function_is_the_innermost_outside_of_runtimes() {
        let names = ["abort", "std::process::abort", "rust_panic", "importer::deep", "importer::run"];
        assert_eq!(innermost(names.map(str::to_owned).into_iter()).as_deref(), Some("importer::deep"));
        assert_eq!(innermost(["abort".to_owned()].into_iter()), None);
    }
}
