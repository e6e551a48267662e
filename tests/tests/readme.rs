//! The commands of the README and of the book, as a reader types them, against a host with the examples; and what these
//! pages say in figures and snippets that the code decides.

use std::fs;
use std::path::Path;
use std::process::Command;

use streamtask_tests::book::{Reader, Step, commands, line_matches, matches};
use streamtask_tests::child::{self, binary};
use streamtask_tests::{ChildHost, TestHost, eventually, guests, optional, root};

/// Where the host of the pages listens.
const ADDRESS: &str = "127.0.0.1:8080";

/// The pages with `console` blocks. Each has a host of its own. The tutorial has a test of its own, too.
const PAGES: [&str; 8] = [
    "README.md",
    "docs/languages.md",
    "docs/recipes.md",
    "docs/reference/cli.md",
    "docs/reference/metrics.md",
    "docs/retention.md",
    "docs/start.md",
    "docs/troubleshooting.md",
];

/// The examples that these pages use.
const EXAMPLES: [&str; 4] = ["counter", "fails", "generator", "long-operation"];

fn text_of(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Does what a page says, with a host that has the examples.
fn follow(page: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    for name in EXAMPLES {
        guests::install(&tasks, &format!("demo/{name}.wasm"), &guests::example(name));
    }
    let host = ChildHost::start(&tasks, &data, &[]);
    let address = host.address.to_string();
    let mut reader = Reader::new(folder.path().to_owned(), vec![(ADDRESS.to_owned(), address.clone())]);
    let path = std::env::var("PATH").unwrap_or_default();
    reader.set("PATH", &format!("{}:{path}", binary().parent().expect("in a folder").display()));
    reader.set("STREAMTASK_HOST", &format!("http://{address}"));
    let steps = commands(&text_of(page));
    assert!(!steps.is_empty(), "{page} has no commands");
    for (line, step) in steps {
        if let Step::Command(command, expected) = step {
            reader.run(&format!("{page} line {line}"), &command, &expected);
        }
    }
}

#[test]
fn the_commands_of_the_pages_print_what_they_say() {
    if Command::new("curl").arg("--version").output().is_err() {
        return optional::skip("the commands of the book", "curl, as the package `curl` of most systems");
    }
    PAGES.iter().for_each(|page| follow(page));
}

/// The pages of the book that have a text in them.
fn pages_with(what: &str) -> Vec<String> {
    let mut pages = Vec::new();
    for folder in ["docs", "docs/reference"] {
        for entry in fs::read_dir(root().join(folder)).unwrap().flatten() {
            let page = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if page.ends_with(".md") && text_of(&page).contains(what) {
                pages.push(page);
            }
        }
    }
    pages.sort();
    pages
}

#[test]
fn no_page_has_commands_that_nobody_runs() {
    let mut run: Vec<&str> = PAGES.into_iter().filter(|page| page.starts_with("docs/")).collect();
    run.push("docs/tutorial.md");
    run.sort_unstable();
    assert_eq!(pages_with("```console\n"), run);
}

/// The blocks of a language in a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = text_of(page);
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_manifests_of_the_recipes_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = blocks("docs/recipes.md", "toml");
    assert!(manifests.len() > 1, "they are found");
    for (nth, manifest) in manifests.iter().enumerate() {
        let path = folder.path().join(format!("recipe-{nth}.toml"));
        fs::write(&path, manifest).unwrap();
        let checked = child::command().arg("check").arg(&path).output().unwrap();
        assert!(checked.status.success(), "{manifest}\n{}", String::from_utf8_lossy(&checked.stderr));
    }
}

/// Whether there is a Python that the SDK runs on.
fn has_python() -> bool {
    let asked =
        Command::new("python3").args(["-c", "import sys; sys.exit(sys.version_info < (3, 10))"]).status();
    asked.is_ok_and(|status| status.success())
}

#[test]
fn the_tasks_in_python_are_ones_that_the_sdk_takes() {
    if !has_python() {
        return optional::skip("the tasks in Python of the book", "Python 3.10 or newer");
    }
    let folder = tempfile::tempdir().unwrap();
    let sdk = root().join("guest-sdk/python").canonicalize().unwrap();
    for page in ["README.md", "docs/languages.md", "docs/recipes.md"] {
        let tasks = blocks(page, "python");
        assert!(!tasks.is_empty(), "{page} has no Python");
        for (nth, task) in tasks.iter().enumerate() {
            fs::write(folder.path().join("page.py"), task).unwrap();
            let imported = import(folder.path(), &sdk);
            assert!(imported.is_ok(), "{page}, task {nth}: {}", imported.unwrap_err());
        }
    }
}

/// Reads `page.py`, as the build of a task does.
fn import(folder: &Path, sdk: &Path) -> Result<(), String> {
    let mut python = Command::new("python3");
    python.args(["-B", "-c", "import page"]).current_dir(folder).env("PYTHONPATH", sdk);
    let output = python.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_is_one_that_the_host_takes() {
    let page = text_of("docs/reference/manifest.md");
    let section = page.split("\n## What one task may do\n").nth(1).unwrap();
    let manifest = section.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let host = TestHost::start().await;
    fs::write(host.tasks().join("test/probe.toml"), manifest).unwrap();
    eventually("the manifest", || async {
        let task = host.get("/api/tasks/test/probe").await.json();
        assert!(task["problem"].is_null(), "{task}");
        task["description"] == "Counts."
    })
    .await;
}

#[test]
fn the_matcher_tells_right_from_wrong() {
    assert!(line_matches("a…c", "abbbc") && line_matches("…", "") && line_matches("same", "same"));
    assert!(!line_matches("a…c", "abbb") && !line_matches("same", "same!") && !line_matches("…b…d", "abc"));
    let expected = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
    assert!(matches(&expected(&["a", "...", "z"]), &["a", "b", "c", "z"]));
    assert!(!matches(&expected(&["a", "...", "z"]), &["a", "b", "c"]));
    assert!(!matches(&expected(&["a"]), &["a", "b"]));
}

/// The help of `serve`, without white space, from a flag to the next one.
fn help_of(help: &str, flag: &str) -> String {
    let text = help.split(&format!("{flag} <")).nth(1).or_else(|| help.split(&format!("{flag} ")).nth(1));
    let text = text.unwrap_or_else(|| panic!("serve has no {flag}"));
    text.split("\n  -").next().unwrap_or_default().split_whitespace().collect()
}

/// What the book says in figures and names that the code decides.
#[test]
fn the_tables_agree_with_the_code() {
    let help = Command::new(binary()).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let page = text_of("docs/operate.md");
    let table: Vec<&str> = page.lines().filter(|line| line.starts_with("| `--")).collect();
    assert!(table.len() >= 5);
    for row in table {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let defaults = cells[2].trim_matches('`').split(", ");
        for (flag, default) in cells[1].split(", ").zip(defaults) {
            let flag = flag.trim_matches('`');
            let text = help_of(&help, flag);
            if default != "none" {
                assert!(text.contains(&format!("[default:{default}]")), "{flag}: {default} is not in {text}");
            }
        }
    }
}

#[test]
fn the_page_of_the_command_line_has_every_command() {
    let help = Command::new(binary()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, commands) = help.split_once("Commands:\n").expect("a list of commands");
    let page = text_of("docs/reference/cli.md");
    let names = commands.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|&name| name != "help") {
        let named =
            page.contains(&format!("`streamtask {name} ")) || page.contains(&format!("`streamtask {name}`"));
        assert!(named, "{name} is not on the page");
    }
}
