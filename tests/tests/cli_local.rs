//! Commands that need no running host: what they print and how they exit.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;
use streamtask_tests::{ChildHost, Said, child, guests};

fn doctor(folder: &std::path::Path, listen: &str, arguments: &[&str]) -> Said {
    let mut command = child::command();
    command.arg("doctor").args(["--listen", listen]).args(arguments);
    command.arg("--tasks").arg(folder.join("tasks")).arg("--data").arg(folder.join("data"));
    Said::of(&mut command)
}

/// The check of that name in what `doctor --json` printed.
fn check(said: &Said, name: &str) -> Value {
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report}")).clone()
}

#[test]
fn the_doctor_names_each_problem_with_what_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = doctor(folder.path(), &address, &[]);
    assert_eq!(said.code, 1, "{said:?}");
    let line = |name: &str| said.out.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("tasks folder").starts_with("problem "), "{said:?}");
    assert!(line("tasks folder").contains("mend: mkdir -p "), "{said:?}");
    assert!(line("port").contains("another program listens on"), "{said:?}");
    assert!(line("data folder").starts_with("ok "), "{said:?}");
    assert!(!folder.path().join("data").exists(), "it creates nothing");
    assert!(said.err.ends_with("problems keep a host from working here\n"), "{said:?}");
}

#[test]
fn the_doctor_recognises_a_running_host_and_leaves_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    guests::install(&tasks, "ticker.wasm", &guests::ticker("top"));
    let host = ChildHost::start(&tasks, &data, &["--durability", "normal"]);
    let said = doctor(folder.path(), &host.address.to_string(), &["--json"]);
    for name in ["port", "database", "tasks folder", "data folder", "disk", "concurrent runs"] {
        assert_ne!(check(&said, name)["level"], "problem", "{name}: {said:?}");
    }
    assert!(check(&said, "port")["found"].as_str().unwrap().contains("a streamtask host ("), "{said:?}");
    assert_eq!(check(&said, "database")["found"], "a running host has it open");
    for language in ["rust", "python", "javascript", "typescript", "go", "c", "cpp"] {
        assert_ne!(check(&said, language)["level"], "problem", "a host needs no tools: {said:?}");
    }
    // After its end, the database can be opened.
    host.kill();
    let found = check(&doctor(folder.path(), "127.0.0.1:0", &["--json"]), "database");
    assert_eq!(found["level"], "ok", "{found}");
    fs::write(data.join("streamtask.db-wal"), "").unwrap();
    fs::write(data.join("streamtask.db"), "something else, and not a database at all").unwrap();
    let found = check(&doctor(folder.path(), "127.0.0.1:0", &["--json"]), "database");
    assert_eq!(found["level"], "problem", "{found}");
}
