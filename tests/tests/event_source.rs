//! What an `EventSource` makes of a stream: the npm package of that name, under
//! Node.js, in a process of its own.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use streamtask_tests::{Event, TestHost, clients, hostile, optional, soon, stream_path};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout};

/// An `EventSource` in a process of its own.
struct Client {
    process: Child,
    heard: Lines<BufReader<ChildStdout>>,
}

impl Client {
    /// Listens to `types` besides `onmessage`. None if it can't be had here.
    fn start(what: &str, address: SocketAddr, path: &str, types: &[&str]) -> Option<Self> {
        let folder = match clients::node() {
            Ok(folder) => folder,
            Err(missing) => {
                optional::skip(what, missing);
                return None;
            }
        };
        let mut command = tokio::process::Command::new("node");
        command.arg("event-source.js").arg(format!("http://{address}{path}")).arg(json!(types).to_string());
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("node starts");
        let heard = BufReader::new(process.stdout.take().expect("piped")).lines();
        Some(Self { process, heard })
    }

    /// What its listeners hear next; none when it has ended by itself.
    async fn next(&mut self) -> Option<Value> {
        let line = soon("waiting for the EventSource", self.heard.next_line()).await.expect("text");
        line.map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// All that it hears until it ends.
    async fn rest(mut self) -> Vec<Value> {
        let mut heard = Vec::new();
        while let Some(next) = self.next().await {
            heard.push(next);
        }
        assert!(soon("ending", self.process.wait()).await.expect("a child").success());
        heard
    }
}

/// The events among what was heard.
fn events(heard: &[Value]) -> Vec<Event> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let events = heard.iter().filter(|heard| heard.get("data").is_some());
    events
        .map(|event| Event { id: text(&event["id"]), name: text(&event["type"]), data: text(&event["data"]) })
        .collect()
}

fn count(heard: &[Value], listener: &str) -> usize {
    heard.iter().filter(|heard| heard["listener"] == listener).count()
}

/// Panics unless the last that was heard is that the stream is over for good.
fn is_over(heard: &[Value]) {
    let last = heard.last().expect("something was heard");
    assert_eq!(
        (&last["listener"], &last["code"], &last["state"]),
        (&json!("onerror"), &json!(204), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn named_events_reach_their_listeners_and_the_end_is_the_end() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "ticks", "n": 5, "ms": 100 })).await;
    let types = ["run.started", "tick", "run.completed"];
    let Some(client) = Client::start("named events", host.address, stream_path(&run), &types) else { return };
    let heard = client.rest().await;
    assert_eq!(events(&heard), host.follow(&run).await.rest().await);
    assert_eq!((count(&heard, "named"), count(&heard, "onmessage")), (7, 0));
    assert_eq!((count(&heard, "onopen"), count(&heard, "onerror")), (1, 2), "{heard:?}");
    is_over(&heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn unnamed_events_all_reach_onmessage() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "flood", "events": 1000 })).await;
    let path = format!("{}?named=false", stream_path(&run));
    let Some(client) = Client::start("unnamed events", host.address, &path, &["flood"]) else { return };
    let heard = client.rest().await;
    assert_eq!(events(&heard), host.follow_with(&run, "named=false", &[]).await.rest().await);
    assert_eq!((count(&heard, "named"), count(&heard, "onmessage")), (0, 1002));
    is_over(&heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_data_arrives_to_the_byte() {
    let host = TestHost::with(|config| config.limits.input_bytes = 16 << 20).await;
    let texts = hostile::data();
    let sent: Vec<Value> = texts.iter().map(|text| json!({ "type": "message", "data": text })).collect();
    let run = host.run(json!({ "do": "send", "events": sent })).await;
    let path = format!("{}?envelope=data&types=message", stream_path(&run));
    let Some(client) = Client::start("hostile data", host.address, &path, &[]) else { return };
    let heard = client.rest().await;
    let events = events(&heard);
    assert_eq!(events.len(), texts.len());
    let texts: Vec<String> = texts.iter().map(|text| hostile::arrived(text)).collect();
    for (nth, (event, text)) in events.iter().zip(&texts).enumerate() {
        assert!(event.data == *text, "{nth}: {text:.100} became {:.100}", event.data);
    }
    is_over(&heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_types_reach_the_listeners_of_their_names_and_end_nothing() {
    let host = TestHost::start().await;
    let types = hostile::types();
    let sent: Vec<Value> = types.iter().map(|name| json!({ "type": name, "data": "1" })).collect();
    let run = host.run(json!({ "do": "send", "events": sent })).await;
    let listened: Vec<&str> =
        types.iter().map(String::as_str).filter(|name| *name != "message").chain(["run.completed"]).collect();
    let path = format!("{}?after=1", stream_path(&run));
    let Some(client) = Client::start("hostile types", host.address, &path, &listened) else { return };
    let heard = client.rest().await;
    let names: Vec<String> = events(&heard).into_iter().map(|event| event.name).collect();
    assert_eq!(names, [types, vec!["run.completed".to_owned()]].concat());
    assert_eq!(count(&heard, "onmessage"), 1, "the one of that name");
    is_over(&heard);
}

/// Stands between a client and a host. Cuts each connection after so many bytes of
/// the host's, one after the other; those that follow live.
struct Proxy {
    address: SocketAddr,
    /// Where the host is; none while there is none.
    host: Arc<Mutex<Option<SocketAddr>>>,
}

impl Proxy {
    async fn start(host: SocketAddr, cuts: &[u64]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let host = Arc::new(Mutex::new(Some(host)));
        let (mut cuts, place) = (Vec::from(cuts).into_iter(), Arc::clone(&host));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let host = *place.lock();
                if let Some(host) = host {
                    tokio::spawn(relay(client, host, cuts.next().unwrap_or(u64::MAX)));
                }
            }
        });
        Self { address, host }
    }

    fn moved(&self, host: Option<SocketAddr>) {
        *self.host.lock() = host;
    }
}

async fn relay(client: TcpStream, host: SocketAddr, most: u64) -> std::io::Result<()> {
    let host = TcpStream::connect(host).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (from_host, mut to_host) = host.into_split();
    let requests = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_host).await });
    let copied = tokio::io::copy(&mut from_host.take(most), &mut to_client).await;
    let shut = to_client.shutdown().await;
    requests.abort();
    copied.and(shut)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_made_again_and_nothing_is_missed_or_repeated() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "flood", "events": 5000, "pause_ms": 100, "bytes": 100 })).await;
    // Within the head of the answer, the first event, later ones. Well within what remains after compression, which is better
    // the fewer pieces there are, and so for a client that comes late.
    let cuts = [100, 700, 8_000, 8_001];
    let proxy = Proxy::start(host.address, &cuts).await;
    let types = ["run.started", "flood", "run.completed"];
    let Some(client) = Client::start("lost connections", proxy.address, stream_path(&run), &types) else {
        return;
    };
    let heard = client.rest().await;
    let events = events(&heard);
    assert!(events.iter().map(Event::seq).eq(1..=5002), "{} events", events.len());
    assert_eq!(events, host.follow(&run).await.rest().await);
    // The first cut came before the stream opened, and the last request was told not to come back.
    assert_eq!((count(&heard, "onopen"), count(&heard, "onerror")), (cuts.len(), cuts.len() + 2));
    is_over(&heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_host_is_survived_without_a_gap() {
    let host = TestHost::start().await;
    let proxy = Proxy::start(host.address, &[]).await;
    // Fetched now if they are not there: the run must outlast the start of the client.
    let _ = clients::node();
    let run = host.probe(json!({ "do": "steps", "n": 400, "ms": 20 })).await;
    let types = [
        "run.started",
        "begin",
        "step",
        "run.retrying",
        "run.queued",
        "run.stream-closing",
        "run.completed",
        "gap",
    ];
    let Some(mut client) = Client::start("a restart", proxy.address, stream_path(&run), &types) else {
        return;
    };
    let mut heard = Vec::new();
    while events(&heard).len() < 20 {
        heard.push(client.next().await.expect("the stream goes on"));
    }
    proxy.moved(None);
    let stopped = host.stop().await;
    while count(&heard, "onerror") < 2 {
        // It lost the old host, and found none when it came back.
        heard.push(client.next().await.expect("it tries again"));
    }
    let host = stopped.restart().await;
    proxy.moved(Some(host.address));
    heard.extend(client.rest().await);
    let mut events = events(&heard);
    let all = events.len();
    events.retain(|event| event.name != "run.stream-closing");
    assert_eq!(all - events.len(), 1, "told of the stop");
    assert_eq!(events, host.follow(&run).await.rest().await);
    assert!(events.iter().any(|event| event.name == "run.retrying"));
    is_over(&heard);
}
