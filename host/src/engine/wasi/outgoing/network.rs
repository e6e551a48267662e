//! The HTTP client of the host, which keeps connections for all guests.

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

use super::connector::{CheckedConnector, ConnectError, TimeoutConnector};
use crate::process::start_runtime;

/// Most idle connections to one host, and how long they are kept.
const IDLE_CONNECTIONS: usize = 8;
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Most bytes of the head of a response, and of its body that are read ahead.
const READ_BYTES: usize = 32 << 10;
/// Most concurrent name lookups. Each blocks a thread until the name server answers.
const LOOKUP_THREADS: usize = 32;

type Client = legacy::Client<TimeoutConnector<HttpsConnector<CheckedConnector>>, WasiBody>;

/// Sends requests on a thread of its own, because guests may compute without a pause on
/// theirs. Started by the first request.
#[derive(Default)]
pub(in crate::engine) struct Network {
    runtime: OnceLock<NetworkRuntime>,
    /// Locked during the start.
    starting: Mutex<()>,
}

struct NetworkRuntime {
    /// None once this is dropped.
    runtime: Option<Runtime>,
    /// Two clients, because a connection to a private address must not serve a task that
    /// may not open one.
    public: Client,
    private: Client,
}

impl Network {
    /// Sends a request and returns the head of the response, whose body is received as it is read.
    pub(super) async fn send(
        &self,
        request: Request<WasiBody>,
        private: bool,
    ) -> Result<Response<Incoming>, Error> {
        let started = self.started().map_err(|error| Error::InternalError(Some(error.to_string())))?;
        let client = if private { &started.private } else { &started.public };
        let runtime = started.runtime.as_ref().expect("present until dropped");
        // Aborted when the guest's call is dropped.
        let sending = AbortOnDropHandle::new(runtime.spawn(client.request(request)));
        match sending.await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(explain(&error)),
            Err(_) => Err(Error::InternalError(Some("the host's client failed".to_owned()))),
        }
    }
}

impl Network {
    /// Starts the client if necessary. After an error, the next request tries again.
    fn started(&self) -> io::Result<&NetworkRuntime> {
        if let Some(started) = self.runtime.get() {
            return Ok(started);
        }
        let _starting = self.starting.lock();
        match self.runtime.get() {
            // Another request has just started it.
            Some(started) => Ok(started),
            None => {
                let started = NetworkRuntime::new()?;
                Ok(self.runtime.get_or_init(|| started))
            }
        }
    }
}

impl NetworkRuntime {
    fn new() -> io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.max_blocking_threads(LOOKUP_THREADS).thread_name("network").enable_all();
        // One more, for name lookups.
        let runtime = start_runtime(&mut builder, 1, 1)?;
        let config = Arc::new(encryption().map_err(io::Error::other)?);
        let client = |private| {
            legacy::Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .pool_idle_timeout(IDLE_TIME)
                .pool_timer(TokioTimer::new())
                .http1_max_buf_size(READ_BYTES)
                .build(TimeoutConnector(HttpsConnector::from((
                    CheckedConnector { private },
                    Arc::clone(&config),
                ))))
        };
        Ok(Self { public: client(false), private: client(true), runtime: Some(runtime) })
    }
}

impl Drop for NetworkRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Without waiting, because this may be dropped in async code.
            runtime.shutdown_background();
        }
    }
}

/// Trusts the certificates of the system, including a private authority that the operator added.
fn encryption() -> Result<ClientConfig, rustls::Error> {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
    };
    let builder = match builder()?.with_native_roots() {
        Ok(builder) => builder,
        Err(error) => {
            tracing::warn!(%error, "this system has no trusted certificates; https requests of tasks will fail");
            builder()?.with_root_certificates(RootCertStore::empty())
        }
    };
    Ok(builder.with_no_client_auth())
}

/// The error that the guest receives.
fn explain(error: &(dyn StdError + 'static)) -> Error {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(known) = known(error) {
            return known;
        }
        // An `io::Error` returns the error that it wraps by `get_ref` only.
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
    // An error of the guest's own body.
    error.downcast_ref::<Error>().map(|_| Error::HttpProtocolError)
}
