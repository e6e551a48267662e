//! A small client of the host's own API, for the command line.

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

use super::format::NDJSON;

/// Most bytes of an answer that is read whole.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Time for a connection to be made.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{0:?} is not an address of a host, such as http://127.0.0.1:8080")]
    Address(String),
    /// Nobody answers there.
    #[error("can't reach a host at {address}: {}", cause(&**source))]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The host answered with an error.
    #[error("{detail}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// What it said.
        detail: String,
    },
    /// The connection broke, or the answer was none of this API.
    #[error("the connection broke off: {0}")]
    Broken(String),
}

/// What the system said, below what libraries make of it.
fn cause(mut error: &(dyn Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A host, by its address.
#[derive(Clone)]
pub struct Client {
    base: String,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// For the host at `address`, such as `http://127.0.0.1:8080`.
    pub fn new(address: &str) -> Result<Self, ClientError> {
        let faulty = || ClientError::Address(address.to_owned());
        let uri: Uri = address.parse().map_err(|_| faulty())?;
        if uri.scheme_str() != Some("http") || uri.authority().is_none() {
            return Err(faulty());
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIME));
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Ok(Self { base: address.trim_end_matches('/').to_owned(), pool })
    }

    /// `GET`, answered with JSON.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.json(Method::GET, path, &[], Bytes::new()).await
    }

    /// The same, unparsed.
    pub async fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let response = self.send(Method::GET, path, "application/json", &[], Bytes::new()).await?;
        let whole = whole(response).await?;
        String::from_utf8(whole.into()).map_err(|_| ClientError::Broken("the answer is not JSON".to_owned()))
    }

    /// `POST`, answered with JSON.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Value, ClientError> {
        self.json(Method::POST, path, headers, body).await
    }

    /// `PUT`, answered with JSON.
    pub async fn put(&self, path: &str, body: Bytes) -> Result<Value, ClientError> {
        self.json(Method::PUT, path, &[], body).await
    }

    /// `DELETE`, answered with JSON.
    pub async fn delete(&self, path: &str) -> Result<Value, ClientError> {
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

    /// `GET`, answered with lines of JSON as they come; none if there will never be
    /// any.
    pub async fn follow(&self, path: &str) -> Result<Option<Lines>, ClientError> {
        let response = self.send(Method::GET, path, NDJSON, &[], Bytes::new()).await?;
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
    let limited = http_body_util::Limited::new(response.into_body(), MAX_ANSWER_BYTES);
    let collected = limited.collect().await.map_err(|error| ClientError::Broken(error.to_string()))?;
    Ok(collected.to_bytes())
}

/// What a problem says of itself.
fn detail(status: StatusCode, body: &[u8]) -> String {
    let problem: Option<Value> = serde_json::from_slice(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    detail.map_or_else(|| status.to_string(), str::to_owned)
}

/// Lines of a stream.
pub struct Lines {
    body: Incoming,
    /// Received, and not yet given out.
    rest: BytesMut,
}

impl Lines {
    /// The next line without its end; none at the end of the stream. A stream that
    /// breaks off is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        // How far `rest` is known to have no line end, so that a long line is not searched again and again.
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
