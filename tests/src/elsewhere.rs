//! Another server, for guests that send requests: on the loopback interface, and
//! badly behaved on demand.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A server, by what it saw.
pub struct Elsewhere {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
    /// Connections that ended, by either side.
    closed: watch::Sender<usize>,
    /// Requests to `/gather/N` so far.
    gathered: watch::Sender<usize>,
    /// Names of answers whose second half may go.
    released: watch::Sender<BTreeSet<String>>,
}

impl Elsewhere {
    /// Serves until the test ends:
    ///
    /// - `/echo`: what it was sent, as text: the method, `authorization` or `x-kit`, and the body
    /// - `/to/LOCATION`: a redirect there
    /// - `/bytes/N`: so many, with a `Content-Length`
    /// - `/endless`: without one, and without an end
    /// - `/silence`, `/stall`: nothing at all; nothing after the first byte of the body
    /// - `/gather/N`: answers N requests when all of them are there, and the next N again
    /// - `/model/…`: a language model that says the last message word by word, as OpenAI's protocol has
    ///   it; without a key it refuses, with `busy` for a message too, and at the word `wait` it waits
    /// - `/halves/NAME`: `one`, and `other` when the test [releases](Self::release) it
    /// - `/list?page=N`: a JSON array of N numbers; the fourth is answered when the test releases `page`
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Seen {
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            closed: watch::Sender::new(0),
            gathered: watch::Sender::new(0),
            released: watch::Sender::default(),
        });
        let serving = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&serving);
                seen.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    // Whatever ends it: the client may do so at any time.
                    let _ = serve(stream, &seen).await;
                    seen.closed.send_modify(|count| *count += 1);
                });
            }
        });
        Self { address, seen }
    }

    /// `http://127.0.0.1:PORT` and the path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Lets the second half of the answer to `/halves/NAME` go.
    pub fn release(&self, name: &str) {
        self.seen.released.send_modify(|released| {
            released.insert(name.to_owned());
        });
    }

    /// Methods and paths, in the order in which they came.
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().clone()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many connections have ended.
    pub async fn closed(&self, count: usize) {
        let mut closed = self.seen.closed.subscribe();
        crate::soon("the end of a connection", closed.wait_for(|closed| *closed >= count))
            .await
            .expect("the server lives");
    }
}

async fn serve(stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length, mut authorization) = (String::new(), 0, String::new());
        if stream.read_line(&mut head).await? == 0 {
            return Ok(());
        }
        let mut chunked = false;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            match line.trim_end().split_once(": ") {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().unwrap_or(0);
                }
                Some((name, value)) if ["authorization", "x-kit"].contains(&&*name.to_lowercase()) => {
                    authorization = value.to_owned();
                }
                Some((name, _)) => chunked |= name.eq_ignore_ascii_case("transfer-encoding"),
            }
        }
        let body = if chunked { chunks(&mut stream).await? } else { bytes(&mut stream, length).await? };
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        seen.requests.lock().push(format!("{method} {path}"));
        answer(&mut stream, seen, [method, path, &authorization], &body).await?;
    }
}

async fn bytes(stream: &mut BufReader<TcpStream>, length: usize) -> std::io::Result<String> {
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

async fn chunks(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut body = String::new();
    loop {
        let mut size = String::new();
        stream.read_line(&mut size).await?;
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap_or(0);
        body.push_str(&bytes(stream, size).await?);
        stream.read_line(&mut String::new()).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn answer(
    stream: &mut BufReader<TcpStream>,
    seen: &Seen,
    [method, path, authorization]: [&str; 3],
    body: &str,
) -> std::io::Result<()> {
    let whole = |status: &str, more: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\n\r\n{body}", body.len())
    };
    let (word, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let text = match word {
        "echo" => whole("200 OK", "", &format!("{method} {authorization} {body}")),
        "to" => whole("302 Found", &format!("location: {rest}\r\n"), ""),
        "bytes" => whole("200 OK", "", &"x".repeat(rest.parse().unwrap_or(0))),
        "gather" => {
            gather(seen, rest.parse().unwrap_or(1)).await;
            whole("200 OK", "", "gathered")
        }
        "endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
            loop {
                stream.write_all(chunk.as_bytes()).await?;
            }
        }
        "halves" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\none").await?;
            stream.flush().await?;
            let _ = seen.released.subscribe().wait_for(|released| released.contains(rest)).await;
            "other".to_owned()
        }
        "model" => match refusal(authorization, body) {
            Some((status, message)) => {
                let error = serde_json::json!({ "error": { "message": message } }).to_string();
                whole(status, "content-type: application/json\r\nretry-after: 7\r\n", &error)
            }
            None => return say_word_by_word(stream, &last_message(body)).await,
        },
        // The page is the only parameter.
        list if list.starts_with("list?page=") => {
            let page: usize = list["list?page=".len()..].parse().unwrap_or(0);
            if page == 4 {
                let _ = seen.released.subscribe().wait_for(|released| released.contains("page")).await;
            }
            let items: Vec<usize> = (0..page).collect();
            whole("200 OK", "content-type: application/json\r\n", &serde_json::json!(items).to_string())
        }
        "stall" => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx".to_owned(),
        // Until the client goes away.
        _ => String::new(),
    };
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await
}

fn last_message(body: &str) -> String {
    let request: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let messages = request["messages"].as_array().cloned().unwrap_or_default();
    let last = messages.last().and_then(|message| message["content"].as_str());
    last.filter(|_| request["stream"] == true).unwrap_or_default().to_owned()
}

fn refusal(authorization: &str, body: &str) -> Option<(&'static str, &'static str)> {
    match () {
        () if !authorization.starts_with("Bearer ") => Some(("401 Unauthorized", "no key")),
        () if last_message(body) == "busy" => Some(("429 Too Many Requests", "too many at once")),
        () => None,
    }
}

async fn say_word_by_word(stream: &mut BufReader<TcpStream>, text: &str) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    for word in text.split_inclusive(' ') {
        if word.trim() == "wait" {
            stream.flush().await?;
            // Until the client goes away.
            stream.read_exact(&mut [0]).await?;
        }
        let part = serde_json::json!({ "choices": [{ "delta": { "content": word } }] });
        event(stream, &part.to_string()).await?;
    }
    event(stream, r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#).await?;
    event(stream, r#"{"choices":[],"usage":{"total_tokens":7}}"#).await?;
    event(stream, "[DONE]").await?;
    stream.write_all(b"0\r\n\r\n").await?;
    stream.flush().await
}

async fn event(stream: &mut BufReader<TcpStream>, data: &str) -> std::io::Result<()> {
    let event = format!("data: {data}\n\n");
    stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
    stream.flush().await
}

/// Waits until `count` have come, of this round.
async fn gather(seen: &Seen, count: usize) {
    let mut gathered = seen.gathered.subscribe();
    let mut nth = 0;
    seen.gathered.send_modify(|there| {
        *there += 1;
        nth = *there;
    });
    let round = nth.div_ceil(count) * count;
    let _ = gathered.wait_for(|there| *there >= round).await;
}
