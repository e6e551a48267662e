//! What a host does with signals of the operating system.

use std::fs;

use serde_json::json;
use streamtask_tests::{Api, ChildHost, Folders, Terminal, child, eventually, raw, soon, terminal};

fn start(folders: &Folders, config: &str) -> ChildHost {
    let path = folders.data().with_file_name("streamtask.toml");
    fs::write(&path, config).unwrap();
    let mut serve = child::serve(&folders.tasks(), &folders.data(), &["--durability", "normal"]);
    serve.arg("--config").arg(path);
    ChildHost::spawn(serve).unwrap_or_else(|said| panic!("{said:?}")).ready()
}

fn rewrite(folders: &Folders, config: &str) {
    fs::write(folders.data().with_file_name("streamtask.toml"), config).unwrap();
}

/// What a host logs, line after line.
#[derive(Default)]
struct Log(Vec<String>);

impl Log {
    /// Waits for a line that says so, after the last one that was waited for; returns it.
    async fn says(&mut self, host: &ChildHost, what: &str) -> String {
        let mut found = None;
        eventually(what, || {
            self.0.extend(host.logged());
            found = self.0.iter().position(|line| line.contains(what));
            let is_there = found.is_some();
            async move { is_there }
        })
        .await;
        self.0.drain(..=found.unwrap()).next_back().unwrap()
    }
}

async fn status_under(host: &ChildHost, name: &str) -> String {
    let request = format!("GET /api/runs HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
    raw(host.address, request).await.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reloads_what_can_change_while_the_host_serves() {
    let folders = Folders::new();
    let (host, mut log) = (start(&folders, "max-running = 5\n"), Log::default());
    let run = host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    host.follow(&run).await.until("run.started").await;
    assert_eq!(status_under(&host, "tasks.lan").await, "421");

    rewrite(&folders, "max-running = 6\nallowed-hosts = [\"tasks.lan\"]\nlog = \"debug\"\n");
    host.signal("HUP");
    let line = log.says(&host, "configuration reloaded").await;
    assert!(line.contains("changed=\"allowed-hosts, log\""), "{line}");
    let line = log.says(&host, "need a restart").await;
    assert!(line.contains("settings=\"max-running\""), "{line}");
    assert_eq!(status_under(&host, "tasks.lan").await, "200");
    log.says(&host, "answered").await;

    rewrite(&folders, "allowed-hosts = 7\n");
    host.signal("HUP");
    let line = log.says(&host, "all settings stay unchanged").await;
    assert!(line.contains("line 1, column 17"), "{line}");
    assert_eq!(status_under(&host, "tasks.lan").await, "200");

    rewrite(&folders, "max-running = 5\n");
    host.signal("HUP");
    log.says(&host, "configuration reloaded").await;
    assert_eq!(
        status_under(&host, "tasks.lan").await,
        "421",
        "what is gone from the file is the default again"
    );
    assert_eq!(host.read_run(&run).await["status"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_without_a_meaning_are_ignored() {
    let folders = Folders::new();
    let (host, mut log) = (start(&folders, ""), Log::default());
    for name in ["USR1", "USR2", "PIPE"] {
        host.signal(name);
    }
    // The host takes signals one after another, so when this one is answered the others were taken.
    host.signal("HUP");
    log.says(&host, "configuration reloaded").await;
    assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_closes_stops_the_host_in_order() {
    if !Terminal::is_there("a_terminal_that_closes_stops_the_host_in_order") {
        return;
    }
    let folders = Folders::new();
    let serve = child::serve(&folders.tasks(), &folders.data(), &["--durability", "normal"]);
    let mut terminal = Terminal::open(&format!("exec {}", terminal::line(&serve)), &serve);
    terminal.until("listening on http://");
    let told = terminal.until(" ");
    let address = told.split(|c: char| !(c.is_ascii_digit() || ".:".contains(c))).next();
    let address = address.and_then(|address| address.parse().ok());
    let host = Api { address: address.expect("the host listens") };
    eventually("it is ready", || async { host.get("/readyz").await.status == 200 }).await;
    let run = host.probe(json!({ "do": "sleep", "ms": 500 })).await;
    let mut stream = host.follow(&run).await;
    stream.until("run.started").await;
    drop(terminal);
    let events = soon("the run ends within the grace", stream.rest()).await;
    assert_eq!(events.last().unwrap().name, "run.completed", "{events:?}");
    eventually("the host ends", || async { tokio::net::TcpStream::connect(host.address).await.is_err() })
        .await;
}
