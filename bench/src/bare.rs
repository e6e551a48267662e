//! The limits: the same work without a host around it.

use std::convert::Infallible;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rusqlite::{Connection, OpenFlags, params};
use tokio::net::TcpListener;

/// Rows of one transaction of the bare loop.
const ROWS_PER_TRANSACTION: usize = 1000;

/// Inserts the newest events of the database `from`, so many, into a table of the same
/// form in `folder`, in a loop that does nothing else; rows a second.
pub(crate) fn insert_rate(from: &Path, folder: &Path, count: usize) -> f64 {
    let source =
        Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the host's database");
    let table: String = source
        .query_row("SELECT sql FROM sqlite_schema WHERE name = 'events'", [], |row| row.get(0))
        .expect("the host's schema");
    let mut rows = source
        .prepare("SELECT id, attempt, time, type, data FROM events ORDER BY id DESC LIMIT ?1")
        .expect("the host's schema");
    let mut rows: Vec<(i64, u32, i64, String, String)> = rows
        .query_map([count as i64], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .and_then(Iterator::collect)
        .expect("the host's rows");

    // Appended in order, as the host does.
    rows.reverse();
    let mut db = Connection::open(folder.join("bare.db")).expect("a writable folder");
    db.pragma_update(None, "journal_mode", "WAL").expect("SQLite");
    db.pragma_update(None, "synchronous", "FULL").expect("SQLite");
    db.execute_batch(&table).expect("the host's schema");
    let began = Instant::now();
    for chunk in rows.chunks(ROWS_PER_TRANSACTION) {
        let transaction = db.transaction().expect("SQLite");
        {
            let mut insert = transaction
                .prepare_cached(
                    "INSERT INTO events (id, attempt, time, type, channel, content_type, data) \
                     VALUES (?1, ?2, ?3, ?4, NULL, NULL, ?5)",
                )
                .expect("the host's schema");
            for (id, attempt, time, kind, data) in chunk {
                insert.execute(params![id, attempt, time, kind, data]).expect("SQLite");
            }
        }
        transaction.commit().expect("SQLite");
    }
    rows.len() as f64 / began.elapsed().as_secs_f64()
}

/// Events that the bare server gathers into one frame.
const GATHERED: usize = 256;

/// Serves the events of a file from memory to every client, until killed. Prints
/// its address.
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
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let _ = writeln!(std::io::stdout(), "{address}");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let frames = Arc::clone(&frames);
        let service = service_fn(move |_: Request<hyper::body::Incoming>| {
            let frames = Arc::clone(&frames);
            let mut nth = 0;
            let body = futures_frames(move || {
                let frame = frames.get(nth).cloned();
                nth += 1;
                frame
            });
            async move { Ok::<_, Infallible>(Response::new(StreamBody::new(body))) }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

fn futures_frames(
    mut next: impl FnMut() -> Option<Bytes>,
) -> impl futures_core::Stream<Item = Result<Frame<Bytes>, Infallible>> {
    futures_util::stream::poll_fn(move |_| std::task::Poll::Ready(next().map(|bytes| Ok(Frame::data(bytes)))))
}
