//! The address to listen on.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::finding::Finding;
use crate::cli::client::Client;
use crate::cli::listening;
use crate::config::ListenAddress;

const NAME: &str = "port";
/// Time for a program on the port to say what it is.
const ANSWER_TIME: Duration = Duration::from_secs(2);

pub(super) async fn check(ListenAddress(address): ListenAddress) -> Finding {
    let Err(error) = TcpListener::bind(address).await else {
        return Finding::ok(NAME, format!("{address} is free"));
    };
    if error.kind() == ErrorKind::AddrInUse
        && let Some(version) = host_version(address).await
    {
        return Finding::ok(NAME, format!("a streamtask host ({version}) serves {address}"));
    }
    let found = match error.kind() {
        ErrorKind::AddrInUse => format!("another program listens on {address}"),
        ErrorKind::PermissionDenied => format!("this user may not listen on {address}"),
        ErrorKind::AddrNotAvailable => format!("this machine has no address {}", address.ip()),
        _ => format!("can't listen on {address}: {error}"),
    };
    let remedy = listening::remedy(address, &error);
    Finding::problem(NAME, found, remedy.unwrap_or_else(|| "--listen ADDR:PORT".to_owned()))
}

/// The version of the streamtask host that listens there; none if it is something else.
async fn host_version(mut address: SocketAddr) -> Option<String> {
    if address.ip().is_unspecified() {
        let is_v4 = address.is_ipv4();
        address.set_ip(if is_v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    let client = Client::new(&format!("http://{address}")).ok()?;
    let index = timeout(ANSWER_TIME, client.get("/")).await.ok()?.ok()?;
    (index["name"] == "streamtask").then(|| index["version"].as_str().unwrap_or("unknown").to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[tokio::test]
    async fn a_port_is_free_or_taken_by_something_else() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let finding = check(ListenAddress(address)).await;
        assert_eq!(finding.level, Level::Problem, "{finding:?}");
        assert!(finding.found.contains("another program"), "{finding:?}");
        drop(taken);
        assert_eq!(check(ListenAddress(address)).await.level, Level::Ok);
    }
}
