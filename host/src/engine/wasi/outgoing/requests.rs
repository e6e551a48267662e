//! The outgoing requests of one guest: checks the grant, limits concurrency and time, and sends.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use hyper::{Method, Request, Response};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

use super::network::Network;
use super::response::{LimitedBody, too_large};
use crate::engine::grants::{Grants, HostName, HttpGrant, HttpScheme, Missing, Target, decide};
use crate::engine::wasi::stdio::GuestOutput;

/// Most concurrent requests of one attempt; others queue.
const MAX_REQUESTS: usize = 16;
/// Most bytes of a request's body that a guest passes in one call. For each started request, up to two
/// such chunks wait for the network.
const BODY_CHUNK_BYTES: usize = 16 << 10;
/// Most bytes of headers that a guest creates, including their overhead in memory.
pub(super) const MAX_HEADER_BYTES: usize = 16 << 10;

type SendResult = Result<(Response<WasiBody>, Transfer), Error>;
/// The work after the head of the response: none, because the client does it.
type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// A request for a permit, in the order of one guest's requests.
type PermitRequest = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// The outgoing requests of one guest.
pub(in crate::engine) struct Outgoing {
    grants: Arc<Grants>,
    network: Arc<Network>,
    output: GuestOutput,
    /// Created by the first request.
    permits: Option<Arc<Semaphore>>,
}

/// The context that limits the size of headers.
pub(in crate::engine) fn http_context() -> WasiHttpCtx {
    let mut context = WasiHttpCtx::new();
    context.set_field_size_limit(MAX_HEADER_BYTES);
    context
}

/// No rule allows a request. Has the text that was logged.
pub(super) struct Denied(pub(super) String);

impl Outgoing {
    pub(in crate::engine) fn new(grants: Arc<Grants>, network: Arc<Network>, output: GuestOutput) -> Self {
        Self { grants, network, output, permits: None }
    }

    /// The rule that allows the request. A denial is logged, because the error carries
    /// no text.
    fn granted(&self, request: &Request<WasiBody>) -> Result<HttpGrant, Error> {
        let target = target(request)?;
        self.rule_for(&target).map_err(|_| Error::HttpRequestDenied)
    }

    /// The rule that allows a request to the target.
    pub(super) fn rule_for(&self, target: &Target) -> Result<HttpGrant, Denied> {
        let rule = decide(&self.grants.http, target);
        let denied = |missing: Missing| self.output.deny(target, &missing.what, missing.file.as_deref());
        rule.cloned().map_err(|missing| Denied(denied(missing)))
    }
}

pub(super) fn target(request: &Request<WasiBody>) -> Result<Target, Error> {
    let uri = request.uri();
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    // A user name before an `@` can only mislead.
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
        // `host:` without a number, or with one that is no port.
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
        BODY_CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = SendResult> + Send> {
        let grant = match self.granted(&request) {
            Ok(grant) => grant,
            Err(error) => return Box::new(std::future::ready(Err(error))),
        };
        let permits = self.permits.get_or_insert_with(|| Arc::new(Semaphore::new(MAX_REQUESTS)));
        // Requested at once, so that requests get permits in the order in which they were sent: a guest that
        // waits for its first request must not wait for a later one.
        let mut permit_request: PermitRequest = Box::pin(Arc::clone(permits).acquire_owned());
        let permit = (&mut permit_request).now_or_never().and_then(Result::ok);
        let outgoing = OutgoingRequest {
            grant,
            options: options.unwrap_or_default(),
            permit,
            permit_request,
            network: Arc::clone(&self.network),
            output: self.output.clone(),
        };
        Box::new(outgoing.send(request))
    }
}

/// One granted request.
struct OutgoingRequest {
    grant: HttpGrant,
    options: RequestOptions,
    /// None while too many others are in progress.
    permit: Option<OwnedSemaphorePermit>,
    permit_request: PermitRequest,
    network: Arc<Network>,
    output: GuestOutput,
}

impl OutgoingRequest {
    async fn send(self, request: Request<WasiBody>) -> SendResult {
        let ends = Instant::now() + self.grant.timeout;
        let permit = match self.permit {
            Some(permit) => permit,
            None => {
                let permit = timeout_at(ends, self.permit_request).await;
                permit.ok().and_then(Result::ok).ok_or(Error::ConnectionLimitReached)?
            }
        };
        // The timeouts of the guest can only shorten that of the grant.
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
            return Err(too_large(&self.output, limit, grant.said_in.as_deref()));
        }
        let between = self.options.between_bytes_timeout;
        let bounded =
            |body| LimitedBody::new(body, &grant, ends, between, self.output.clone(), permit).boxed_unsync();
        Ok((response.map(bounded), Box::new(async { Ok(()) })))
    }
}
