//! docs/problems.md has every problem type that the code answers with, under its status, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use streamtask_tests::root;

/// A problem type and the name of its status, as `StatusCode` spells it.
type Pair = (String, String);

/// What makes a problem, and its status, if that is not its first argument.
const MAKERS: [(&str, Option<&str>); 4] = [
    ("::new(", None),
    ("::bad_request(", Some("BAD_REQUEST")),
    ("::not_found(", Some("NOT_FOUND")),
    ("::unavailable(", Some("SERVICE_UNAVAILABLE")),
];

fn sources(folder: &Path, all: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            all.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The arguments of each call of `maker` in the source of problems, or of `Problem` elsewhere.
fn calls<'a>(file: &str, source: &'a str, maker: &str) -> Vec<&'a str> {
    let types: &[&str] = if file == "problem.rs" { &["Problem", "Self"] } else { &["Problem"] };
    let is_of_type = |at: usize| {
        types.iter().any(|name| {
            source[..at]
                .strip_suffix(name)
                .is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == ':'))
        })
    };
    let found = source.match_indices(maker).filter(|(at, _)| is_of_type(*at));
    found.map(|(at, _)| source[at + maker.len()..].trim_start()).collect()
}

fn in_code() -> BTreeSet<Pair> {
    let mut all = Vec::new();
    sources(&root().join("host/src/http"), &mut all);
    let mut pairs = BTreeSet::new();
    for (file, source) in &all {
        for (maker, status) in MAKERS {
            for arguments in calls(file, source, maker) {
                let (status, rest) = match (status, arguments.strip_prefix("StatusCode::")) {
                    (Some(status), _) => (status, arguments),
                    (None, Some(arguments)) => arguments.split_once(',').unwrap(),
                    // The helpers pass on what they are called with.
                    (None, None) => panic!("{file}: a status that is not written out: {:.60}", arguments),
                };
                match rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                    Some((kind, _)) => drop(pairs.insert((kind.to_owned(), status.to_owned()))),
                    None => assert!(
                        file == "problem.rs" && rest.trim_start().starts_with("kind"),
                        "{file}: a type that is not written out: {:.60}",
                        arguments
                    ),
                }
            }
        }
    }
    pairs
}

fn on_the_page() -> BTreeSet<Pair> {
    let page = fs::read_to_string(root().join("docs/problems.md")).unwrap();
    let (mut pairs, mut status) = (BTreeSet::new(), String::new());
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            let reason = heading.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            status = reason.to_uppercase().replace(' ', "_");
        }
        if let Some(row) = line.strip_prefix("| `urn:streamtask:problem:") {
            pairs.insert((row.split_once('`').unwrap().0.to_owned(), status.clone()));
        }
    }
    pairs
}

#[test]
fn the_page_has_every_problem_type_under_its_status() {
    let (code, page) = (in_code(), on_the_page());
    assert!(code.len() > 40, "the search finds them: {code:?}");
    assert_eq!(code.difference(&page).collect::<Vec<_>>(), [] as [&Pair; 0], "not on the page");
    assert_eq!(page.difference(&code).collect::<Vec<_>>(), [] as [&Pair; 0], "not in the code");
}
