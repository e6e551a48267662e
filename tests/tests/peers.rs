//! Clients that lose their network, and clients that read nothing: what becomes of them, and what they cost.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, RawFd};
use std::time::{Duration, Instant};

use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use streamtask_tests::{ChildHost, Folders, TestHost, dead, eventually, soon, stream_path};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Time in which a dead peer has to be gone.
const NOTICED: Duration = Duration::from_secs(45);
/// Time for which a living one may read nothing.
const PAUSE: Duration = Duration::from_secs(90);
/// What a reader that reads nothing may cost.
const READER_BYTES: u64 = 128 << 10;
/// The same of one that has read so much before it stopped, while there are few of them: then it has 512 KiB in the
/// kernel.
const STOPPED_READER_BYTES: u64 = 640 << 10;
const READ_BEFORE: usize = 3 << 20;
/// A handshake for a WebSocket.
const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Connects with a small window, which is soon full.
async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a socket");
    soon("connecting", socket.connect(address)).await.expect("connects")
}

/// Asks for a stream and reads the beginning of its head, no more.
async fn ask(address: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let mut stream = connect(address).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("a living connection");
    let mut begin = [0; 12];
    soon("the head", stream.read_exact(&mut begin)).await.expect("a head");
    assert!(matches!(&begin[9..], b"200" | b"101"), "{path}: {:?}", std::str::from_utf8(&begin));
    stream
}

/// The same over HTTP/2, of which the body is not read.
async fn ask_http_2(address: SocketAddr, path: &str) -> (RawFd, Response<Incoming>) {
    let stream = connect(address).await;
    let socket = stream.as_raw_fd();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = soon("the handshake", handshake).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::get(format!("http://{address}{path}")).header("accept", "text/event-stream");
    let request = request.body(Empty::<bytes::Bytes>::new()).expect("a request");
    let response = soon("the head", sender.send_request(request)).await.expect("a head");
    // Kept until the end of the test: without it, the connection ends.
    std::mem::forget(sender);
    (socket, response)
}

async fn readers(host: &TestHost, run: &Value) -> usize {
    let status = host.get(&format!("{}/status", stream_path(run))).await.json();
    status["clients"].as_array().expect("a list").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_peers_are_noticed_in_every_form_and_living_ones_that_read_nothing_stay() {
    let host = TestHost::start().await;
    let quiet = host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    let busy = host.probe(json!({ "do": "ticks", "n": 1000, "ms": 500 })).await;
    // More than any window.
    let full = host.run(json!({ "do": "flood", "events": 5000, "bytes": 4000 })).await;
    let (mut sockets, mut dead, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    let mut expected = Vec::new();
    for run in [&quiet, &busy, &full] {
        let path = stream_path(run);
        let before = dead.len();
        let id = run["id"].as_str().unwrap();
        for (path, headers) in [
            (path.to_owned(), "accept: text/event-stream\r\n"),
            (format!("{path}?heartbeat=2"), "accept: text/event-stream\r\n"),
            (format!("{path}?format=ndjson"), ""),
            (format!("{path}?format=text"), ""),
            (format!("{path}?format=bytes"), ""),
            (path.to_owned(), "accept: text/event-stream\r\naccept-encoding: gzip\r\n"),
            (path.to_owned(), UPGRADE),
            (format!("{path}?heartbeat=2"), UPGRADE),
            (format!("/api/events?run={id}&format=ndjson"), ""),
        ] {
            // Such a run says neither text nor bytes, so there is nothing that could wait to be read.
            if std::ptr::eq(run, &full) && (path.contains("format=text") || path.contains("format=bytes")) {
                continue;
            }
            sockets.push(ask(host.address, &path, headers).await);
            dead.push(sockets.last().unwrap().as_raw_fd());
        }
        let (socket, body) = ask_http_2(host.address, path).await;
        dead.push(socket);
        bodies.push(body);
        expected.push(dead.len() - before);
    }
    // Of the living, each says HTTP/1.0, so that its body is all that follows the head.
    let mut living = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(host.address).await;
        let request = format!("GET {}?format=ndjson HTTP/1.0\r\n\r\n", stream_path(&full));
        stream.write_all(request.as_bytes()).await.unwrap();
        living.push(stream);
    }
    expected[2] += living.len();
    let runs = [&quiet, &busy, &full];
    for (run, expected) in runs.iter().zip(&expected) {
        eventually("all readers are there", || async { readers(&host, run).await == *expected }).await;
    }

    for socket in &dead {
        eventually("nothing is under way from it", async || dead::is_acknowledged(*socket)).await;
        dead::cut_off(*socket);
    }
    let began = Instant::now();
    for (run, left) in runs.iter().zip([0, 0, living.len()]) {
        eventually("the dead are gone", || async { readers(&host, run).await == left }).await;
    }
    assert!(began.elapsed() < NOTICED, "after {:?}", began.elapsed());

    tokio::time::sleep(PAUSE.saturating_sub(began.elapsed())).await;
    assert_eq!(readers(&host, &full).await, living.len(), "they are alive");
    let whole = host.read_stream(&full, "format=ndjson", "").await.body;
    for mut stream in living {
        let mut answer = Vec::new();
        soon("reading on", stream.read_to_end(&mut answer)).await.expect("a living connection");
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
        assert!(answer[head..] == whole, "{} of {} bytes", answer.len() - head, whole.len());
    }
}

/// Memory of a process that is no file's, in bytes.
fn memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a Linux system");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a Linux system");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

/// Bytes that the kernel has taken from the host and its clients have not.
fn unread(address: SocketAddr) -> u64 {
    let own = format!("0100007F:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("a Linux system");
    let sockets = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let queues = sockets.filter(|socket| socket[1] == own).filter_map(|socket| {
        socket[4].split(':').next().and_then(|bytes| u64::from_str_radix(bytes, 16).ok())
    });
    queues.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reads_nothing_costs_little_whatever_the_size_of_the_events() {
    let folders = Folders::new();
    let host = folders.start(&["--durability", "normal"]);
    for bytes in [250, 20_000, 1_000_000] {
        stalled_readers_cost(&host, bytes, 0, READER_BYTES).await;
    }
    stalled_readers_cost(&host, 20_000, READ_BEFORE, STOPPED_READER_BYTES).await;
}

/// What readers cost in each form that take in `read` bytes of a run's events, and then nothing more.
async fn stalled_readers_cost(host: &ChildHost, bytes: usize, read: usize, most: u64) {
    const READERS: u64 = 60;
    let run = host.run(json!({ "do": "flood", "events": 40_000_000 / bytes, "bytes": bytes })).await;
    let path = stream_path(&run);
    let events = format!("/api/events?run={}", run["id"].as_str().unwrap());
    for (path, headers) in [
        (path, "accept: text/event-stream\r\n"),
        (path, "accept: application/x-ndjson\r\n"),
        (path, UPGRADE),
        (&events, "accept: text/event-stream\r\n"),
    ] {
        let open = async |count: u64| {
            let mut all = Vec::new();
            for _ in 0..count {
                let mut reader = ask(host.address, path, headers).await;
                soon("reading", reader.read_exact(&mut vec![0; read])).await.expect("a living connection");
                all.push(reader);
            }
            // Until nothing moves any more.
            let (mut before, mut same) = (u64::MAX, 0);
            while same < 5 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let now = unread(host.address);
                same = if now == before { same + 1 } else { 0 };
                before = now;
            }
            all
        };
        // What all readers share is there after the first.
        let first = open(4).await;
        let (own, kernel) = (memory(host.id()), unread(host.address));
        let all = open(READERS).await;
        let own = memory(host.id()).saturating_sub(own) / READERS;
        let kernel = unread(host.address).saturating_sub(kernel) / READERS;
        let what =
            format!("{bytes} B, after {read}, {path}, {headers:?}: {} + {} KiB", own >> 10, kernel >> 10);
        println!("{what}");
        assert!(kernel > 0 && own + kernel <= most, "{what}");
        drop((first, all));
    }
}
