//! Measures clients that do not read, and dead clients: their cost, and when the host drops them.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::client::Client;
use crate::host::BenchHost;
use crate::report::{Report, print};

/// Target: the cost of one client in KiB, including its kernel memory.
const WANTED_KIB: f64 = 128.0;
/// Size of a log that exceeds all buffers of a client that does not read.
const LOG_BYTES: u64 = 40_000_000;
/// The smallest possible receive window, because the memory of clients is not measured.
const WINDOW_BYTES: u32 = 4096;
/// A memory page of the kernel.
const PAGE_BYTES: f64 = 4096.0;
/// Time until all buffers are full.
const REST: Duration = Duration::from_secs(2);

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    let count = 1000 / scale;
    print(&format!("\n{count} clients that read nothing\n"));
    for bytes in [250, 20_000, 1_000_000] {
        let host = BenchHost::start(&["--durability", "normal"]);
        let mut api = Client::open(host.address).await;
        let input = json!({ "do": "flood", "events": LOG_BYTES / bytes, "bytes": bytes });
        let run = api.start("probe", &input).await;
        api.finished(&run).await;
        let stream = format!("/stream/bench/probe/{run}");
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        for (form, path, headers) in [
            ("SSE", &stream, "accept: text/event-stream\r\n"),
            ("NDJSON", &stream, "accept: application/x-ndjson\r\n"),
            ("WebSocket", &stream, upgrade),
            ("several runs", &format!("/api/events?run={run}"), "accept: text/event-stream\r\n"),
        ] {
            // The first client allocates the memory that all share.
            let first = open(host.address, path, headers).await;
            tokio::time::sleep(REST).await;
            let (own, kernel) = (host.anonymous_memory(), kernel_memory());
            let mut all = Vec::new();
            for _ in 0..count {
                all.push(open(host.address, path, headers).await);
            }
            tokio::time::sleep(REST).await;
            let own = (host.anonymous_memory() - own) / f64::from(count) / 1024.0;
            let kernel = (kernel_memory() - kernel) / f64::from(count) / 1024.0;
            let what = format!(
                "a {form} client that reads nothing, events of {bytes} B ({kernel:.0} KiB in the kernel)"
            );
            report.at_most(&what, own + kernel, "KiB", WANTED_KIB);
            drop((first, all));
            tokio::time::sleep(REST).await;
        }
    }
    dead(report).await;
}

async fn open(address: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(WINDOW_BYTES).expect("a socket");
    let mut stream = socket.connect(address).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("a living connection");
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.expect("a head");
    stream
}

/// The memory of all TCP sockets of this machine, in bytes.
fn kernel_memory() -> f64 {
    let sockets = fs::read_to_string("/proc/net/sockstat").expect("a Linux system");
    let line = sockets.lines().find(|line| line.starts_with("TCP:")).expect("a Linux system");
    let pages: f64 =
        line.split(" mem ").nth(1).and_then(|pages| pages.trim().parse().ok()).expect("a number");
    pages * PAGE_BYTES
}

/// Seconds until the host detects dead clients of a silent run and of one that sends.
async fn dead(report: &mut Report) {
    let host = BenchHost::start(&["--durability", "normal"]);
    let mut api = Client::open(host.address).await;
    let silent = api.start("probe", &json!({ "do": "sleep", "ms": 600_000 })).await;
    let writes = api.start("probe", &json!({ "do": "ticks", "n": 10_000, "ms": 100 })).await;
    let mut clients = Vec::new();
    for nth in 0..100 {
        let run = if nth % 2 == 0 { &silent } else { &writes };
        clients.push(open(host.address, &format!("/stream/bench/probe/{run}?heartbeat=0"), "").await);
    }
    tokio::time::sleep(REST).await;
    clients.iter().for_each(cut_off);
    let began = Instant::now();
    let reads = async |api: &mut Client, run: &str| {
        let status = api.json("GET", &format!("/stream/bench/probe/{run}/status"), "").await;
        status["clients"].as_array().is_some_and(|clients| !clients.is_empty())
    };
    while reads(&mut api, &silent).await || reads(&mut api, &writes).await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    report.at_most("100 dead clients are noticed after", began.elapsed().as_secs_f64(), "s", 45.0);
}

/// Lets the kernel drop all packets for a client, as if its network were gone.
fn cut_off(client: &TcpStream) {
    let mut program = [libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 }];
    let filter = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which outlives the call.
    let done = unsafe {
        libc::setsockopt(
            client.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of_val(&filter) as libc::socklen_t,
        )
    };
    assert!(done == 0, "{}", std::io::Error::last_os_error());
}
