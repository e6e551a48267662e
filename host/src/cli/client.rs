//! A client of the host's HTTP API.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Largest response that is read as a whole, in bytes.
const MAX_RESPONSE_BYTES: usize = 64 << 20;
/// Time allowed for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An error of a request.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is not a URL of a host.
    #[error("{0:?} is not an address of a host, such as http://127.0.0.1:8080")]
    Address(String),
    /// No connection to the host.
    #[error("can't reach a host at {address}: {}", cause(&**source))]
    Unreachable {
        /// The address of the host.
        address: String,
        /// The reason.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The host answered with an error.
    #[error("{detail}")]
    Refused {
        /// The status of the response.
        status: StatusCode,
        /// The detail of the error.
        detail: String,
    },
    /// The connection broke, or the response does not belong to this API.
    #[error("the connection broke off: {0}")]
    Broken(String),
}

/// The innermost error, which is usually the system's; libraries only wrap it.
fn cause(mut error: &(dyn Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A client of one host.
#[derive(Clone)]
pub(super) struct Client {
    base: String,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// Create a client of the host at `address`, such as `http://127.0.0.1:8080`.
    pub(super) fn new(address: &str) -> Result<Self, ClientError> {
        let faulty = || ClientError::Address(address.to_owned());
        let uri: Uri = address.parse().map_err(|_| faulty())?;
        if uri.scheme_str() != Some("http") || uri.authority().is_none() {
            return Err(faulty());
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Ok(Self { base: address.trim_end_matches('/').to_owned(), pool })
    }

    /// The URL of the host, without a slash at its end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Send a `GET` request and parse the JSON response.
    pub(super) async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.json(Method::GET, path, &[], Bytes::new()).await
    }

    /// Send a `GET` request and return the JSON response as text.
    pub(super) async fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let response = self.send(Method::GET, path, "application/json", &[], Bytes::new()).await?;
        let whole = whole(response).await?;
        String::from_utf8(whole.into()).map_err(|_| ClientError::Broken("the answer is not JSON".to_owned()))
    }

    /// Send a `POST` request and parse the JSON response.
    pub(super) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Value, ClientError> {
        self.json(Method::POST, path, headers, body).await
    }

    /// Send a `PUT` request and parse the JSON response.
    pub(super) async fn put(&self, path: &str, body: Bytes) -> Result<Value, ClientError> {
        self.json(Method::PUT, path, &[], body).await
    }

    /// Upload a task file and parse the JSON response. `None` if the host has stored the file, but not loaded it yet.
    pub(super) async fn upload(&self, path: &str, wasm: Bytes) -> Result<Option<Value>, ClientError> {
        let headers = [("content-type", "application/wasm")];
        let response = self.send(Method::PUT, path, "application/json", &headers, wasm).await?;
        let whole = whole(response).await?;
        if whole.is_empty() {
            return Ok(None);
        }
        let parsed = serde_json::from_slice(&whole);
        parsed.map(Some).map_err(|error| ClientError::Broken(format!("the answer is not JSON: {error}")))
    }

    /// Send a `GET` request for a file, which is read in pieces.
    pub(super) async fn download(&self, path: &str) -> Result<Pieces, ClientError> {
        let response = self.send(Method::GET, path, "*/*", &[], Bytes::new()).await?;
        Ok(Pieces(response.into_body()))
    }

    /// Send a `DELETE` request and parse the JSON response.
    pub(super) async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.json(Method::DELETE, path, &[], Bytes::new()).await
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Value, ClientError> {
        let response = self.send(method, path, "application/json", headers, body).await?;
        let whole = whole(response).await?;
        serde_json::from_slice(&whole)
            .map_err(|error| ClientError::Broken(format!("the answer is not JSON: {error}")))
    }

    /// Open a stream of JSON lines. `None` if the stream has ended and has no more events.
    pub(super) async fn follow(&self, path: &str) -> Result<Option<Lines>, ClientError> {
        let response = self.send(Method::GET, path, "application/x-ndjson", &[], Bytes::new()).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        Ok(Some(Lines { body: response.into_body(), rest: BytesMut::new() }))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::ACCEPT, HeaderValue::from_static(accept));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request =
            request.body(Full::new(body)).map_err(|error| ClientError::Broken(error.to_string()))?;
        let unreachable =
            |error| ClientError::Unreachable { address: self.base.clone(), source: Box::new(error) };
        let response = self.pool.request(request).await.map_err(unreachable)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let detail = match whole(response).await {
            Ok(body) => detail(status, &body),
            Err(_) => status.to_string(),
        };
        Err(ClientError::Refused { status, detail })
    }
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let limited = http_body_util::Limited::new(response.into_body(), MAX_RESPONSE_BYTES);
    let collected = limited.collect().await.map_err(|error| ClientError::Broken(error.to_string()))?;
    Ok(collected.to_bytes())
}

/// The `detail` of a problem, or the status if the body is none.
fn detail(status: StatusCode, body: &[u8]) -> String {
    let problem: Option<Value> = serde_json::from_slice(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    detail.map_or_else(|| status.to_string(), str::to_owned)
}

/// The content of a file, of any length.
pub(super) struct Pieces(Incoming);

impl Pieces {
    /// Return the next piece, or `None` at the end. A file that breaks off is an error.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.0.frame().await {
            let frame = frame.map_err(|error| ClientError::Broken(error.to_string()))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// The lines of a stream.
pub(super) struct Lines {
    body: Incoming,
    /// Received bytes that `next` has not returned yet.
    rest: BytesMut,
}

impl Lines {
    /// Return the next line without its line end, or `None` at the end of the stream. A stream that breaks off is an
    /// error.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        // `rest` has no line end before this index, so a long line is searched only once.
        let mut searched = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.rest[searched..]) {
                let mut line = self.rest.split_to(searched + end + 1);
                line.truncate(line.len() - 1);
                return Ok(Some(line.freeze()));
            }
            searched = self.rest.len();
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(ClientError::Broken(error.to_string())),
                None if self.rest.is_empty() => return Ok(None),
                None => return Ok(Some(self.rest.split().freeze())),
            }
        }
    }
}
