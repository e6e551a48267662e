use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// The default port.
const PORT: u16 = 8080;

/// The address on which a host listens: `127.0.0.1:8080`, `localhost:8080`, `:8080`, or `8080`. A port alone means the
/// loopback interface, so a host is never open to other machines by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

impl Default for ListenAddress {
    fn default() -> Self {
        Self::here(PORT)
    }
}

impl ListenAddress {
    fn here(port: u16) -> Self {
        Self(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Whether other machines can reach it.
    pub fn is_open(self) -> bool {
        // `::ffff:127.0.0.1` is an IPv4 address.
        !self.0.ip().to_canonical().is_loopback()
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self(SocketAddr::from((address, PORT))));
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, port.parse().ok()),
            None if text == "localhost" => (text, Some(PORT)),
            None => ("", text.parse().ok()),
        };
        match (name, port) {
            ("" | "localhost", Some(port)) => Ok(Self::here(port)),
            ("*", Some(port)) => Err(format!("use 0.0.0.0:{port} or [::]:{port} to listen on all addresses")),
            _ => Err("use an address and a port, such as 127.0.0.1:8080, or only a port".to_owned()),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AddressVisitor;

        impl Visitor<'_> for AddressVisitor {
            type Value = ListenAddress;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address and a port, or a port")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ListenAddress, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, port: i64) -> Result<ListenAddress, E> {
                port.to_string().parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(AddressVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_notations_of_addresses_are_accepted() {
        for (written, address) in [
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("localhost:9000", "127.0.0.1:9000"),
            (":9000", "127.0.0.1:9000"),
            ("9000", "127.0.0.1:9000"),
            ("localhost", "127.0.0.1:8080"),
            ("0.0.0.0", "0.0.0.0:8080"),
            ("[::1]:0", "[::1]:0"),
            ("[::1]", "[::1]:8080"),
            ("::1", "[::1]:8080"),
        ] {
            assert_eq!(
                written.parse::<ListenAddress>().map(|address| address.to_string()),
                Ok(address.to_owned())
            );
        }
        for (written, advice) in [
            ("example.org:80", "127.0.0.1:8080"),
            ("70000", "127.0.0.1:8080"),
            ("localhost:", "127.0.0.1:8080"),
            ("http://localhost:80", "127.0.0.1:8080"),
            ("*:80", "0.0.0.0:80"),
            ("", "127.0.0.1:8080"),
        ] {
            let error = written.parse::<ListenAddress>().unwrap_err();
            assert!(error.contains(advice), "{written}: {error}");
        }
    }

    #[test]
    fn only_what_other_machines_reach_is_open() {
        let is_open = |text: &str| text.parse::<ListenAddress>().unwrap().is_open();
        assert!(!is_open("127.0.0.2:1") && !is_open("[::1]:1") && !is_open("[::ffff:127.0.0.1]:1"));
        assert!(is_open("0.0.0.0:1") && is_open("[::]:1") && is_open("[::ffff:10.0.0.1]:1"));
    }
}
