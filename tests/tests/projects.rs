//! `streamtask new`, `build` and `dev`: from nothing to a task that runs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use streamtask_tests::{Said, Terminal, child, fetched_tools, optional, root, terminal};
use tempfile::TempDir;

/// A folder for projects, and places of its own for what commands keep.
struct Fixture(TempDir);

impl Fixture {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = child::command();
        command.args(arguments).current_dir(folder).env("XDG_CACHE_HOME", self.path("cache"));
        // The examples need the same libraries, so they are compiled already.
        command.env("CARGO_TARGET_DIR", root().canonicalize().unwrap().join("example-tasks/target"));
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
    }

    fn say(&self, folder: &Path, arguments: &[&str]) -> Said {
        Said::of(&mut self.command(folder, arguments))
    }
}

#[test]
fn a_project_is_not_made_where_something_is_nor_under_a_name_that_is_none() {
    let fixture = Fixture::new();
    let here = fixture.0.path();
    fixture
        .say(here, &["new", "a b", "--lang", "rust"])
        .refused(2, "1 to 64 of the characters A-Z a-z 0-9 _ -");
    fixture.say(here, &["new", "2nd", "--lang", "rust"]).refused(2, "must start with a letter");
    fs::create_dir(fixture.path("taken")).unwrap();
    fs::write(fixture.path("taken/mine"), "mine").unwrap();
    fixture.say(here, &["new", "taken", "--lang", "rust"]).refused(2, "taken is not empty");
    fixture.say(here, &["new", "x", "--lang", "rust", "--dir", "taken"]).refused(2, "taken is not empty");
    fixture.say(here, &["build", "taken"]).refused(2, "is not a project: it has none of Cargo.toml, ");
    assert_eq!(fs::read_dir(fixture.path("taken")).unwrap().count(), 1);
}

#[test]
fn the_folder_to_enter_is_quoted_and_dev_takes_no_input_from_stdin() {
    let fixture = Fixture::new();
    let said = fixture.say(fixture.0.path(), &["new", "greet", "--lang", "c", "--dir", "my task"]);
    assert!(said.code == 0 && said.out.contains("\n  cd 'my task'\n"), "{said:?}");
    fixture.say(&fixture.path("my task"), &["dev", "--input", "-"]).refused(2, "use --input @FILE");
}

#[test]
fn a_missing_tool_is_named_with_how_to_get_it() {
    let fixture = Fixture::new();
    let said = fixture.say(fixture.0.path(), &["new", "greet", "--lang", "rust"]);
    assert_eq!(said.code, 0, "{said:?}");
    let mut build = fixture.command(&fixture.path("greet"), &["build"]);
    Said::of(build.env("PATH", "/nonexistent"))
        .refused(2, "cargo is missing: install Rust from https://rustup.rs");
}

/// Whether the language's tools are there and this program has its SDK; a note if not.
fn made(fixture: &Fixture, language: &str) -> bool {
    let said = fixture.say(fixture.0.path(), &["new", "greet", "--lang", language]);
    if said.code == 2 && said.err.contains("without the SDK") {
        optional::skip(&format!("a project in {language}"), "its SDK in guest-sdk");
        return false;
    }
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("\n  cd greet\n") && said.out.contains("\n  streamtask dev\n"), "{said:?}");
    true
}

fn builds_and_runs(language: &str) {
    let fixture = Fixture::new();
    if !made(&fixture, language) {
        return;
    }
    let project = fixture.path("greet");
    if ["javascript", "typescript"].contains(&language) {
        // What `npm install` would fetch is here.
        let packages = root().canonicalize().unwrap().join("node_modules");
        std::os::unix::fs::symlink(packages, project.join("node_modules")).unwrap();
    }
    let mut build = fixture.command(&project, &["build"]);
    let mut paths = fetched_tools();
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let built = Said::of(build.env("PATH", std::env::join_paths(paths).unwrap()));
    if built.code == 2 {
        return optional::skip(&format!("a project in {language}"), built.err.trim());
    }
    assert!(built.code == 0 && built.out.contains("greet.wasm has "), "{built:?}");
    let said = fixture.say(&project, &["run", "greet.wasm", "-q", "-i", "@tests/dev-input.json"]);
    assert_eq!((said.code, said.out.as_str()), (0, "{\"greeted\":2}\n"), "{said:?}");
}

macro_rules! projects {
    ($($name:ident $language:literal)*) => {$(
        #[test]
        fn $name() {
            builds_and_runs($language);
        }
    )*};
}

projects! {
    a_project_in_rust_builds_and_runs "rust"
    a_project_in_python_builds_and_runs "python"
    a_project_in_javascript_builds_and_runs "javascript"
    a_project_in_typescript_builds_and_runs "typescript"
    a_project_in_go_builds_and_runs "go"
    a_project_in_c_builds_and_runs "c"
    a_project_in_cpp_builds_and_runs "cpp"
}

#[test]
fn dev_runs_the_new_version_after_an_edit_and_stays_with_the_last_good_one() {
    let fixture = Fixture::new();
    if !made(&fixture, "rust") {
        return;
    }
    let project = fixture.path("greet");
    let mut command = fixture.command(&project, &["dev"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut dev = command.spawn().unwrap();
    let mut results = BufReader::new(dev.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = BufReader::new(dev.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut until = |what: &str| {
        let mut said = Vec::new();
        for line in lines.by_ref() {
            if line.contains(what) {
                return;
            }
            said.push(line);
        }
        panic!("it ended without {what:?}: {said:?}");
    };
    until("press Ctrl-C to stop");
    until("Hello, Alan!");
    assert_eq!(results.next().as_deref(), Some("{\"greeted\":2}"));
    let source = project.join("src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, text.replace("Hello", "Good evening").replace("200", "600000")).unwrap();
    until("Good evening, Ada!");
    fs::write(&source, "no Rust").unwrap();
    until("the last good version stays");
    fs::write(&source, text.replace("Hello", "Good night")).unwrap();
    until("the run was cancelled");
    until("Good night, Alan!");
    assert_eq!(results.next().as_deref(), Some("{\"greeted\":2}"));
    assert!(Command::new("kill").args(["-INT", &dev.id().to_string()]).status().unwrap().success());
    assert_eq!(dev.wait().unwrap().code(), Some(0));
}

#[test]
fn a_key_ends_dev_and_leaves_the_terminal_as_it_was() {
    if !Terminal::is_there("a_key_ends_dev_and_leaves_the_terminal_as_it_was") {
        return;
    }
    let fixture = Fixture::new();
    if !made(&fixture, "rust") {
        return;
    }
    let dev = fixture.command(&fixture.path("greet"), &["dev"]);
    let mut terminal = Terminal::open(&format!("{}; echo with $?; stty -a", terminal::line(&dev)), &dev);
    let shown = terminal.until("press r to run it again");
    assert!(shown.contains(" is on http://127.0.0.1:"), "{shown}");
    // Also during the build.
    terminal.types("q");
    let after = terminal.rest();
    assert!(after.contains("with 0"), "{after}");
    for mode in ["icanon", "echo", "echoctl"] {
        assert!(after.contains(mode) && !after.contains(&format!("-{mode} ")), "{mode}: {after}");
    }
}
