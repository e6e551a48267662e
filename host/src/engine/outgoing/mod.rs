//! Requests that guests send (`wasi:http/outgoing-handler`, and `client` of 0.3), as far
//! as they are granted.
//!
//! Redirects are not followed: the guest sees them, and what it asks for next is
//! checked like any other request.
//!
//! The only folder besides `http/` that names hyper.

mod address;
mod connector;
mod network;
mod plain;
mod response;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use hyper::{Method, Request, Response};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

use super::grants::{Grants, HostName, HttpGrant, HttpScheme, Target, decide};
use super::stdio::GuestOutput;

pub(super) use network::Network;
pub(super) use plain::PlainRequest;

/// Requests of one attempt under way at once; more wait.
const MAX_REQUESTS: usize = 16;
/// Bytes of a request's body that a guest hands over in one call. Two such pieces wait
/// for the network, of each request that a guest has begun.
const BODY_PIECE_BYTES: usize = 16 << 10;
/// Most bytes of the headers that a guest puts together, with what they cost in memory.
const MAX_HEADER_BYTES: usize = 16 << 10;

type Sent = Result<(Response<WasiBody>, Transfer), Error>;
/// What goes on after the head of the response: nothing, the client does it.
type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// A place in the queue of one guest's requests.
type Waiting = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// One guest's way out.
pub(super) struct Outgoing {
    grants: Arc<Grants>,
    network: Arc<Network>,
    output: GuestOutput,
    /// Made by the first request.
    permits: Option<Arc<Semaphore>>,
}

/// The context that keeps headers within bounds.
pub(super) fn context() -> WasiHttpCtx {
    let mut context = WasiHttpCtx::new();
    context.set_field_size_limit(MAX_HEADER_BYTES);
    context
}

impl Outgoing {
    pub(super) fn new(grants: Arc<Grants>, network: Arc<Network>, output: GuestOutput) -> Self {
        Self { grants, network, output, permits: None }
    }

    /// The rule that allows the request. What is denied is told in the log, because the
    /// error has no room for words.
    fn granted(&self, request: &Request<WasiBody>) -> Result<HttpGrant, Error> {
        let target = target(request)?;
        self.rule_for(&target).map_err(|_| Error::HttpRequestDenied)
    }

    /// The same; else what was told.
    fn rule_for(&self, target: &Target) -> Result<HttpGrant, String> {
        let rule = decide(&self.grants.http, target);
        rule.cloned().map_err(|missing| self.output.deny(target, &missing.what, missing.file.as_deref()))
    }
}

fn target(request: &Request<WasiBody>) -> Result<Target, Error> {
    let uri = request.uri();
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    // A name before an `@` only serves to mislead.
    if authority.as_str().contains('@') {
        return Err(Error::HttpRequestUriInvalid);
    }
    // Opens a tunnel, in which nothing could be checked.
    if request.method() == Method::CONNECT {
        return Err(Error::HttpRequestMethodInvalid);
    }
    let scheme = match uri.scheme_str() {
        Some("http") => HttpScheme::Http,
        Some("https") => HttpScheme::Https,
        _ => return Err(Error::HttpRequestUriInvalid),
    };
    let host = HostName::parse(authority.host()).ok_or(Error::HttpRequestUriInvalid)?;
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        // `host:` with nothing behind, or with a number that is no port.
        None if authority.as_str().len() > authority.host().len() => {
            return Err(Error::HttpRequestUriInvalid);
        }
        None => scheme.default_port(),
    };
    Ok(Target { method: request.method().as_str().to_owned(), scheme, host, port })
}

impl WasiHttpHooks for Outgoing {
    /// The client does that itself.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_PIECE_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_PIECE_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let grant = match self.granted(&request) {
            Ok(grant) => grant,
            Err(error) => return Box::new(std::future::ready(Err(error))),
        };
        let permits = self.permits.get_or_insert_with(|| Arc::new(Semaphore::new(MAX_REQUESTS)));
        // Asked for at once, so that requests get their turns in the order in which they were sent: a guest that
        // waits for the first must not wait for one that was passed over.
        let mut waiting: Waiting = Box::pin(Arc::clone(permits).acquire_owned());
        let permit = (&mut waiting).now_or_never().and_then(Result::ok);
        let sending = Sending {
            grant,
            options: options.unwrap_or_default(),
            permit,
            waiting,
            network: Arc::clone(&self.network),
            output: self.output.clone(),
        };
        Box::new(sending.send(request))
    }
}

/// One request that is granted.
struct Sending {
    grant: HttpGrant,
    options: RequestOptions,
    /// None as long as too many others are under way.
    permit: Option<OwnedSemaphorePermit>,
    waiting: Waiting,
    network: Arc<Network>,
    output: GuestOutput,
}

impl Sending {
    async fn send(self, request: Request<WasiBody>) -> Sent {
        let ends = Instant::now() + self.grant.timeout;
        let permit = match self.permit {
            Some(permit) => permit,
            None => {
                let permit = timeout_at(ends, self.waiting).await;
                permit.ok().and_then(Result::ok).ok_or(Error::ConnectionLimitReached)?
            }
        };
        // The guest's own limits can only make it shorter.
        let head_ends = match (self.options.connect_timeout, self.options.first_byte_timeout) {
            (connect, Some(first)) => {
                ends.min(Instant::now() + first.saturating_add(connect.unwrap_or_default()))
            }
            _ => ends,
        };
        let host = request.uri().host().unwrap_or_default().to_owned();
        let sent = timeout_at(head_ends, self.network.send(request, self.grant.private)).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                if matches!(error, Error::DestinationIpProhibited) {
                    let missing = "add private = true to its [[grants.http]]";
                    let file = self.grant.said_in.as_deref();
                    self.output.deny(&format_args!("{host} has no public address"), missing, file);
                }
                return Err(error);
            }
            Err(_) => return Err(Error::HttpResponseTimeout),
        };
        let grant = self.grant;
        let limit = grant.max_response_bytes;
        if response.body().size_hint().lower() > limit {
            return Err(response::too_large(&self.output, limit, grant.said_in.as_deref()));
        }
        let between = self.options.between_bytes_timeout;
        let bounded = |body| {
            response::Bounded::new(body, &grant, ends, between, self.output.clone(), permit).boxed_unsync()
        };
        Ok((response.map(bounded), Box::new(async { Ok(()) })))
    }
}
