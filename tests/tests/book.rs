//! The book (`docs/`) and the pages around it: every page is in the table of contents, every link leads somewhere. It uses
//! only the standard library, so that it runs in a second:
//! `CARGO_MANIFEST_DIR=$PWD/tests rustc --edition 2024 --test -o target/book tests/tests/book.rs && target/book`.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Markdown files below a folder, as paths from the repository.
fn pages_below(folder: &str, pages: &mut BTreeSet<String>) {
    for entry in fs::read_dir(root().join(folder)).expect("a folder").flatten() {
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let path = format!("{folder}/{name}");
        if entry.path().is_dir() && !["node_modules", "target", ".venv"].contains(&name.as_str()) {
            pages_below(&path, pages);
        } else if name.ends_with(".md") {
            pages.insert(path);
        }
    }
}

/// All pages whose links are checked.
fn pages() -> BTreeSet<String> {
    let top = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "web/client/README.md",
    ];
    let mut pages: BTreeSet<String> = top.iter().map(|&page| page.to_owned()).collect();
    for folder in ["docs", "guest-sdk", "example-tasks", "clients", "tests/conformance"] {
        pages_below(folder, &mut pages);
    }
    pages
}

/// The lines outside of code blocks.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<String> = None;
    page.lines().enumerate().filter(move |(_, line)| {
        let trimmed = line.trim_start();
        let ticks: String = trimmed.chars().take_while(|&c| c == '`').collect();
        match &fence {
            Some(open)
                if trimmed.starts_with(open.as_str()) && trimmed.trim_end().chars().all(|c| c == '`') =>
            {
                fence = None;
                false
            }
            Some(_) => false,
            None if ticks.len() >= 3 => {
                fence = Some(ticks);
                false
            }
            None => true,
        }
    })
}

/// A line without what is between backticks.
fn without_code(line: &str) -> String {
    let mut text = String::new();
    for (nth, part) in line.split('`').enumerate() {
        text.push_str(if nth % 2 == 0 { part } else { "" });
    }
    text
}

/// The targets of the links in a page, with their lines.
fn links(page: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (nth, line) in prose(page) {
        let line = without_code(line);
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split([')', ' ']).next().unwrap_or_default();
            links.push((nth + 1, target.to_owned()));
        }
    }
    links
}

/// The anchors of a page, as forges make them of its headings: lower case, without punctuation, with hyphens for spaces, and
/// with a number from the second of the same on.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(page) {
        let text = line.trim_start_matches('#');
        let level = line.len() - text.len();
        if !(1..=6).contains(&level) || !text.starts_with(' ') {
            continue;
        }
        let slug = slug(text);
        let nth = seen.entry(slug.clone()).or_default();
        anchors.insert(if *nth == 0 { slug } else { format!("{slug}-{nth}") });
        *nth += 1;
    }
    anchors
}

fn slug(heading: &str) -> String {
    // Of a link only its text remains.
    let mut text = String::new();
    let mut rest = heading.trim();
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let kept = text.chars().filter(|&c| c.is_alphanumeric() || c == ' ' || c == '-' || c == '_');
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// What is wrong with a link; nothing if it leads somewhere, or out of the repository.
fn fault(page: &str, text: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let folder = Path::new(page).parent().expect("a folder");
    let (file, text) = if path.is_empty() {
        (PathBuf::from(page), text.to_owned())
    } else {
        let file = normal(&folder.join(path));
        let full = root().join(&file);
        if !full.exists() {
            return Some("there is no such file".to_owned());
        }
        // A forge shows this for a folder.
        let full = if full.is_dir() { full.join("README.md") } else { full };
        (file, fs::read_to_string(full).unwrap_or_default())
    };
    let anchor = anchor?;
    (!anchors(&text).contains(anchor)).then(|| format!("{} has no heading for #{anchor}", file.display()))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut faults = Vec::new();
    let mut checked = 0;
    for page in pages() {
        let text = read(&page);
        for (line, target) in links(&text) {
            checked += 1;
            if let Some(fault) = fault(&page, &text, &target) {
                faults.push(format!("{page}:{line}: {target}: {fault}"));
            }
        }
    }
    assert!(checked > 200, "the links are found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_picture_is_shown_and_described() {
    let mut pictures: BTreeSet<PathBuf> = fs::read_dir(root().join("docs/pictures"))
        .expect("a folder")
        .map(|entry| Path::new("docs/pictures").join(entry.expect("an entry").file_name()))
        .collect();
    assert!(pictures.len() > 3, "the pictures are found");
    for page in pages() {
        let text = read(&page);
        for (_, line) in prose(&text) {
            for (_, picture) in line.match_indices("![").map(|(at, _)| line.split_at(at + 2)) {
                let (description, target) = picture.split_once("](").expect("a picture");
                assert!(description.len() > 20, "{page}: who can't see it reads only {description:?}");
                let target = target.split(')').next().unwrap_or_default();
                pictures.remove(&normal(&Path::new(&page).parent().expect("a folder").join(target)));
            }
        }
    }
    assert!(pictures.is_empty(), "no page shows {pictures:?}");
}

#[test]
fn the_table_of_contents_has_every_page_once() {
    let summary = read("docs/SUMMARY.md");
    let mut listed: Vec<String> =
        links(&summary).into_iter().map(|(_, target)| format!("docs/{target}")).collect();
    listed.sort();
    let mut pages = BTreeSet::new();
    pages_below("docs", &mut pages);
    pages.remove("docs/SUMMARY.md");
    assert_eq!(listed, pages.into_iter().collect::<Vec<_>>(), "left: SUMMARY.md, right: docs/");
}

#[test]
fn every_page_begins_with_its_only_title() {
    let mut pages = BTreeSet::new();
    pages_below("docs", &mut pages);
    for page in pages {
        let text = read(&page);
        let titles = prose(&text).filter(|(_, line)| line.starts_with("# ")).count();
        let is_summary = page.ends_with("SUMMARY.md");
        assert!(text.starts_with("# ") && (titles == 1 || is_summary), "{page} has {titles} titles");
    }
}

#[test]
fn a_word_of_the_glossary_means_the_same_in_the_architecture() {
    let words = |page: &str| -> Vec<String> {
        read(page).lines().filter(|line| line.starts_with("| **")).map(str::to_owned).collect()
    };
    let (glossary, architecture) = (words("docs/glossary.md"), words("ARCHITECTURE.md"));
    let name = |row: &str| row.split("**").nth(1).unwrap_or_default().to_owned();
    let shared = |row: &&String| architecture.iter().any(|other| name(other) == name(row));
    let shared: Vec<&String> = glossary.iter().filter(shared).collect();
    assert!(shared.len() > 10, "both tables are found");
    for row in shared {
        assert!(architecture.contains(row), "ARCHITECTURE.md has another meaning: {row}");
    }
}

#[test]
fn the_page_of_http_has_every_route() {
    let page = read("docs/reference/http.md");
    let source = read("host/src/http/resource.rs");
    let routes: Vec<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(\"/")?.split_once("\", Resource::"))
        .map(|(path, _)| path)
        .collect();
    assert!(routes.len() > 20, "the routes are found");
    for route in routes {
        // The page may leave out what a line of it has in common with the one before.
        let route = route.replace("{*path}", "{path}");
        let short = route.rsplit_once("{run}").map_or("", |(_, rest)| rest);
        let is_there = page.contains(&format!("/{route}`")) || page.contains(&format!("/{route}?"));
        assert!(
            is_there || (!short.is_empty() && page.contains(&format!("…{short}`"))),
            "/{route} is missing"
        );
    }
}

#[test]
fn the_page_of_the_manifest_has_every_key() {
    let page = read("docs/reference/manifest.md");
    let (_, keys) = page.split_once("## Every key").expect("a section");
    let schema = read("host/schemas/manifest.schema.json");
    // A property is a name whose value is an object, within an object that is the value of `properties`.
    let (mut path, mut found): (Vec<String>, usize) = (Vec::new(), 0);
    for line in schema.lines() {
        let line = line.trim();
        let name =
            line.strip_prefix('"').and_then(|rest| rest.split_once("\": {")).map(|(name, _)| name.to_owned());
        if let Some(name) = name {
            if path.last().is_some_and(|last| last == "properties")
                && !["env", "file"].contains(&name.as_str())
            {
                let named = keys.contains(&format!("| `{name}` |")) || keys.contains(&format!("[{name}]"));
                assert!(named, "the key {name} is missing");
                found += 1;
            }
            if !line.ends_with('}') && !line.ends_with("},") {
                path.push(name);
            }
        } else if line == "{" {
            path.push(String::new());
        } else if line.starts_with('}') {
            path.pop();
        }
    }
    assert!(found > 50, "the keys are found: {found}");
}

#[test]
fn the_page_of_metrics_has_every_metric() {
    let page = read("docs/reference/metrics.md");
    let source = read("host/src/http/metrics.rs");
    let (_, text) = source.split_once("fn registry(").expect("the function that lists them");
    let mut names = 0;
    // The library appends `_total` to the name of a counter. What has labels is registered in one way, whatever it is.
    let (gauge, counter) = ("", "_total");
    for (call, ends) in
        [("gauge(", &[gauge][..]), ("registry.register(", &[gauge, counter]), ("counter(", &[counter])]
    {
        for (at, _) in text.match_indices(call) {
            let argument = text[at + call.len()..].trim_start();
            let Some(name) = argument.strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                continue;
            };
            let has = |end: &&str| page.contains(&format!("| `streamtask_{name}{end}` |"));
            assert!(ends.iter().any(has), "{name} with one of {ends:?} is missing");
            names += 1;
        }
    }
    assert!(names >= 7, "the metrics are found");
}

#[test]
fn the_page_of_the_command_line_has_every_exit_code() {
    let page = read("docs/reference/cli.md");
    let source = read("host/src/cli/exit.rs");
    let (_, codes) = source.split_once("fn code(&self)").expect("the function that lists them");
    let (codes, _) = codes.split_once("fn message").expect("the next function");
    let codes: Vec<&str> = codes
        .lines()
        .filter_map(|line| line.split_once("=> ")?.1.strip_suffix(','))
        .filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    assert!(codes.len() >= 8, "the codes are found");
    for code in codes {
        assert!(page.contains(&format!("\n| {code} |")), "exit code {code} is missing");
    }
}

#[test]
fn the_page_of_events_has_every_event_of_the_host() {
    let page = read("docs/events.md");
    let source = read("host/src/model/lifecycle.rs");
    let names = source.split("of_host(").skip(1).filter_map(|call| call.split('"').nth(1));
    let names: BTreeSet<&str> = names.chain(["completed", "failed", "cancelled", "stream-closing"]).collect();
    assert!(names.len() > 10, "the events are found: {names:?}");
    for name in names {
        assert!(page.contains(&format!("`run.{name}`")), "run.{name} is missing");
    }
}

#[test]
fn slugs_are_those_of_forges() {
    assert_eq!(slug(" What is kept, and for how long"), "what-is-kept-and-for-how-long");
    assert_eq!(slug(" `[limits]`, `[command]`"), "limits-command");
    assert_eq!(slug(" See [the page](a.md)"), "see-the-page");
    let page = "# A\n## B\n```sh\n# no heading\n```\n## B\n[x](#b-1) `[y](#none)`\n";
    assert_eq!(anchors(page).into_iter().collect::<Vec<_>>(), ["a", "b", "b-1"]);
    assert_eq!(links(page), [(7, "#b-1".to_owned())]);
}
