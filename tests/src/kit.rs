//! The guests of the conformance kit.

use std::fs;
use std::path::PathBuf;

use crate::{guests, root};

/// Languages with a guest: the folder of its source, and the name for people.
pub const LANGUAGES: [(&str, &str); 6] = [
    ("rust", "Rust"),
    ("python", "Python"),
    ("javascript", "JavaScript"),
    ("typescript", "TypeScript"),
    ("go", "Go"),
    ("c", "C"),
];

/// A language's guest, as `cargo xtask kit` built it.
pub fn guest(language: &str) -> Option<Vec<u8>> {
    match language {
        "rust" => Some(guests::conformance()),
        _ => fs::read(folder().join(format!("conformance-{language}.wasm"))).ok(),
    }
}

/// What is missing where there is none.
pub fn needs(language: &str) -> String {
    format!("conformance-{language}.wasm; `cargo xtask kit` makes it, or says what that needs")
}

/// Where the guests are that `cargo xtask kit` builds.
pub fn folder() -> PathBuf {
    std::env::var_os("STREAMTASK_KIT").map_or_else(|| root().join("target/kit"), PathBuf::from)
}
