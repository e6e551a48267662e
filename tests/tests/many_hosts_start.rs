//! How a host with a shared database starts, and what it says when it can't: one line, an exit code, and no password.

use std::net::TcpListener;
use std::process::Command;

use serde_json::json;
use streamtask_test_postgres::Options;
use streamtask_tests::{ChildHost, Cluster, Said, child};

/// A word that must be nowhere in what is said.
const PASSWORD: &str = "s3cret-pw";
/// Exit code of a host that can't start.
const START: i32 = 6;
/// Exit code of settings that can't be used.
const USAGE: i32 = 2;

/// What a command says that ends by itself: the last line is why, and no line has the password.
fn refused(command: &mut Command, code: i32, why: &str) -> String {
    let said = Said::of(command);
    assert_eq!((said.code, said.out.as_str()), (code, ""), "{said:?}");
    let last = said.err.lines().last().expect("it says why").to_owned();
    assert!(last.starts_with("streamtask: ") && last.contains(why), "{said:?} does not say {why:?}");
    assert_eq!(said.err.lines().filter(|line| line.starts_with("streamtask: ")).count(), 1, "{said:?}");
    assert!(!said.err.contains(PASSWORD), "{said:?}");
    last
}

/// `streamtask migrate` for the hosts of a cluster.
fn migrate(cluster: &Cluster, arguments: &[&str]) -> Said {
    let mut command = child::command();
    command.args(["migrate", "--database-schema", cluster.schema()]).args(arguments);
    Said::of(command.env("STREAMTASK_DATABASE", cluster.server().url()))
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_start_at_once_on_an_empty_schema_create_it_together() {
    let Some(cluster) = Cluster::new("an empty schema") else { return };
    let starting: Vec<_> = ["a", "b", "c"]
        .map(|name| cluster.command(name, &[]))
        .into_iter()
        .map(|command| std::thread::spawn(|| ChildHost::spawn(command)))
        .collect();
    let hosts: Vec<ChildHost> = starting
        .into_iter()
        .map(|host| host.join().expect("no panic").unwrap_or_else(|said| panic!("{said:?}")).ready())
        .collect();
    let run = hosts[0].probe(json!({ "do": "echo" })).await;
    for host in &hosts {
        assert_eq!(host.finished(&run).await["status"], "completed");
        assert_eq!(host.get("/api/hosts").await.json()["hosts"].as_array().expect("a list").len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_too_old_is_refused_with_the_command_that_migrates_it() {
    let Some(cluster) = Cluster::new("an old schema") else { return };
    assert!(migrate(&cluster, &["--dry-run"]).out.contains("would be migrated from version 0"));
    drop(cluster.start("a", &[]));
    assert!(migrate(&cluster, &[]).out.contains("nothing to do"));
    cluster.query("UPDATE meta SET version = 0");
    refused(&mut cluster.command("a", &[]), START, "run `streamtask migrate`");
    assert_eq!(cluster.query("SELECT version FROM meta"), "0", "and left as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_too_new_is_refused_and_left_as_it_is() {
    let Some(cluster) = Cluster::new("a new schema") else { return };
    drop(cluster.start("a", &[]));
    cluster.query("UPDATE meta SET version = 98");
    drop(cluster.start("a", &[]));
    cluster.query("UPDATE meta SET version = 99, min_host = 99");
    refused(&mut cluster.command("a", &[]), START, "use a newer streamtask");
    assert_eq!(cluster.query("SELECT version, min_host FROM meta"), "99|99");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_another_program_is_refused_and_left_as_it_is() {
    let Some(cluster) = Cluster::new("a schema of another program") else { return };
    let schema = cluster.schema();
    cluster.server().psql(&format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.accounts (id int)"));
    refused(&mut cluster.command("a", &[]), START, "belongs to another program");
    let tables = format!("SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'");
    assert_eq!(cluster.server().psql(&tables), "accounts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_in_one_line_without_it() {
    let options = Options { password: Some("the-right-one".to_owned()), ..Options::default() };
    let Some(cluster) = Cluster::with_own_server("a wrong password", options) else { return };
    let wrong = cluster.server().url().replace("the-right-one", PASSWORD);
    let mut command = cluster.command("a", &[]);
    refused(command.env("STREAMTASK_DATABASE", &wrong), START, "password");
    let host = cluster.start("a", &[]);
    let run = host.run(json!({ "do": "echo" })).await;
    assert_eq!(run["status"], "completed");
    let command = std::fs::read(format!("/proc/{}/cmdline", host.id())).expect("a Linux system");
    assert!(!String::from_utf8_lossy(&command).contains("the-right-one"));
    let (_, log) = host.terminate();
    assert!(!log.iter().any(|line| line.contains("the-right-one")), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_said_in_one_line() {
    let Some(cluster) = Cluster::new("a server that is not there") else { return };
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let url = format!("postgres://host:{PASSWORD}@{free}/runs");
    let line = refused(cluster.command("a", &[]).env("STREAMTASK_DATABASE", &url), START, &free.to_string());
    assert!(line.contains("postgres://"), "it says where: {line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_would_be_unsafe_are_refused_before_anything_is_reached() {
    let Some(cluster) = Cluster::new("unsafe settings") else { return };
    for (url, why) in [
        (format!("postgres://host:{PASSWORD}@db.example/runs?sslmode=prefer"), "sslmode"),
        (format!("postgres://host:{PASSWORD}@db.example/runs?sslmode=allow"), "sslmode"),
        (format!("mysql://host:{PASSWORD}@db.example/runs"), "database"),
        (format!("postgres://host:{PASSWORD}@"), "database"),
    ] {
        refused(cluster.command("a", &[]).env("STREAMTASK_DATABASE", &url), USAGE, why);
    }
    refused(&mut cluster.command("a", &["--lease", "1s"]), USAGE, "lease");
}
