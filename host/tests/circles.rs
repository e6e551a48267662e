//! No circle of files inside a room: each file can be read after those that it uses, and taken out with them.
//!
//! A file uses another one if it names something that the other one defines, directly or through a `use` on the way.
//! What stands in `mod tests` does not count, nor does a module's use of those below it: it composes them, and they may
//! have its types.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::source::{read_path, sources, sources_in, tokens};

/// The path of a module from the crate's root.
type Module = Vec<String>;
/// Each module with those that it uses.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn no_room_of_the_host_has_a_circle() {
    let found = circles(&sources());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_sdk_in_rust_has_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/rust");
    for part in ["src", "macros/src"] {
        let found = circles(&sources_in(&root.join(part)));
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn a_planted_circle_is_found() {
    let found = |files: &[(&str, &str)]| {
        let files: Vec<_> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        circles(&files)
    };
    let map = ("a/mod.rs", "mod b; mod c; pub use b::{B, free as f};");
    let circle = ["a: a::b a::c"];
    for (b, c) in [
        ("use super::c::C; struct B;", "use super::b::B; struct C;"),
        ("fn free() { super::c::go() }", "use super::B;"),
        ("use crate::a::c;", "fn go() { super::f() }"),
        ("use super::c::*;", "use super::super::a::b as other;"),
    ] {
        assert_eq!(found(&[map, ("a/b.rs", b), ("a/c.rs", c)]), circle, "{b} {c}");
    }
    let through = [
        ("a/mod.rs", "mod b; mod c; struct A;"),
        ("a/b/mod.rs", "mod d;"),
        ("a/b/d.rs", "use crate::a::c::C;"),
        ("a/c.rs", "use super::b::d::D; struct C(super::A);"),
    ];
    assert_eq!(found(&through), ["a: a::b::d a::c"]);
    let parent = [("a/mod.rs", "mod b; use b::B; struct A;"), ("a/b.rs", "struct B(super::A);")];
    assert_eq!(found(&parent), [""; 0]);
    for (b, c) in [
        ("use super::c::C;", "struct C; mod tests { use super::super::b::B; }"),
        ("use super::c::C; pub(super) struct B;", "struct C; impl C { fn f(&self) {} }"),
        ("use super::c::C; struct B;", "use crate::other::b; /* super::b */ struct C;"),
        ("fn free() { super::c::go() }", "fn go() { \"super::b\"; }"),
    ] {
        assert_eq!(found(&[map, ("a/b.rs", b), ("a/c.rs", c)]), [""; 0], "{b} {c}");
    }
}

/// Each circle in one line: the room, and the modules of which each uses all others, if through others.
fn circles(files: &[(String, String)]) -> Vec<String> {
    let files: BTreeMap<Module, Vec<String>> =
        files.iter().map(|(path, text)| (module(path), without_tests(tokens(text)))).collect();
    let names: BTreeMap<&Module, BTreeMap<String, Vec<String>>> =
        files.iter().map(|(module, tokens)| (module, imported(&files, module, tokens))).collect();
    let mut uses = Uses::new();
    for (module, tokens) in &files {
        let named = named_paths(&files, module, tokens, false);
        let used = named.iter().filter_map(|path| defining(&files, &names, path));
        let used = used.filter(|used| !used.starts_with(module) && used.first() == module.first());
        uses.insert(module.clone(), used.collect());
    }
    let reached: BTreeMap<&Module, BTreeSet<Module>> =
        uses.keys().map(|module| (module, reached(&uses, module))).collect();
    let mut found = BTreeSet::new();
    for (module, all) in &reached {
        let circle = all.iter().filter(|other| reached[other].contains(*module));
        let circle: Vec<String> = circle.map(|module| module.join("::")).collect();
        if !circle.is_empty() {
            found.insert(format!("{}: {}", module.first().map_or("", String::as_str), circle.join(" ")));
        }
    }
    found.into_iter().collect()
}

/// All modules that can be reached; the module itself only through others.
fn reached(uses: &Uses, module: &Module) -> BTreeSet<Module> {
    let (mut found, mut open) = (BTreeSet::new(), vec![module]);
    while let Some(module) = open.pop() {
        for used in uses.get(module).into_iter().flatten() {
            if found.insert(used.clone()) {
                open.push(used);
            }
        }
    }
    found
}

/// `storage/sqlite/mod.rs` → `storage`, `sqlite`.
fn module(path: &str) -> Module {
    let parts = path.trim_end_matches(".rs").split('/').map(str::to_owned);
    parts.filter(|part| part != "mod" && part != "lib").collect()
}

fn without_tests(mut tokens: Vec<String>) -> Vec<String> {
    let tests = tokens.windows(3).position(|three| three == ["mod", "tests", "{"]);
    tokens.truncate(tests.unwrap_or(tokens.len()));
    tokens
}

/// All paths that a module names, from the crate's root. `imports` leaves out what is not in a `use`.
fn named_paths(
    files: &BTreeMap<Module, Vec<String>>,
    module: &Module,
    tokens: &[String],
    imports: bool,
) -> Vec<Vec<String>> {
    let child = |name: &String| files.contains_key(&joined(module, std::slice::from_ref(name)));
    let (mut paths, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let token = tokens[at].as_str();
        let first = at == 0 || tokens[at - 1] != "::";
        // Not `pub(super)`, nor the `self` of a method.
        let leads = tokens.get(at + 1).is_some_and(|next| next == "::")
            && (["crate", "super", "self"].contains(&token) || child(&tokens[at]));
        let is_import = at > 0 && tokens[at - 1] == "use";
        if first && leads && (is_import || !imports) {
            let mut found = Vec::new();
            at = read_path(tokens, at, &mut Vec::new(), &mut found);
            paths.extend(found.into_iter().map(|path| from_root(module, path)));
        } else {
            at += 1;
        }
    }
    paths
}

fn joined(module: &Module, more: &[String]) -> Module {
    module.iter().chain(more).cloned().collect()
}

fn from_root(module: &Module, path: Vec<String>) -> Vec<String> {
    match path[0].as_str() {
        "crate" => path[1..].to_vec(),
        "self" => joined(module, &path[1..]),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            joined(&module[..module.len().saturating_sub(ups)].to_vec(), &path[ups..])
        }
        _ => joined(module, &path),
    }
}

/// What a module has by `use`: each name, with where it comes from.
fn imported(
    files: &BTreeMap<Module, Vec<String>>,
    module: &Module,
    tokens: &[String],
) -> BTreeMap<String, Vec<String>> {
    let paths = named_paths(files, module, tokens, true);
    let mut names: BTreeMap<String, Vec<String>> =
        paths.into_iter().filter_map(|path| Some((path.last()?.clone(), path))).collect();
    for three in tokens.windows(3).filter(|three| three[1] == "as") {
        if let Some(path) = names.get(&three[0]).cloned() {
            names.insert(three[2].clone(), path);
        }
    }
    names
}

/// The module that defines what a path names, through each `use` on the way.
fn defining(
    files: &BTreeMap<Module, Vec<String>>,
    names: &BTreeMap<&Module, BTreeMap<String, Vec<String>>>,
    path: &[String],
) -> Option<Module> {
    let mut path = path.to_vec();
    // A `use` leads to a `use`, but never in a circle that compiles.
    for _ in 0..8 {
        let length = (1..=path.len()).rev().find(|length| files.contains_key(&path[..*length]))?;
        let module = path[..length].to_vec();
        let next = path.get(length).and_then(|name| names.get(&module)?.get(name));
        match next.filter(|next| **next != path) {
            Some(next) => path = next.iter().chain(&path[length + 1..]).cloned().collect(),
            None => return Some(module),
        }
    }
    None
}
