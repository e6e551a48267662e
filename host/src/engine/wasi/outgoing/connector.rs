//! Opens connections: looks up the name, checks the addresses, and connects to a checked
//! address. There is no second lookup, so a name that changes its address in between gains
//! nothing.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tower_service::Service;

use super::address::is_public;

/// Timeout for name lookup, connecting and the TLS handshake.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Timeout for one address of several, so that an address that does not answer leaves time
/// for the next.
const ADDRESS_TIME: Duration = Duration::from_secs(3);

/// The reason why no connection was opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the name can't be looked up: {0}")]
    Lookup(#[source] io::Error),
    #[error("the host has no public address")]
    NotPublic,
    #[error("can't connect: {0}")]
    Refused(#[source] io::Error),
    #[error("connecting took too long")]
    TimedOut,
}

type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Connects to public addresses, and with `private` to all.
#[derive(Clone, Debug)]
pub(super) struct CheckedConnector {
    pub(super) private: bool,
}

impl Service<Uri> for CheckedConnector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Connecting<Self::Response, ConnectError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let private = self.private;
        Box::pin(async move {
            let addresses = allowed(look_up(&uri).await.map_err(ConnectError::Lookup)?, private)?;
            connect(&addresses).await.map(TokioIo::new)
        })
    }
}

async fn look_up(uri: &Uri) -> io::Result<Vec<SocketAddr>> {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match literal.parse::<IpAddr>() {
        Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
        Err(_) => Ok(lookup_host((host, port)).await?.collect()),
    }
}

/// The addresses that may be connected to.
fn allowed(mut addresses: Vec<SocketAddr>, private: bool) -> Result<Vec<SocketAddr>, ConnectError> {
    addresses.retain(|address| private || is_public(address.ip()));
    if addresses.is_empty() { Err(ConnectError::NotPublic) } else { Ok(addresses) }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut error = ConnectError::TimedOut;
    for address in addresses {
        match timeout(ADDRESS_TIME, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // An error is ignored: the option only reduces latency.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(refused)) => error = ConnectError::Refused(refused),
            Err(_) => error = ConnectError::TimedOut,
        }
    }
    Err(error)
}

/// Limits the time to open a connection, including the TLS handshake.
#[derive(Clone, Debug)]
pub(super) struct TimeoutConnector<S>(pub(super) S);

impl<S> Service<Uri> for TimeoutConnector<S>
where
    S: Service<Uri, Error = Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Connecting<S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            timeout(CONNECT_TIME, connecting).await.unwrap_or_else(|_| Err(ConnectError::TimedOut.into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_of_a_name_are_tried() {
        let addresses =
            || ["10.0.0.1:80", "1.1.1.1:80", "[::1]:80"].map(|text| text.parse().unwrap()).to_vec();
        assert_eq!(allowed(addresses(), false).unwrap(), ["1.1.1.1:80".parse().unwrap()]);
        assert_eq!(allowed(addresses(), true).unwrap().len(), 3);
        assert!(matches!(allowed(vec!["[::1]:80".parse().unwrap()], false), Err(ConnectError::NotPublic)));
        assert!(matches!(allowed(Vec::new(), true), Err(ConnectError::NotPublic)));
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
            let uri: Uri = format!("http://{host}:{port}/").parse().unwrap();
            let refused = CheckedConnector { private: false }.call(uri.clone()).await;
            assert!(matches!(refused, Err(ConnectError::NotPublic)), "{host}");
            assert!(CheckedConnector { private: true }.call(uri).await.is_ok(), "{host}");
        }
    }
}
