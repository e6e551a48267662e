//! The one client of the host, which keeps connections for all guests.

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::{Request, Response, body::Incoming};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Runtime;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::{Error, WasiBody};

use super::connector::{Checked, ConnectError, Timed};
use crate::process::start_runtime;

/// Connections to one host that are kept, and for how long.
const IDLE_CONNECTIONS: usize = 8;
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Most bytes of a response's head, and of its body that are read ahead.
const READ_BYTES: usize = 32 << 10;
/// Lookups at once; a name server that does not answer holds a thread each.
const LOOKUP_THREADS: usize = 32;

type Client = legacy::Client<Timed<HttpsConnector<Checked>>, WasiBody>;

/// Sends requests, on a thread of its own: guests may compute without a pause on
/// theirs. Set up by the first request.
#[derive(Default)]
pub(in crate::engine) struct Network {
    running: OnceLock<Running>,
    /// Held while it is set up.
    starting: Mutex<()>,
}

struct Running {
    /// Taken when this is dropped.
    runtime: Option<Runtime>,
    /// Two, because a connection that one task may have must not serve another that
    /// may not.
    public: Client,
    private: Client,
}

impl Network {
    /// The head of the response, whose body comes as it is read.
    pub(super) async fn send(
        &self,
        request: Request<WasiBody>,
        private: bool,
    ) -> Result<Response<Incoming>, Error> {
        let running = self.running().map_err(|error| Error::InternalError(Some(error.to_string())))?;
        let client = if private { &running.private } else { &running.public };
        let runtime = running.runtime.as_ref().expect("present until dropped");
        // Ends with the guest's call, should that be dropped.
        let sending = AbortOnDropHandle::new(runtime.spawn(client.request(request)));
        match sending.await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(explain(&error)),
            Err(_) => Err(Error::InternalError(Some("the host's client failed".to_owned()))),
        }
    }
}

impl Network {
    /// An error is of now: the next request tries again.
    fn running(&self) -> io::Result<&Running> {
        if let Some(running) = self.running.get() {
            return Ok(running);
        }
        let _starting = self.starting.lock();
        match self.running.get() {
            // By another request, just now.
            Some(running) => Ok(running),
            None => {
                let running = Running::new()?;
                Ok(self.running.get_or_init(|| running))
            }
        }
    }
}

impl Running {
    fn new() -> io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.max_blocking_threads(LOOKUP_THREADS).thread_name("network").enable_all();
        // One more, to look up names.
        let runtime = start_runtime(&mut builder, 1, 1)?;
        let config = Arc::new(encryption().map_err(io::Error::other)?);
        let client = |private| {
            legacy::Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .pool_idle_timeout(IDLE_TIME)
                .pool_timer(TokioTimer::new())
                .http1_max_buf_size(READ_BYTES)
                .build(Timed(HttpsConnector::from((Checked { private }, Arc::clone(&config)))))
        };
        Ok(Self { public: client(false), private: client(true), runtime: Some(runtime) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waiting, because this may be dropped where waiting is not allowed.
            runtime.shutdown_background();
        }
    }
}

/// Trusts whom the system trusts, so that an operator's own authority is one too.
fn encryption() -> Result<ClientConfig, rustls::Error> {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
    };
    let builder = match builder()?.with_native_roots() {
        Ok(builder) => builder,
        Err(error) => {
            tracing::warn!(%error, "this system trusts no certificate; https requests of tasks will fail");
            builder()?.with_root_certificates(RootCertStore::empty())
        }
    };
    Ok(builder.with_no_client_auth())
}

/// What the guest is told.
fn explain(error: &(dyn StdError + 'static)) -> Error {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(known) = known(error) {
            return known;
        }
        // An `io::Error` that wraps another says of it by `get_ref` alone.
        let wrapped = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        cause = wrapped.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    Error::HttpProtocolError
}

fn known(error: &(dyn StdError + 'static)) -> Option<Error> {
    if let Some(error) = error.downcast_ref::<ConnectError>() {
        return Some(match error {
            ConnectError::Lookup(error) => {
                Error::DnsError { rcode: Some(error.to_string()), info_code: None }
            }
            ConnectError::NotPublic => Error::DestinationIpProhibited,
            ConnectError::Refused(_) => Error::ConnectionRefused,
            ConnectError::TimedOut => Error::ConnectionTimeout,
        });
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(match error {
            rustls::Error::InvalidCertificate(_) => Error::TlsCertificateError,
            _ => Error::TlsProtocolError,
        });
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>()
        && (error.is_incomplete_message() || error.is_closed() || error.is_canceled())
    {
        return Some(Error::ConnectionTerminated);
    }
    // What the guest's own body said.
    error.downcast_ref::<Error>().map(|_| Error::HttpProtocolError)
}
