//! The command line as a user meets it: what it prints, where, and how it exits.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use streamtask_tests::{ChildHost, PATIENCE, Said, Terminal, child, guests, terminal};
use tempfile::TempDir;

/// A host with the probe and the counter, and its clients.
struct Fixture {
    host: ChildHost,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
        guests::install(&tasks, "test/probe.wasm", &guests::probe());
        guests::install(&tasks, "demo/counter.wasm", &guests::example("counter"));
        guests::install(&tasks, "ticker.wasm", &guests::ticker("top"));
        fs::write(tasks.join("broken.wasm"), "no").unwrap();
        Self { host: ChildHost::start(&tasks, &data, &["--durability", "normal"]), folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.host.client(arguments)
    }

    fn say(&self, arguments: &[&str]) -> Said {
        Said::of(&mut self.command(arguments))
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn run(&self, id: &str) -> Value {
        let said = self.say(&["runs", "--json", "--limit", "1000"]);
        let runs: Value = serde_json::from_str(&said.out).unwrap();
        runs["runs"].as_array().unwrap().iter().find(|run| run["id"] == id).cloned().unwrap_or_default()
    }

    fn wait_for(&self, id: &str, status: &str) {
        let until = Instant::now() + PATIENCE;
        while self.run(id)["status"] != status {
            assert!(Instant::now() < until, "stuck: {id} does not become {status}");
        }
    }
}

#[test]
fn start_prints_the_result_and_says_the_rest_on_stderr() {
    let fixture = Fixture::new();
    let said = fixture.say(&["start", "demo/counter", "--input", r#"{"steps":3,"delay_ms":1}"#]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out.lines().count(), 1, "{said:?}");
    assert!(serde_json::from_str::<Value>(&said.out).is_ok());
    let types: Vec<&str> = said.err.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    // How it ended, the result says.
    assert_eq!(types, ["run.started", "start", "progress", "progress", "progress", "complete"]);
    assert!(
        !said.err.contains('\x1b') && !said.err.contains('\r'),
        "no colours and no bar where nobody watches"
    );

    let said = fixture.say(&["start", "test/probe", "-i", r#"{"do":"echo"}"#, "--quiet"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "{\"do\":\"echo\"}\n", ""));
    let said = fixture.say(&["start", "ticker", "-i", "0", "-q"]);
    assert_eq!((said.code, said.out.as_str()), (0, "\"top\"\n"), "a task at the top needs no app");

    let said = fixture.say(&["start", "test/probe", "-i", r#"{"do":"echo"}"#, "--json"]);
    let events: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((said.code, said.err.as_str(), events.len()), (0, "", 2));
    assert_eq!((&events[1]["seq"], &events[1]["type"]), (&json!(2), &json!("run.completed")));
}

#[test]
fn the_exit_code_is_how_the_run_ended() {
    let fixture = Fixture::new();
    let said = fixture.say(&["start", "test/probe", "-i", r#"{"do":"fail"}"#, "--quiet"]);
    said.refused(1, "the run failed (failure): as asked");
    let said = fixture.say(&["start", "test/probe", "-i", r#"{"do":"panic"}"#]);
    assert_eq!(said.code, 1);
    assert!(said.err.lines().any(|line| line.starts_with("streamtask: the run failed (trap): ")), "{said:?}");

    let starting =
        fixture.spawn(&["start", "test/probe", "-i", r#"{"do":"until-cancelled"}"#, "--id", "mine"]);
    fixture.wait_for("mine", "running");
    let cancelled = fixture.say(&["cancel", "mine"]);
    assert_eq!(
        (cancelled.code, cancelled.out.as_str()),
        (0, "mine: cancel requested; it is still running\n"),
        "{cancelled:?}"
    );
    let said = Said::by(starting);
    assert_eq!((said.code, said.out.as_str()), (5, "\"partial\"\n"), "{said:?}");
    assert!(said.err.ends_with("streamtask: the run was cancelled\n"));
    assert_eq!(fixture.say(&["tail", "mine"]).code, 5, "who only follows it learns the same");
    assert_eq!(fixture.say(&["cancel", "mine"]).out, "mine cancelled\n", "cancelling again is no error");
}

#[test]
fn input_comes_from_an_argument_a_file_or_stdin() {
    let fixture = Fixture::new();
    let file = fixture.folder.path().join("input.json");
    fs::write(&file, "{\"do\":\"echo\",\"from\":\"file\"}\n").unwrap();
    let said_file = fixture.say(&["start", "test/probe", "-q", "-i", &format!("@{}", file.display())]);
    assert_eq!(said_file.out, "{\"do\":\"echo\",\"from\":\"file\"}\n", "{said_file:?}");
    let mut starting = fixture.spawn(&["start", "test/probe", "-q", "--input", "-"]);
    starting.stdin.take().unwrap().write_all(br#"{"do":"echo","from":"stdin"}"#).unwrap();
    assert_eq!(Said::by(starting).out, "{\"do\":\"echo\",\"from\":\"stdin\"}\n");
    assert_eq!(fixture.say(&["start", "test/probe", "-q"]).out, "{}\n", "no input is an empty object");
    fixture.say(&["start", "test/probe", "-i", "@/nonexistent.json"]).refused(2, "/nonexistent.json");
}

#[test]
fn tail_prints_what_was_said_from_where_it_is_told() {
    let fixture = Fixture::new();
    let started = fixture.say(&["start", "demo/counter", "-i", r#"{"steps":5,"delay_ms":20}"#, "--detach"]);
    let id = started.out.trim();
    assert_eq!((started.code, fixture.run(id)["id"].as_str()), (0, Some(id)));
    let all = fixture.say(&["tail", id]);
    let types = |said: &Said| -> Vec<String> {
        said.out.lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!((all.code, all.err.as_str(), types(&all).len()), (0, "", 9));
    assert_eq!(types(&fixture.say(&["tail", id, "--after", "6"])), ["progress", "complete", "run.completed"]);
    assert_eq!(types(&fixture.say(&["tail", id, "-n", "2"])), ["complete", "run.completed"]);
    let json = fixture.say(&["tail", id, "--json", "--last", "1"]);
    let event: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&event["seq"], &event["data"]["status"]), (&json!(9), &json!("completed")));
    assert_eq!(fixture.say(&["tail", id, "--after", "9"]).code, 0, "there is nothing more to say");
}

#[test]
fn lists_tell_what_there_is() {
    let fixture = Fixture::new();
    let tasks = fixture.say(&["tasks"]);
    assert_eq!(tasks.code, 0);
    for told in [
        "demo/counter\t",
        "test/probe\t",
        "\tDoes whatever a test asks for.",
        "default/ticker\t",
        "not loaded: this is not a WebAssembly file",
    ] {
        assert!(tasks.out.contains(told), "{told}: {}", tasks.out);
    }
    let json: Value = serde_json::from_str(&fixture.say(&["tasks", "--json"]).out).unwrap();
    assert_eq!(json["tasks"].as_array().unwrap().len(), 4);

    fixture.say(&["start", "ticker", "-i", "0", "--id", "one", "--label", "team:blue", "--label", "n:1"]);
    fixture.say(&["start", "test/probe", "-i", r#"{"do":"fail"}"#, "--id", "two"]);
    let runs = |arguments: &[&str]| -> Vec<String> {
        let said = fixture.say(&[&["runs"], arguments].concat());
        assert_eq!(said.code, 0, "{said:?}");
        said.out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    };
    assert_eq!(runs(&[]), ["two", "one"], "newest first");
    assert_eq!(runs(&["--task", "default/ticker"]), ["one"]);
    assert_eq!(runs(&["--status", "failed"]), ["two"]);
    assert_eq!(runs(&["--status", "failed,completed"]), ["two", "one"]);
    assert_eq!(runs(&["--status", "completed", "--status", "delayed"]), ["one"]);
    assert_eq!(runs(&["--label", "team:blue"]), ["one"]);
    assert_eq!(runs(&["--label", "team:blue", "--label", "n:2"]), [""; 0]);
    assert_eq!(runs(&["--limit", "1"]), ["two"]);
    assert!(fixture.say(&["runs"]).out.lines().next().unwrap().ends_with("\tas asked"), "with its error");
    assert_eq!(fixture.run("one")["labels"], json!({ "team": "blue", "n": "1" }));
}

#[test]
fn what_the_host_refuses_is_told_in_its_words() {
    let fixture = Fixture::new();
    fixture.say(&["start", "test/nothing"]).refused(3, "there is no task test/nothing");
    fixture.say(&["start", "broken"]).refused(3, "this is not a WebAssembly file");
    fixture.say(&["start", "test/probe", "-i", "{"]).refused(2, "--input is not valid JSON: ");
    fixture.say(&["start", "test/probe", "-i", "text"]).refused(2, "a string needs quotes");
    fixture
        .say(&["signal", "one", "name", "text"])
        .refused(2, "the payload of the signal is not valid JSON: ");
    fixture.say(&["set", "one", "name", "{"]).refused(2, "the value is not valid JSON: ");
    fixture.say(&["start", "test/probe", "-i", r#"{"do":1}"#]).refused(3, "the input does not match");
    fixture.say(&["start", "test/probe", "--label", "x"]).refused(3, "key:value");
    fixture.say(&["start", "test/probe", "--id", "a b"]).refused(3, "\"a b\"");
    fixture.say(&["start", "ticker", "-i", "0", "--id", "one", "-q"]);
    fixture
        .say(&["start", "ticker", "-i", "1", "--id", "one"])
        .refused(3, "the run one was started by another request");
    assert_eq!(
        fixture.say(&["start", "ticker", "-i", "0", "--id", "one", "-q"]).out,
        "\"top\"\n",
        "the same again is the same run"
    );
    fixture.say(&["tail", "nobody"]).refused(3, "there is no run \"nobody\"");
    fixture.say(&["tail", "one", "nobody"]).refused(3, "there is no run \"nobody\"");
    fixture.say(&["tail", "--label", "team"]).refused(3, "key:value");
    fixture.say(&["tail", "one", "nobody", "-n", "1"]).refused(2, "--last works only for one run");
    fixture.say(&["tail", "one", "--after", "9-1.2"]).refused(2, "its `seq`");
    fixture.say(&["tail", "one", "two", "--after", "x"]).refused(3, "there is no run \"two\"");
    fixture.say(&["start", "ticker", "--on-disconnect", "maybe"]).refused(3, "\"maybe\"");
    fixture.say(&["cancel", "../../api"]).refused(3, "there is no run");
    fixture.say(&["cancel", "one"]).refused(3, "already ended as completed");
    for (arguments, why) in
        [(["runs", "--status", "lost"], "delayed"), (["runs", "--limit", "0"], "1..=1000")]
    {
        let said = fixture.say(&arguments);
        assert!(said.code == 2 && said.err.contains(why), "{said:?}");
    }
}

#[test]
fn a_host_that_is_not_there_is_told_apart_from_one_that_refuses() {
    // Taken and given back: nobody listens there now.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let host = format!("http://{gone}");
    for command in
        [&["tasks"][..], &["runs"], &["start", "a/b"], &["tail", "x"], &["tail", "x", "y"], &["cancel", "x"]]
    {
        let said = Said::of(child::command().args(command).args(["--host", &host]));
        said.refused(4, &format!("can't reach a host at {host}: Connection refused"));
    }
    let said = Said::of(child::command().args(["tasks", "--host", "https//nonsense"]));
    said.refused(2, "such as http://127.0.0.1:8080");
}

#[test]
fn wrong_arguments_are_told_with_the_usage() {
    for arguments in [
        &[][..],
        &["dance"],
        &["start"],
        &["tasks", "--loud"],
        &["tail", "x", "--after", "-1"],
        &["tail", "x", "-n", "1", "--after", "1"],
        &["tail"],
        &["tail", "x", "--task", "demo/counter"],
        &["tail", "--label", "team:blue", "-n", "1"],
        &["start", "a", "--json", "--quiet"],
    ] {
        let said = Said::of(child::command().args(arguments));
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}: {said:?}");
        assert!(said.err.contains("Usage:") && said.err.contains("--help"), "{arguments:?}: {said:?}");
        // What a variable says does not have to be given.
        let set = Said::of(child::command().args(arguments).env("STREAMTASK_HOST", "http://127.0.0.1:1"));
        assert_eq!((set.code, set.err), (2, said.err), "{arguments:?}");
    }
    let said = Said::of(child::command().arg("tasks").env("STREAMTASK_HOST", "https//nonsense"));
    said.refused(2, "such as http://127.0.0.1:8080");
}

#[test]
fn an_interrupt_leaves_the_bars_as_they_are_and_the_terminal_as_it_was() {
    if !Terminal::is_there("an_interrupt_leaves_the_bars_as_they_are_and_the_terminal_as_it_was") {
        return;
    }
    let fixture = Fixture::new();
    let start = fixture.command(&["start", "demo/counter", "-i", r#"{"steps":2000,"delay_ms":20}"#]);
    let shell = format!("trap : INT; {}; echo with $?; stty -a", terminal::line(&start));
    let mut terminal = Terminal::open(&shell, &start);
    terminal.until("/2000");
    terminal.types("\x03");
    let after = terminal.rest();
    assert!(after.contains("the run continues; `streamtask cancel") && after.contains("with 130"), "{after}");
    // `stty` names the key too.
    let (shown, _) = after.split_once("speed ").expect("what stty says");
    assert!(!shown.contains("^C"), "{after}");
    assert!(after.contains("echoctl") && !after.contains("-echoctl"), "{after}");
}

#[test]
fn help_has_an_example_of_every_command_and_the_exit_codes() {
    let help = Said::of(child::command().arg("--help"));
    assert_eq!(help.code, 0);
    assert!(help.out.contains("Exit codes: 0 done, 1 the run, the build or the host failed"), "{help:?}");
    for command in [
        "serve", "demo", "doctor", "tasks", "put", "start", "runs", "show", "tail", "files", "open",
        "cancel", "man",
    ] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command}: {help:?}");
        for ask in [&[command, "--help"][..], &[command, "-h"], &["help", command]] {
            let help = Said::of(child::command().args(ask));
            assert_eq!((help.code, help.err.as_str()), (0, ""), "{command}");
            let example = help.out.split_once("Example").map_or("", |(_, example)| example);
            assert!(example.contains(&format!("streamtask {command}")), "{ask:?}: {}", help.out);
        }
    }
    let version = Said::of(child::command().arg("--version"));
    assert_eq!(version.code, 0);
    assert!(version.out.starts_with(&format!("streamtask {}", env!("CARGO_PKG_VERSION"))), "{version:?}");
}

#[test]
fn a_shell_completes_the_commands_for_people_and_no_other() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Said::of(child::command().args(["completions", shell]));
        assert!(script.code == 0 && script.out.contains("by-rules"), "{shell}: {}", script.err);
        let settings = ["compile-memory", "compile-time", "compile-code", "to compile one"];
        let out = settings.iter().fold(script.out, |out, setting| out.replace(setting, ""));
        assert!(!out.contains("compile") && !out.contains("--scarce"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let fixture = Fixture::new();
    let mut starting =
        fixture.spawn(&["start", "demo/counter", "--json", "-i", r#"{"steps":10000,"delay_ms":1}"#]);
    let mut first = String::new();
    BufReader::new(starting.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("run.started"));
    // The reader is dropped here, as by `head -1`.
    let said = Said::by(starting);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
}

#[test]
fn an_interrupted_follower_leaves_the_run_alone_and_says_how_to_end_it() {
    let fixture = Fixture::new();
    let mut starting = fixture.spawn(&[
        "start",
        "test/probe",
        "--json",
        "--id",
        "long",
        "-i",
        r#"{"do":"sleep","ms":600000}"#,
    ]);
    let mut out = BufReader::new(starting.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    assert!(Command::new("kill").args(["-INT", &starting.id().to_string()]).status().unwrap().success());
    Said::by(starting).refused(130, "the run continues; `streamtask cancel long` cancels it");
    assert_eq!(fixture.run("long")["status"], "running");
}

/// The second word of each line: of which run it is.
fn named(said: &Said) -> Vec<&str> {
    said.out.lines().map(|line| line.split(' ').nth(1).unwrap()).collect()
}

#[test]
fn several_runs_are_followed_at_once_and_the_exit_code_is_the_worst_of_theirs() {
    let fixture = Fixture::new();
    let start = |id: &str, input: &str| {
        let said = fixture.say(&["start", "test/probe", "--id", id, "-i", input, "--detach"]);
        assert_eq!(said.out.trim(), id, "{said:?}");
    };
    start("a", r#"{"do":"flood","events":20,"bytes":5,"pause_ms":1}"#);
    start("longer", r#"{"do":"echo"}"#);
    let said = fixture.say(&["tail", "longer", "a", "a"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let of = |run: &str| named(&said).into_iter().filter(|named| *named == run).count();
    assert_eq!((of("a"), of("longer")), (22, 2));
    assert!(
        said.out.lines().any(|line| line.contains(" a      run.completed {")),
        "in columns: {}",
        said.out
    );

    start("bad", r#"{"do":"fail"}"#);
    start("held", r#"{"do":"until-cancelled"}"#);
    fixture.wait_for("held", "running");
    let tailing = fixture.spawn(&["tail", "a", "held", "--now"]);
    fixture.say(&["cancel", "held"]);
    let said = Said::by(tailing);
    assert_eq!(said.code, 5, "{said:?}");
    assert_eq!(said.err, "streamtask: 1 of 2 runs did not complete: held was cancelled\n");
    let said = fixture.say(&["tail", "held", "bad", "a", "--json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let why = "2 of 3 runs did not complete: bad failed (failure), held was cancelled";
    assert_eq!(said.err, format!("streamtask: {why}\n"));
    // Whoever has read all learns the same once more.
    let last: Value = serde_json::from_str(said.out.lines().last().unwrap()).unwrap();
    let cursor = last["cursor"].as_str().unwrap();
    fixture.say(&["tail", "held", "bad", "a", "--after", cursor]).refused(1, why);
}

#[test]
fn runs_of_a_task_or_with_a_label_are_followed_as_they_come() {
    let fixture = Fixture::new();
    fixture.say(&["start", "ticker", "-i", "0", "--id", "before", "--label", "team:blue"]);
    fixture.say(&["start", "ticker", "-i", "0", "--id", "other"]);
    let mut tailing = fixture.spawn(&["tail", "--task", "default/ticker", "--label", "team:blue"]);
    let mut lines = BufReader::new(tailing.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut until_end_of = |run: &str| loop {
        let line = lines.next().unwrap();
        assert!(!line.contains(" other "), "{line}");
        if line.contains(&format!(" {run} ")) && line.contains("run.completed") {
            break;
        }
    };
    until_end_of("before");
    fixture.say(&["start", "ticker", "-i", "0", "--id", "later", "--label", "team:blue"]);
    until_end_of("later");
    assert!(Command::new("kill").args(["-INT", &tailing.id().to_string()]).status().unwrap().success());
    Said::by(tailing).refused(130, "the runs continue, except those that the host cancels when no client follows them; cancel one with `streamtask cancel RUN`");
}

#[test]
fn a_run_that_shall_not_go_on_alone_is_told_so_when_its_follower_is_interrupted() {
    let fixture = Fixture::new();
    let input = r#"{"do":"sleep","ms":600000}"#;
    let with = ["--on-disconnect", "cancel", "--id", "mine", "--json"];
    let mut starting = fixture.spawn(&[&["start", "test/probe", "-i", input], &with[..]].concat());
    BufReader::new(starting.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    assert_eq!(fixture.run("mine")["on_disconnect"], "cancel");
    assert!(Command::new("kill").args(["-INT", &starting.id().to_string()]).status().unwrap().success());
    Said::by(starting).refused(130, "the host cancels the run soon unless another client follows it");
}

/// Reads the JSON lines of a command's stdout, and in the middle of them kills the host and starts it again.
fn through_a_kill(fixture: Fixture, following: &mut Child, after: usize) -> (Fixture, Vec<Value>) {
    let lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut events: Vec<Value> = Vec::new();
    let mut fixture = Some(fixture);
    for line in lines {
        events.push(serde_json::from_str(&line).unwrap());
        if events.len() == after {
            let Fixture { host, folder } = fixture.take().unwrap();
            let (address, tasks, data) =
                (host.address, folder.path().join("tasks"), folder.path().join("data"));
            host.kill();
            let mut serve = child::command();
            serve.args(["serve", "--listen", &address.to_string(), "--durability", "normal", "--tasks"]);
            serve.arg(&tasks).arg("--data").arg(&data);
            let host = ChildHost::spawn(serve).unwrap_or_else(|said| panic!("{said:?}"));
            fixture = Some(Fixture { host, folder });
        }
    }
    (fixture.unwrap(), events)
}

fn seqs<'a>(events: impl IntoIterator<Item = &'a Value>) -> Vec<u64> {
    events.into_iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

#[test]
fn a_follower_comes_through_a_kill_of_the_host() {
    let fixture = Fixture::new();
    let mut starting =
        fixture.spawn(&["start", "test/probe", "--json", "-i", r#"{"do":"steps","n":100,"ms":2}"#]);
    let (_fixture, events) = through_a_kill(fixture, &mut starting, 20);
    assert_eq!(seqs(&events), (1..=events.len() as u64).collect::<Vec<_>>());
    assert_eq!(events.last().unwrap()["type"], "run.completed");
    let said = Said::by(starting);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("connection lost; reconnecting"), "{said:?}");
}

#[test]
fn who_follows_several_runs_comes_through_a_kill_of_the_host_without_gap_or_repeat() {
    let fixture = Fixture::new();
    for id in ["a", "b"] {
        let input = r#"{"do":"steps","n":100,"ms":2}"#;
        fixture.say(&["start", "test/probe", "--id", id, "-i", input, "--detach"]);
    }
    let mut tailing = fixture.spawn(&["tail", "a", "b", "--json"]);
    let (_fixture, events) = through_a_kill(fixture, &mut tailing, 40);
    for id in ["a", "b"] {
        let own: Vec<&Value> = events.iter().filter(|event| event["_task_id"] == id).collect();
        assert_eq!(seqs(own.iter().copied()), (1..=own.len() as u64).collect::<Vec<_>>(), "{id}");
        assert_eq!(own.last().unwrap()["type"], "run.completed", "{id}");
    }
    let said = Said::by(tailing);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("connection lost; reconnecting"), "{said:?}");
}
