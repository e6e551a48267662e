//! Commands that need no running host: what they print and how they exit.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use streamtask_tests::{PATIENCE, Said, child};

/// A `streamtask demo`, and the URL of its host.
fn demo(temporary: &Path) -> (Child, String, BufReader<ChildStderr>) {
    let mut command = child::command();
    command.args(["demo", "--listen", "127.0.0.1:0"]).env("TMPDIR", temporary);
    let mut demo = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(demo.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("A host with 4 tasks is on ").unwrap_or_else(|| panic!("{line:?}"));
    (demo, url.trim_end_matches('/').to_owned(), told)
}

#[test]
fn the_demo_needs_no_toolchain_and_each_of_its_tasks_runs() {
    let temporary = tempfile::tempdir().unwrap();
    let (demo, url, _told) = demo(temporary.path());
    let say = |arguments: &[&str]| Said::of(child::command().args(arguments).args(["--host", &url]));
    let tasks = say(&["tasks"]).out;
    assert!(!tasks.contains("not loaded"), "{tasks}");
    let counted = say(&["start", "demo/counter", "-i", r#"{"steps":3,"pause_ms":1}"#]);
    assert_eq!((counted.code, counted.out.as_str()), (0, "{\"steps\":3}\n"), "{counted:?}");
    assert_eq!(counted.err.matches(" progress ").count(), 3, "{counted:?}");
    let greeted = say(&["start", "demo/hello", "-i", r#"{"name":"Ada"}"#]);
    assert!(greeted.code == 0 && greeted.err.contains("output \"Hello, Ada!\""), "{greeted:?}");
    for (task, event) in [("demo/chat", "view"), ("demo/progress-tree", "progress")] {
        let started = say(&["start", task, "--detach"]);
        let run = started.out.trim();
        let until = Instant::now() + PATIENCE;
        while !say(&["show", run]).out.contains(&format!(" {event} ")) {
            assert!(Instant::now() < until, "stuck: {task} does not run");
        }
        // A wait of the program ends at once when its run is cancelled.
        let begun = Instant::now();
        say(&["cancel", run]);
        let tail = say(&["tail", run]);
        assert_eq!(tail.code, 5, "{tail:?}");
        assert!(tail.out.contains(&format!(" {event} ")), "{tail:?}");
        assert!(begun.elapsed() < Duration::from_secs(4), "before it would be ended by force");
    }
    assert!(Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap().success());
    assert_eq!(demo.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(say(&["tasks"]).code, 4);
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn the_demo_leaves_nothing_behind_when_it_is_told_to_end() {
    for signal in ["-HUP", "-TERM"] {
        let temporary = tempfile::tempdir().unwrap();
        let (demo, _url, _told) = demo(temporary.path());
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
        assert!(Command::new("kill").args([signal, &demo.id().to_string()]).status().unwrap().success());
        assert_eq!(demo.wait_with_output().unwrap().status.code(), Some(0), "{signal}");
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "{signal}");
    }
}

#[test]
fn the_demo_is_for_this_machine_alone() {
    Said::of(child::command().args(["demo", "--listen", "0.0.0.0:0"])).refused(2, "only on this machine");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    Said::of(child::command().args(["demo", "--listen", &address])).refused(6, "use --listen 127.0.0.1:");
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let said = Said::of(child::command().args(["man", "--dir"]).arg(folder.path()));
    assert_eq!(said.code, 0, "{said:?}");
    for name in ["streamtask.1", "streamtask-serve.1", "streamtask-doctor.1"] {
        let page = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(page.contains(".TH "), "{name}: {page}");
    }
    assert!(!folder.path().join(format!("streamtask-{}.1", "compile")).exists());
    assert!(Said::of(child::command().args(["man", "tail"])).out.contains("\\-\\-last"));
    Said::of(child::command().args(["man", "dance"])).refused(2, "there is no command");
}
