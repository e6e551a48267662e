//! Servers that only use hyper, each a separate process like the host.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream::{iter, unfold};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

/// Events that the bare server combines into one frame.
const GATHERED: usize = 256;
/// Most events that a client of the ticking server can lag behind.
const BEHIND: usize = 10_000;

/// A running bare server. Killed when dropped.
pub(crate) struct Bare {
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Bare {
    /// Starts this program with the arguments for a bare server.
    pub(crate) fn start(arguments: &[OsString]) -> Self {
        let exe = std::env::current_exe().expect("a running program");
        let mut process =
            Command::new(exe).args(arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("an address");
        Self { address: line.trim().parse().expect("an address"), process }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves the events of a file from memory to all clients, until killed. Prints its address.
pub(crate) async fn serve(file: &Path) {
    let bytes = Bytes::from(std::fs::read(file).expect("the file"));
    let mut frames = Vec::new();
    let (mut start, mut count) = (0, 0);
    for end in memchr::memmem::find_iter(&bytes, b"\n\n") {
        count += 1;
        if count % GATHERED == 0 {
            frames.push(bytes.slice(start..end + 2));
            start = end + 2;
        }
    }
    frames.push(bytes.slice(start..));
    let frames: Arc<[Bytes]> = frames.into();
    accept(move || {
        let frames = Arc::clone(&frames);
        iter(0..frames.len()).map(move |nth| Ok(Frame::data(frames[nth].clone())))
    })
    .await;
}

/// Sends a number of events in the host's format to all clients, one every 10 ms, beginning a while
/// after the start. Prints its address.
pub(crate) async fn tick(ticks: u32, wait: Duration) {
    let (sender, _) = broadcast::channel(BEHIND);
    let source = sender.downgrade();
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        let mut clock = tokio::time::interval(Duration::from_millis(10));
        for nth in 0..ticks {
            clock.tick().await;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            let seconds = now.as_millis() % 60_000;
            let event = format!(
                "id: {nth}\nevent: tick\ndata: {{\"type\":\"tick\",\"data\":{{\"n\":{nth},\"late_us\":100}},\
                 \"timestamp\":\"2025-01-15T12:34:{:02}.{:03}Z\",\"seq\":{nth},\"attempt\":1,\
                 \"_task_id\":\"0193d3c4-0000-7000-8000-000000000000\",\"_app\":\"bench\",\"_model\":\"probe\"}}\n\n",
                seconds / 1000,
                seconds % 1000
            );
            let _ = sender.send(Bytes::from(event));
        }
    });
    accept(move || {
        let events = source.upgrade().map(|sender| sender.subscribe());
        unfold(events, async |events| {
            let mut events = events?;
            let event = events.recv().await.ok()?;
            Some((Ok(Frame::data(event)), Some(events)))
        })
    })
    .await;
}

/// Responds to every request with a separate stream.
async fn accept<S>(body: impl Fn() -> S + Clone + Send + Sync + 'static)
where
    S: Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let _ = writeln!(std::io::stdout(), "{address}");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let body = body.clone();
        let service = service_fn(move |_: Request<Incoming>| {
            let body = StreamBody::new(Box::pin(body()));
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}
