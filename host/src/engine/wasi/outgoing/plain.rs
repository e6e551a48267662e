//! Requests of programs without `wasi:http`: a whole request and response in one call.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request};
use wasmtime_wasi_http::{Error, RequestOptions, WasiHttpHooks as _};

use super::requests::{Denied, MAX_HEADER_BYTES, Outgoing, target};
use crate::model::{Refusal, RefusalCode};

/// Largest response. The host holds it in memory, and once more in Base64.
const MAX_RESPONSE_BYTES: usize = 8 << 20;

/// A whole request.
pub(in crate::engine) struct PlainRequest {
    pub(in crate::engine) method: String,
    pub(in crate::engine) url: String,
    pub(in crate::engine) headers: Vec<(String, String)>,
    pub(in crate::engine) body: Vec<u8>,
    /// Timeout until the head of the response, in addition to that of the grant.
    pub(in crate::engine) timeout: Option<Duration>,
}

/// A whole response.
pub(in crate::engine) struct PlainResponse {
    pub(in crate::engine) status: u16,
    pub(in crate::engine) headers: Vec<(String, String)>,
    pub(in crate::engine) body: Bytes,
}

impl Outgoing {
    /// Sends the request, if it is granted. It starts when the future is polled.
    pub(in crate::engine) fn send_plain(
        &mut self,
        request: PlainRequest,
    ) -> Result<impl Future<Output = Result<PlainResponse, Refusal>> + Send + use<>, Refusal> {
        let options = RequestOptions { first_byte_timeout: request.timeout, ..RequestOptions::default() };
        let request = build_request(request)?;
        if let Ok(target) = target(&request) {
            let denied = |Denied(logged)| Refusal::new(RefusalCode::Denied, logged);
            self.rule_for(&target).map_err(denied)?;
        }
        let sent = self.send_request(request, Some(options), Box::new(std::future::ready(Ok(()))));
        Ok(async move {
            let (response, _) = Box::into_pin(sent).await.map_err(refusal)?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await.map_err(|error| match error
                .downcast::<Error>(
            ) {
                Ok(error) => refusal(*error),
                Err(_) => Refusal::new(
                    RefusalCode::TooLarge,
                    format!("the response has more than {MAX_RESPONSE_BYTES} bytes"),
                ),
            })?;
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let headers = head.headers.iter();
            Ok(PlainResponse {
                status: head.status.as_u16(),
                headers: headers
                    .map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())))
                    .collect(),
                body: body.to_bytes(),
            })
        })
    }
}

fn build_request(request: PlainRequest) -> Result<Request<wasmtime_wasi_http::WasiBody>, Refusal> {
    let invalid = |message: String| Refusal::new(RefusalCode::InvalidArgument, message);
    let bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES {
        return Err(Refusal::too_large("the request's headers", bytes, MAX_HEADER_BYTES));
    }
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| invalid(format!("{:?} is not an HTTP method", request.method)))?;
    let mut built = Request::builder().method(method).uri(&request.url);
    for (name, value) in &request.headers {
        if !is_connection_header(name) {
            built = built.header(name, value);
        }
    }
    let body = Full::new(Bytes::from(request.body)).map_err(|never| match never {}).boxed_unsync();
    built.body(body).map_err(|error| invalid(format!("the request can't be sent: {error}")))
}

/// Whether a header describes the connection, and so is set by the client.
fn is_connection_header(name: &str) -> bool {
    ["host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "content-length"]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own))
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::HttpRequestDenied | Error::DestinationIpProhibited => Refusal::new(
            RefusalCode::Denied,
            "the request is not granted; the run's log says what is missing",
        ),
        Error::HttpRequestUriInvalid | Error::HttpRequestMethodInvalid => {
            Refusal::new(RefusalCode::InvalidArgument, format!("the request can't be sent: {error}"))
        }
        error => Refusal::new(RefusalCode::Unavailable, format!("the request failed: {error}")),
    }
}
