//! `streamtask run`: a task's file in the terminal, without a server.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamtask_tests::{PATIENCE, Said, Terminal, child, guests, limits, terminal};
use tempfile::TempDir;

/// A folder with the probe and the counter, and places of its own for what a command keeps.
struct Fixture(TempDir);

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        guests::install(folder.path(), "probe.wasm", &guests::probe());
        guests::install(folder.path(), "counter.wasm", &guests::example("counter"));
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = child::command();
        command.arg("run").args(arguments).current_dir(self.0.path());
        command.env("TMPDIR", self.path("tmp")).env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    fn say(&self, arguments: &[&str]) -> Said {
        let said = Said::of(&mut self.command(arguments));
        assert_eq!(names(&self.path("tmp")), Vec::<String>::new(), "nothing is left behind: {said:?}");
        said
    }

    /// Starts a run, and returns when it has said that it is under way.
    fn begin(&self, arguments: &[&str]) -> (Child, BufReader<ChildStderr>) {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap());
        until(&mut lines, " run.started ");
        (process, lines)
    }
}

fn until(lines: &mut impl BufRead, what: &str) {
    let mut line = String::new();
    while !line.contains(what) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended without {what:?}");
    }
}

fn interrupt(process: &Child) {
    signal(process, "INT");
}

fn signal(process: &Child, name: &str) {
    let name = format!("-{name}");
    assert!(Command::new("kill").args([&name, &process.id().to_string()]).status().unwrap().success());
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

fn events(said: &Said) -> Vec<Value> {
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_result_goes_to_stdout_and_the_rest_to_stderr() {
    let fixture = Fixture::new();
    let said = fixture.say(&["counter.wasm", "--input", r#"{"steps":2,"delay_ms":1}"#]);
    assert_eq!((said.code, said.out.as_str()), (0, "{\"steps\":2}\n"), "{said:?}");
    let types: Vec<&str> = said.err.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(types, ["run.started", "start", "progress", "progress", "complete"]);

    let said = fixture.say(&["counter.wasm", "-q", "-i", r#"{"steps":1,"delay_ms":0}"#]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "{\"steps\":1}\n", ""));
}

#[test]
fn files_that_a_run_leaves_are_not_removed_without_a_word() {
    let fixture = Fixture::new();
    guests::install(fixture.0.path(), "reach.wasm", &guests::reach());
    fs::write(fixture.path("reach.toml"), "[grants]\noutput-files = true\n").unwrap();
    let input = r#"{"do":"files","steps":[{"op":"write","path":"/output/a.txt","text":"x"}]}"#;
    let said = fixture.say(&["reach.wasm", "-i", input]);
    let told = "output files removed: 1; `--keep DIR` keeps them";
    assert!(said.code == 0 && said.err.lines().any(|line| line == told), "{said:?}");
    let said = fixture.say(&["reach.wasm", "-i", input, "--keep", "kept"]);
    assert!(said.code == 0 && !said.err.contains("output files removed"), "{said:?}");
}

#[test]
fn with_events_stdout_has_what_a_stream_would_have() {
    let fixture = Fixture::new();
    let said = fixture.say(&["probe.wasm", "-i", r#"{"do":"echo"}"#, "--events", "--label", "team:blue"]);
    let events = events(&said);
    assert_eq!((said.code, said.err.as_str(), events.len()), (0, "", 2), "{said:?}");
    assert_eq!((&events[1]["seq"], &events[1]["type"]), (&json!(2), &json!("run.completed")));
    assert_eq!((&events[0]["_app"], &events[0]["_model"]), (&json!("default"), &json!("probe")));
    assert_eq!(events[1]["data"]["final_value"], json!({ "do": "echo" }));
}

#[test]
fn parameters_are_there_when_the_run_begins() {
    let fixture = Fixture::new();
    let input = r#"{"do":"until-parameter","name":"speed"}"#;
    let said = fixture.say(&["probe.wasm", "--events", "-i", input, "--param", r#"speed={"x":2}"#]);
    let events = events(&said);
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["run.queued", "run.parameter", "run.started", "run.completed"], "{said:?}");
    assert_eq!(events[3]["data"]["final_value"], json!({ "x": 2 }));
}

#[test]
fn the_exit_code_is_how_the_run_ended() {
    let fixture = Fixture::new();
    let said = fixture.say(&["probe.wasm", "-q", "-i", r#"{"do":"fail"}"#]);
    said.refused(1, "the run failed (failure): as asked");
    let said = fixture.say(&["probe.wasm", "-i", r#"{"do":"panic"}"#]);
    assert!(said.code == 1 && said.err.contains("streamtask: the run failed (trap): "), "{said:?}");
}

#[test]
fn the_manifest_beside_the_file_counts() {
    let fixture = Fixture::new();
    fs::write(fixture.path("probe.toml"), "[limits]\ndeadline = \"50ms\"\n").unwrap();
    let said = fixture.say(&["probe.wasm", "-q", "-i", r#"{"do":"sleep","ms":600000}"#]);
    said.refused(1, "the run failed (deadline-exceeded)");
    fs::write(fixture.path("probe.toml"), "[limits]\ndeadline = 7\n").unwrap();
    fixture.say(&["probe.wasm"]).refused(2, "probe.toml line 2, column 12: ");
    fs::remove_file(fixture.path("probe.toml")).unwrap();
    fs::write(fixture.path("streamtask.toml"), "deadline = \"50ms\"\n").unwrap();
    let said = fixture.say(&["probe.wasm", "-q", "-i", r#"{"do":"sleep","ms":600000}"#]);
    said.refused(1, "the run failed (deadline-exceeded)");
}

#[test]
fn what_can_not_be_run_is_told_in_one_line() {
    let fixture = Fixture::new();
    for name in ["broken.wasm", "text.txt", "a b.wasm"] {
        fs::write(fixture.path(name), "no").unwrap();
    }
    fixture.say(&["nothing.wasm"]).refused(2, "can't run nothing.wasm: ");
    fixture.say(&["broken.wasm"]).refused(2, "can't run broken.wasm: ");
    fixture.say(&["text.txt"]).refused(2, "does not end with .wasm");
    fixture.say(&["."]).refused(2, "can't run .: it is not a file");
    fixture.say(&["a b.wasm"]).refused(2, "a name is 1 to 64 of the characters");
    fixture.say(&["counter.wasm", "-i", "{"]).refused(2, "--input is not valid JSON: ");
    fixture.say(&["counter.wasm", "-i", r#"{"steps":"x"}"#]).refused(2, "does not match the task's schema");
    fixture.say(&["counter.wasm", "-i", "@nothing.json"]).refused(2, "nothing.json");
    fixture.say(&["counter.wasm", "--label", "blue"]).refused(2, "\"blue\" is not key:value");
    fixture.say(&["counter.wasm", "--param", "x"]).refused(2, "\"x\" is not name=value");
    fixture.say(&["counter.wasm", "--param", "x=y"]).refused(2, "the parameter x is not valid JSON");
    fs::write(fixture.path("taken"), "").unwrap();
    fixture.say(&["counter.wasm", "--keep", "taken"]).refused(6, "can't use the data folder taken: ");
}

#[test]
fn an_interrupt_cancels_and_a_second_one_ends_by_force() {
    let fixture = Fixture::new();
    let (process, mut rest) = fixture.begin(&["probe.wasm", "-i", r#"{"do":"until-cancelled"}"#]);
    interrupt(&process);
    until(&mut rest, "streamtask: the run was cancelled");
    let said = Said::by(process);
    assert_eq!((said.code, said.out.as_str()), (5, "\"partial\"\n"), "{said:?}");

    let (process, mut rest) = fixture.begin(&["probe.wasm", "-i", r#"{"do":"stubborn"}"#]);
    interrupt(&process);
    until(&mut rest, "cancelling; press Ctrl-C again to stop at once");
    interrupt(&process);
    let said = Said::by(process);
    assert_eq!((said.code, said.out.as_str()), (130, ""), "{said:?}");
    assert_eq!(names(&fixture.path("tmp")), Vec::<String>::new());
}

#[test]
fn a_hangup_cancels_the_run_and_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let (process, mut rest) = fixture.begin(&["probe.wasm", "-i", r#"{"do":"until-cancelled"}"#]);
    // As the shell and the kernel do, which each send one.
    signal(&process, "HUP");
    signal(&process, "HUP");
    until(&mut rest, "streamtask: the run was cancelled");
    assert_eq!(Said::by(process).code, 5);
    assert_eq!(names(&fixture.path("tmp")), Vec::<String>::new());
}

#[test]
fn a_terminal_that_closes_leaves_nothing_behind() {
    if !Terminal::is_there("a_terminal_that_closes_leaves_nothing_behind") {
        return;
    }
    let fixture = Fixture::new();
    let run = fixture.command(&["probe.wasm", "-i", r#"{"do":"until-cancelled"}"#]);
    let mut terminal = Terminal::open(&format!("exec {}", terminal::line(&run)), &run);
    terminal.until("run.started");
    assert_eq!(names(&fixture.path("tmp")).len(), 1);
    drop(terminal);
    let patient = Instant::now() + PATIENCE;
    while !names(&fixture.path("tmp")).is_empty() {
        assert!(Instant::now() < patient, "stuck: the folder stays");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_command_that_shall_outlive_its_terminal_does() {
    let fixture = Fixture::new();
    let run = fixture.command(&["probe.wasm", "-i", r#"{"do":"until-cancelled"}"#]);
    // As `nohup` does.
    let mut command = limits::after("trap '' HUP", &run);
    command.current_dir(fixture.0.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut rest = BufReader::new(process.stderr.take().unwrap());
    until(&mut rest, " run.started ");
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 1, 1, "{status}");
    signal(&process, "HUP");
    interrupt(&process);
    until(&mut rest, "streamtask: the run was cancelled");
    assert_eq!(Said::by(process).code, 5);
}

#[test]
fn a_check_that_is_interrupted_leaves_nothing_behind() {
    let fixture = Fixture::new();
    for name in ["INT", "TERM", "HUP"] {
        let mut check = child::command();
        check.args(["check", "probe.wasm"]).current_dir(fixture.0.path()).env("TMPDIR", fixture.path("tmp"));
        let process = check.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let patient = Instant::now() + PATIENCE;
        while names(&fixture.path("tmp")).is_empty() {
            assert!(Instant::now() < patient, "stuck: it does not begin");
            std::thread::yield_now();
        }
        signal(&process, name);
        let said = Said::by(process);
        // It may have been faster.
        assert!(said.code == 130 || said.code == 0, "{name}: {said:?}");
        assert_eq!(names(&fixture.path("tmp")), Vec::<String>::new(), "{name}: {said:?}");
    }
}

#[test]
fn a_run_that_was_cut_off_goes_on_from_its_checkpoint_in_the_kept_folder() {
    let fixture = Fixture::new();
    let input = r#"{"do":"steps","n":30,"ms":20}"#;
    let command = ["probe.wasm", "-i", input, "--keep", "kept"];
    let (mut process, mut lines) = fixture.begin(&command);
    // With the second one, the checkpoint after the first is durable.
    until(&mut lines, r#"{"step":1}"#);
    until(&mut lines, r#"{"step":2}"#);
    process.kill().unwrap();
    process.wait().unwrap();

    let said = fixture.say(&[&command[..], &["--events"]].concat());
    assert!(said.code == 0 && said.err.starts_with("resuming run "), "{said:?}");
    let events = events(&said);
    assert!(events.iter().any(|event| event["type"] == "run.retrying"), "{said:?}");
    assert_eq!(events.last().unwrap()["attempt"], 2);

    let (mut process, mut lines) = fixture.begin(&command);
    until(&mut lines, r#"{"step":2}"#);
    process.kill().unwrap();
    process.wait().unwrap();
    fixture.say(&["probe.wasm", "--keep", "kept"]).refused(2, "has an unfinished run with another input");
}

#[test]
fn compiled_code_is_kept_where_only_the_user_can_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = Fixture::new();
    let run = ["counter.wasm", "-q", "-i", r#"{"steps":0}"#];
    assert_eq!(fixture.say(&run).code, 0);
    let kept = fixture.path("cache/streamtask");
    let compiled = names(&kept);
    assert!(compiled.iter().any(|name| name.ends_with(".cwasm")), "{compiled:?}");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o777)).unwrap();
    for name in compiled {
        fs::remove_file(kept.join(name)).unwrap();
    }
    assert_eq!(fixture.say(&run).code, 0);
    assert_eq!(names(&kept), Vec::<String>::new(), "others can write there, so nothing there is trusted");
}

#[test]
fn input_comes_by_stdin_and_no_other_file_is_looked_at() {
    let fixture = Fixture::new();
    fs::write(fixture.path("broken.wasm"), "no").unwrap();
    let mut command = fixture.command(&["probe.wasm", "-q", "-i", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(br#"{"do":"echo","from":"stdin"}"#).unwrap();
    let said = Said::by(process);
    let expected = (0, "{\"do\":\"echo\",\"from\":\"stdin\"}\n", "");
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), expected);
}
