//! Why a host can't listen on an address, and what to do about it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use super::Exit;

/// A port that every user may listen on.
const UNPRIVILEGED: u16 = 8080;

/// The setting that fixes the error.
pub(super) fn remedy(address: SocketAddr, error: &io::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::AddrInUse => Some(format!("--listen {}", next(address))),
        ErrorKind::PermissionDenied => {
            Some(format!("--listen {}", SocketAddr::new(address.ip(), UNPRIVILEGED)))
        }
        ErrorKind::AddrNotAvailable => Some(format!("--listen {}", address.port())),
        _ => None,
    }
}

/// The exit of a command whose host can't listen there.
pub(super) fn failed(address: SocketAddr, error: &io::Error) -> Exit {
    let reason = format!("can't listen on {address}: {error}");
    Exit::Start(match remedy(address, error) {
        Some(remedy) => format!("{reason}; use {remedy}, or see `streamtask doctor`"),
        None => reason,
    })
}

/// The same address with the next port.
fn next(address: SocketAddr) -> SocketAddr {
    let port = address.port().checked_add(1).unwrap_or(UNPRIVILEGED);
    SocketAddr::new(address.ip(), port.max(UNPRIVILEGED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_setting_that_fixes_it() {
        let told = |kind: ErrorKind, port| {
            let exit = failed(SocketAddr::from(([127, 0, 0, 1], port)), &kind.into());
            exit.message().unwrap().to_owned()
        };
        assert!(told(ErrorKind::AddrInUse, 8080).contains("use --listen 127.0.0.1:8081"));
        assert!(told(ErrorKind::PermissionDenied, 80).contains("use --listen 127.0.0.1:8080"));
        assert!(told(ErrorKind::AddrNotAvailable, 9000).contains("use --listen 9000"));
        assert!(!told(ErrorKind::OutOfMemory, 9000).contains("--listen"));
    }

    #[test]
    fn the_next_port_is_one_that_every_user_may_use() {
        let next = |port| next(SocketAddr::from(([127, 0, 0, 1], port))).port();
        assert_eq!((next(80), next(8080), next(u16::MAX)), (8080, 8081, 8080));
    }
}
