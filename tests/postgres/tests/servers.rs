//! What tests rely on: a server starts, recovers, and leaves nothing behind.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use streamtask_test_postgres::{Options, own_server, server};

#[test]
fn the_server_of_a_process_is_shared_and_schemas_are_not() {
    let Some(first) = server("a shared server") else { return };
    let second = server("a shared server").expect("it was there");
    assert_eq!(first.process(), second.process());
    assert_ne!(first.fresh_schema(), second.fresh_schema());
    assert_eq!(first.psql("SELECT 1, 'a'"), "1|a");
}

#[test]
fn a_crash_keeps_what_was_committed() {
    let Some(server) = own_server("a server that crashes", Options::default()) else { return };
    server.psql("CREATE TABLE kept (a int); INSERT INTO kept VALUES (7)");
    let (address, first) = (server.address(), server.process());
    server.restart();
    assert_eq!(server.psql("SELECT a FROM kept"), "7");
    assert_eq!(server.address(), address);
    assert_ne!(server.process(), first);
    assert!(server.log().contains("automatic recovery in progress"), "{}", server.log());
    server.stop();
    assert_eq!(server.process(), None);
}

#[test]
fn a_dropped_server_is_gone() {
    let Some(server) = own_server("a server that ends", Options::default()) else { return };
    let (folder, process) = (server.socket().to_owned(), server.process().expect("it runs"));
    drop(server);
    assert!(!folder.exists());
    assert!(!is_running(process));
}

/// Starts itself as another process, which is killed while it has a server.
#[test]
fn a_server_ends_with_a_test_that_is_killed() {
    const NESTED: &str = "STREAMTASK_NESTED_SERVER";
    if std::env::var_os(NESTED).is_some() {
        let Some(server) = own_server("a server of a killed test", Options::default()) else { return };
        println!("\nSERVER {} {}", server.process().expect("it runs"), server.socket().display());
        loop {
            thread::park();
        }
    }
    if server("a server of a killed test").is_none() {
        return;
    }
    let mut nested = Command::new(std::env::current_exe().expect("a program"));
    nested.args(["a_server_ends_with_a_test_that_is_killed", "--exact", "--nocapture"]).env(NESTED, "1");
    let mut nested = nested.stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    let output = std::io::BufReader::new(nested.stdout.take().expect("it is piped"));
    let mut lines = std::io::BufRead::lines(output).map(|line| line.expect("text"));
    let line = lines.find_map(|line| line.strip_prefix("SERVER ").map(str::to_owned)).expect("a server");
    let (process, folder) = line.split_once(' ').expect("two words");
    let process = process.parse().expect("a number");
    assert!(is_running(process));
    nested.kill().expect("a child");
    nested.wait().expect("a child");
    let deadline = Instant::now() + Duration::from_secs(30);
    while is_running(process) || std::path::Path::new(folder).exists() {
        assert!(Instant::now() < deadline, "the server has outlived its test");
        thread::sleep(Duration::from_millis(20));
    }
}

fn is_running(process: u32) -> bool {
    Command::new("kill").args(["-0", &process.to_string()]).output().expect("a program").status.success()
}
