//! Commands about one run and its files, and uploads of tasks.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use streamtask_tests::{ChildHost, Said, Terminal, guests, terminal};
use tempfile::TempDir;

struct Fixture {
    host: ChildHost,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
        guests::install(&tasks, "test/probe.wasm", &guests::probe());
        guests::install(&tasks, "ticker.wasm", &guests::ticker("top"));
        Self { host: ChildHost::start(&tasks, &data, &["--durability", "normal", "--uploads"]), folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.client(arguments);
        command.current_dir(self.folder.path());
        command
    }

    fn say(&self, arguments: &[&str]) -> Said {
        Said::of(&mut self.command(arguments))
    }
}

#[test]
fn show_tells_everything_about_a_run() {
    let fixture = Fixture::new();
    fixture.say(&["start", "test/probe", "-i", r#"{"do":"fail"}"#, "--id", "bad", "--label", "team:blue"]);
    let said = fixture.say(&["show", "bad"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    for told in [
        "run        bad\n",
        "task       test/probe (version ",
        "status     failed\n",
        "attempt    1\n",
        "labels     team:blue\n",
        "input      {\"do\":\"fail\"}\n",
        "error      failure: as asked\n",
        "), took ",
        " run.started ",
        " run.failed ",
    ] {
        assert!(said.out.contains(told), "{told:?}: {}", said.out);
    }
    let shown: Value = serde_json::from_str(&fixture.say(&["show", "bad", "--json", "-n", "1"]).out).unwrap();
    assert_eq!((&shown["id"], &shown["status"]), (&json!("bad"), &json!("failed")));
    assert_eq!(shown["events"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(shown["events"][0]["type"], "run.failed");
    fixture.say(&["show", "nobody"]).refused(3, "there is no run \"nobody\"");
    // A run in progress is shown as it is now.
    fixture.say(&["start", "test/probe", "-i", r#"{"do":"until-cancelled"}"#, "--id", "long", "--detach"]);
    let shown = fixture.say(&["show", "long"]);
    assert!(shown.code == 0 && !shown.out.contains("finished"), "{shown:?}");
}

#[test]
fn files_of_a_run_are_listed_and_downloaded() {
    let fixture = Fixture::new();
    fixture.say(&["start", "ticker", "-i", "0", "--id", "one", "-q"]);
    let said = fixture.say(&["files", "one"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{said:?}");
    // As an attempt would have written them.
    let kept = fixture.folder.path().join("data/files/one");
    fs::create_dir_all(kept.join("a")).unwrap();
    fs::write(kept.join("a/report 1.csv"), "x,y\n").unwrap();
    let said = fixture.say(&["files", "one"]);
    let cells: Vec<&str> = said.out.trim_end().split('\t').collect();
    assert_eq!(
        (cells[0], cells[1], cells[3]),
        ("a/report 1.csv", "4", "text/csv; charset=utf-8"),
        "{said:?}"
    );
    let said = fixture.say(&["files", "one", "a/report 1.csv"]);
    assert_eq!((said.code, said.out.as_str()), (0, "report 1.csv\n"), "{said:?}");
    let target = fixture.folder.path().join("report 1.csv");
    assert_eq!(fs::read(&target).unwrap(), b"x,y\n");
    fixture.say(&["files", "one", "a/report 1.csv"]).refused(2, "--force replaces it");
    assert_eq!(fixture.say(&["files", "one", "a/report 1.csv", "--force"]).code, 0);
    assert_eq!(fixture.say(&["files", "one", "a/report 1.csv", "-o", "-"]).out, "x,y\n");
    let said = fixture.say(&["files", "one", "a/report 1.csv", "-o", "/dev/null"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "a device is written to: {said:?}");
    fixture.say(&["files", "one", "a/report 1.csv", "-o", "data", "-f"]).refused(2, "data is a folder");
    fixture.say(&["files", "one", "nothing", "-o", "other"]).refused(3, "has no file");
    assert!(!fixture.folder.path().join("other").exists());
    let left: Vec<String> = fs::read_dir(fixture.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn put_uploads_tasks_that_serve_at_once() {
    let fixture = Fixture::new();
    fs::write(fixture.folder.path().join("mine.wasm"), guests::ticker("mine")).unwrap();
    let said = fixture.say(&["put", "mine.wasm", "--app", "new"]);
    assert!(said.code == 0 && said.out.starts_with("new/mine serves version "), "{said:?}");
    assert_eq!(fixture.say(&["start", "new/mine", "-i", "0", "-q"]).out, "\"mine\"\n");
    let said = fixture.say(&["put", "mine.wasm", "--name", "other", "--json"]);
    let task: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&task["app"], &task["task"]), (&json!("default"), &json!("other")), "{said:?}");
    fs::write(fixture.folder.path().join("mine.toml"), "description = 'not for clients'\n").unwrap();
    for (arguments, place) in
        [(&["put", "mine.wasm"][..], "mine.toml"), (&["put", "mine.wasm", "--app", "new"], "new/mine.toml")]
    {
        let said = fixture.say(arguments);
        let told = format!(
            "mine.toml was not uploaded: it grants access, so the host's operator puts it into the tasks folder, as {place}\n"
        );
        assert_eq!((said.code, &said.err), (0, &told), "{said:?}");
    }
    fs::write(fixture.folder.path().join("bad.wasm"), "no").unwrap();
    fixture.say(&["put", "bad.wasm"]).refused(3, "bad.wasm: this is not a WebAssembly file");
    fixture.say(&["put", "mine.toml"]).refused(2, "its name must end with .wasm");
    fixture.say(&["put", "missing.wasm"]).refused(2, "can't read missing.wasm");
}

#[test]
fn open_prints_the_url_and_starts_the_browser() {
    let fixture = Fixture::new();
    let url = format!("http://{}/", fixture.host.address);
    assert_eq!(fixture.say(&["open", "--print"]).out, format!("{url}\n"));
    fixture.say(&["start", "ticker", "-i", "0", "--id", "one", "-q"]);
    let said = Said::of(fixture.command(&["open", "one"]).env("BROWSER", "true"));
    assert_eq!((said.code, said.out), (0, format!("{url}#/runs/one\n")));
    fixture.say(&["open", "nobody"]).refused(3, "there is no run");
    let said = Said::of(fixture.command(&["open"]).env("BROWSER", "/nonexistent/browser"));
    assert!(said.code == 2 && said.err.contains("set BROWSER"), "{said:?}");
}

/// What a command shows in a terminal of 60 columns where `typed` is typed.
fn in_terminal(fixture: &Fixture, arguments: &[&str], typed: &str) -> String {
    let command = fixture.command(arguments);
    let mut terminal = Terminal::open(&format!("stty cols 60; {}", terminal::line(&command)), &command);
    terminal.types(typed);
    terminal.rest()
}

#[test]
fn a_terminal_shows_a_fitted_table_and_is_asked_before_runs_are_removed() {
    if !Terminal::is_there("a_terminal_shows_a_fitted_table_and_is_asked_before_runs_are_removed") {
        return;
    }
    let fixture = Fixture::new();
    fixture.say(&["start", "test/probe", "-i", r#"{"do":"fail"}"#, "--id", "bad"]);
    let shown = in_terminal(&fixture, &["runs"], "");
    assert!(shown.contains("RUN") && shown.contains("STATUS"), "{shown:?}");
    assert!(shown.contains("\x1b[31mfailed"), "{shown:?}");
    let shown = in_terminal(&fixture, &["prune", "--keep", "0"], "n\n");
    assert!(shown.contains("remove 1 runs,") && shown.contains("nothing was removed"), "{shown:?}");
    let shown = in_terminal(&fixture, &["prune", "--keep", "0"], "y\n");
    assert!(shown.contains("removed 1 runs,"), "{shown:?}");
    assert_eq!(fixture.say(&["runs"]).out, "");
}
