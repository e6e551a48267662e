//! Measures one run with many clients, compared with a bare server that writes the same bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::bare::Bare;
use crate::client::{Client, open_stream_with, read_to_end};
use crate::host::BenchHost;
use crate::report::{Report, print};

/// The forms in which a stream is requested.
const PLAIN: &str = "accept: text/event-stream\r\nconnection: close\r\n";
const GZIP: &str = "accept: text/event-stream\r\naccept-encoding: gzip\r\nconnection: close\r\n";
const WEBSOCKET: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// The content of a WebSocket's last message; the client then closes the connection.
const END: &[u8] = b"\"run.completed\"";
/// Bytes of the response's head and of the events before the flood; the measurement starts when a
/// client has received more.
const OPENING_BYTES: usize = 2048;

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    for (clients, events) in [(100, 200_000 / scale), (1000, 20_000 / scale)] {
        print(&format!("\nfan-out of {events} events to {clients} clients\n"));
        let host = BenchHost::start(&["--durability", "full"]);
        let mut api = Client::open(host.address).await;
        // Waits until all clients are connected, then sends as fast as possible.
        let wait = 500 + 2 * clients;
        let body = format!("{{\"do\":\"flood\",\"events\":{events},\"bytes\":60,\"wait_ms\":{wait}}}");
        let run = api.json("POST", "/api/tasks/bench/probe/runs", &body).await;
        let path = run["stream"].as_str().expect("a run").to_owned();
        let (seconds, bytes) = read_all(host.address, &path, clients, PLAIN).await;
        let delivered = f64::from(clients as u32) * f64::from(events);
        let rate = delivered / seconds;
        for (form, headers) in [("gzip", GZIP), ("WebSocket", WEBSOCKET)] {
            let run = api.json("POST", "/api/tasks/bench/probe/runs", &body).await;
            let path = run["stream"].as_str().expect("a run");
            let (seconds, _) = read_all(host.address, path, clients, headers).await;
            report.ratio(
                &format!("the same with {form}"),
                delivered / seconds,
                ("the plain stream's", rate),
                0.5,
            );
        }

        let file = host.data().join("stream.txt");
        std::fs::write(&file, dechunked(&bytes)).expect("a writable folder");
        let bare = Bare::start(&["--serve-bare".into(), file.into()]);
        let (seconds, _) = read_all(bare.address, "/", clients, PLAIN).await;
        drop(bare);
        let limit = f64::from(clients as u32) * f64::from(events) / seconds;
        report.ratio(&format!("fan-out to {clients} clients"), rate, ("a bare hyper server's", limit), 0.5);
    }
}

/// Reads a stream with many clients. Returns the seconds from the first event to the end of the
/// last client, and the bytes of one client.
async fn read_all(address: SocketAddr, path: &str, clients: usize, headers: &'static str) -> (f64, Vec<u8>) {
    let first: Arc<Mutex<Option<Instant>>> = Arc::default();
    let mut readers = JoinSet::new();
    for nth in 0..clients {
        let mut stream = open_stream_with(address, "GET", path, headers, "").await;
        let first = Arc::clone(&first);
        readers.spawn(async move {
            let (mut total, mut kept) = (0, Vec::new());
            read_to_end(&mut stream, |bytes| {
                if total <= OPENING_BYTES && total + bytes.len() > OPENING_BYTES {
                    first.lock().get_or_insert_with(Instant::now);
                }
                total += bytes.len();
                if nth == 0 && headers == PLAIN {
                    kept.extend_from_slice(bytes);
                }
                headers != WEBSOCKET || memchr::memmem::find(bytes, END).is_none()
            })
            .await;
            (total, kept)
        });
    }
    let (mut totals, mut content) = (Vec::new(), Vec::new());
    while let Some(read) = readers.join_next().await {
        let (total, kept) = read.expect("a reader");
        totals.push(total);
        content.extend(kept);
    }
    let began = first.lock().expect("events came");
    let seconds = began.elapsed().max(Duration::from_micros(1)).as_secs_f64();
    let (least, most) = (totals.iter().min(), totals.iter().max());
    // Chunks can differ, but events can't; and smaller compressed pieces are longer in total.
    let of_most = if headers == GZIP { 8 } else { 9 };
    assert!(
        least.zip(most).is_some_and(|(least, most)| least * 10 > most * of_most),
        "everyone got everything: {least:?} {most:?}"
    );
    (seconds, content)
}

/// The body of a chunked response.
fn dechunked(answer: &[u8]) -> Vec<u8> {
    let head = memchr::memmem::find(answer, b"\r\n\r\n").expect("a head") + 4;
    let (mut rest, mut body) = (&answer[head..], Vec::new());
    while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        let size =
            std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.expect("a chunk's size");
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
    body
}
