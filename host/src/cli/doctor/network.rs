//! The address to listen on.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::finding::Finding;
use crate::cli::client::Client;
use crate::config::ListenAddress;

const NAME: &str = "port";
/// Time for a program on the port to say what it is.
const ANSWER_TIME: Duration = Duration::from_secs(2);

pub(super) async fn check(ListenAddress(address): ListenAddress) -> Finding {
    let Err(error) = TcpListener::bind(address).await else {
        return Finding::ok(NAME, format!("{address} is free"));
    };
    match error.kind() {
        ErrorKind::AddrInUse => match host_version(address).await {
            Some(version) => Finding::ok(NAME, format!("a streamtask host ({version}) serves {address}")),
            None => Finding::problem(
                NAME,
                format!("another program listens on {address}"),
                format!("--listen {}", another(address)),
            ),
        },
        ErrorKind::PermissionDenied => Finding::problem(
            NAME,
            format!("this user may not listen on {address}"),
            format!("--listen {}", SocketAddr::new(address.ip(), UNPRIVILEGED)),
        ),
        ErrorKind::AddrNotAvailable => Finding::problem(
            NAME,
            format!("this machine has no address {}", address.ip()),
            format!("--listen {}", address.port()),
        ),
        _ => Finding::problem(NAME, format!("can't listen on {address}: {error}"), "--listen ADDR:PORT"),
    }
}

/// A port that every user may listen on.
const UNPRIVILEGED: u16 = 8080;

fn another(address: SocketAddr) -> SocketAddr {
    let port = address.port().checked_add(1).unwrap_or(UNPRIVILEGED);
    SocketAddr::new(address.ip(), port.max(UNPRIVILEGED))
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

    #[test]
    fn the_next_port_is_one_that_every_user_may_use() {
        let next = |port| another(SocketAddr::from(([127, 0, 0, 1], port))).port();
        assert_eq!((next(80), next(8080), next(u16::MAX)), (8080, 8081, 8080));
    }
}
