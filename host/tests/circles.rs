//! No circle of files inside a room: each file can be read after those that it uses, and taken out with them.
//!
//! A file uses another one if it names something that the other one defines, directly or through a `use` on the way.
//! What stands in `mod tests` does not count, nor does a module's use of those below it: it composes them, and they may
//! have its types.
//!
//! In Python, JavaScript and C, a file uses those that it imports or includes by a relative path, wherever in the file.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::source::{files_in, read_path, sources, sources_in, tokens};

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
fn no_sdk_client_or_page_in_another_language_has_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for part in
        ["guest-sdk/python", "guest-sdk/js", "guest-sdk/c", "web/client", "web/page", "clients/python"]
    {
        let found = include_circles(&files_in(&root.join(part), &["py", "js", "mjs", "ts", "c", "h"]));
        assert!(found.is_empty(), "{part}: {}", found.join("\n"));
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

#[test]
fn a_planted_circle_of_imports_is_found() {
    let found = |files: &[(&str, &str)]| {
        let files: Vec<_> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        include_circles(&files)
    };
    for (a, b) in [
        (("p/a.py", "\nfrom .b import B\n"), ("p/b.py", "\ndef f():\n    from . import x, a as c\n")),
        (
            ("p/a.py", "\nfrom ..p.b import (\n    B,\n)\n"),
            ("p/b.py", "\nfrom . import (\n    x,\n    a,\n)\n"),
        ),
        (("a.js", "import { b } from './s/b.js';"), ("s/b.js", "export * from \"../a.js\";")),
        (("a.mjs", "import './b.js';"), ("b.js", "const a = await import(\"./a.mjs\");")),
        (("a.h", "#include \"s/b.h\""), ("s/b.h", "#include \"../a.h\"")),
    ] {
        assert_eq!(found(&[a, b]), [format!("{} {}", a.0, b.0)], "{a:?} {b:?}");
    }
    let package = [("p/__init__.py", "\nfrom .a import A\n"), ("p/a.py", "\nfrom . import A\n")];
    assert_eq!(found(&package), ["p/__init__.py p/a.py"]);
    for (a, b) in [
        (("p/a.py", "\nfrom .b import B\n"), ("p/b.py", "\nfrom a import A\n")),
        (("a.js", "import { b } from './b.js';"), ("b.js", "import a from 'a.js'; const s = './a.js';")),
        (("a.h", "#include \"b.h\""), ("b.h", "#include <a.h>")),
    ] {
        assert_eq!(found(&[a, b]), [""; 0], "{a:?} {b:?}");
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
    let line = |circle: Vec<&Module>| {
        let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
        format!("{}: {}", circle[0].first().map_or("", String::as_str), names.join(" "))
    };
    modules_in_circles(&uses).into_iter().map(line).collect()
}

/// Each circle, as the modules of which each uses all others, if through others.
fn modules_in_circles(uses: &Uses) -> BTreeSet<Vec<&Module>> {
    let reached: BTreeMap<&Module, BTreeSet<Module>> =
        uses.keys().map(|module| (module, reached(uses, module))).collect();
    let circle = |(module, all): (&&Module, &BTreeSet<Module>)| {
        uses.keys().filter(|other| all.contains(*other) && reached[other].contains(*module)).collect()
    };
    reached.iter().map(circle).filter(|circle: &Vec<&Module>| !circle.is_empty()).collect()
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

/// Each circle of files that import or include one another, as a line of their paths.
fn include_circles(files: &[(String, String)]) -> Vec<String> {
    let files: BTreeMap<Module, &String> =
        files.iter().map(|(path, text)| (resolved(&[], path), text)).collect();
    let uses = files.iter().map(|(file, text)| {
        let named = match file.last().and_then(|name| name.rsplit('.').next()) {
            Some("py") => python_imports(text),
            Some("c" | "h") => quoted_after(text, &["#include "]),
            _ => quoted_after(text, &["from ", "import ", "import("]),
        };
        let existing = |paths: Vec<String>| {
            paths
                .iter()
                .map(|path| resolved(&file[..file.len() - 1], path))
                .find(|path| files.contains_key(path))
        };
        (file.clone(), named.into_iter().filter_map(existing).filter(|used| used != file).collect())
    });
    let line = |circle: Vec<&Module>| circle.iter().map(|file| file.join("/")).collect::<Vec<_>>().join(" ");
    modules_in_circles(&uses.collect()).into_iter().map(line).collect()
}

/// Each path in quotes that follows one of the words; in JavaScript, one without a dot first is a package.
fn quoted_after(text: &str, words: &[&str]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, word) in words.iter().flat_map(|word| text.match_indices(word)) {
        let rest = &text[at + word.len()..];
        let quote = rest.chars().next().filter(|first| ['"', '\''].contains(first));
        let path = quote.and_then(|quote| rest[1..].split(quote).next());
        let path = path.filter(|path| path.starts_with('.') || word.starts_with('#'));
        found.extend(path.map(|path| vec![path.to_owned()]));
    }
    found
}

/// Of each name that is imported by a relative path, the files that it may stand for, the first that exists first.
fn python_imports(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("from .") {
        let rest = &text[at + "from ".len()..];
        let Some((module, names)) = rest.split_once(" import ") else { continue };
        let ups = module.len() - module.trim_start_matches('.').len();
        let folder = format!("./{}{}", "../".repeat(ups - 1), module[ups..].replace('.', "/"));
        let end = if names.starts_with('(') { ')' } else { '\n' };
        let names = names.split(end).next().unwrap_or("").trim_start_matches('(').split(',');
        for name in names.filter_map(|name| name.split_whitespace().next()) {
            let name = format!("{folder}/{name}");
            found.push(vec![
                format!("{name}.py"),
                format!("{name}/__init__.py"),
                format!("{folder}.py"),
                format!("{folder}/__init__.py"),
            ]);
        }
    }
    found
}

/// The path from the root that a relative path in a folder leads to.
fn resolved(folder: &[String], path: &str) -> Module {
    let mut parts = folder.to_vec();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part.to_owned()),
        }
    }
    parts
}
