//! Grants of requests: rules about scheme, host, port and method.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Longest name of a host, and of one of its labels, by the rules of DNS.
const MAX_HOST_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// A rule that allows requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpGrant {
    /// Allowed hosts.
    pub host: HostPattern,
    /// Allowed schemes.
    pub schemes: Vec<HttpScheme>,
    /// Allowed ports; if empty, the default port of the scheme.
    pub ports: Vec<u16>,
    /// Allowed methods in upper case; if empty, all.
    pub methods: Vec<String>,
    /// Whether the address may be private: of this machine or its network.
    pub private: bool,
    /// Largest body of a response in bytes.
    #[serde(rename = "max_response")]
    pub max_response_bytes: u64,
    /// Timeout from the call to the last byte of the response.
    #[serde(rename = "timeout_ms", serialize_with = "millis")]
    pub timeout: Duration,
    /// The manifest that has the rule; none for the task's own.
    #[serde(skip)]
    pub said_in: Option<Arc<str>>,
}

/// The scheme of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpScheme {
    /// Not encrypted.
    Http,
    /// Encrypted.
    Https,
}

/// The hosts of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `*`: every host.
    Any,
    /// `*.example.org`: every name below it, but not the name itself.
    Below(HostName),
    /// One host.
    Exact(HostName),
}

/// A host in canonical form: a name in lower case, `192.0.2.1`, or `[2001:db8::1]`.
///
/// Other forms of addresses (`2130706433`, `0x7f.1`, `0177.0.0.1`), which some
/// resolvers accept, are rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(Box<str>);

impl HostName {
    /// Parses the host of a URL. Returns none if it is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address: Ipv6Addr = address.parse().ok()?;
            return Some(Self(format!("[{address}]").into_boxed_str()));
        }
        let name = text.to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=MAX_LABEL_BYTES).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if name.len() > MAX_HOST_BYTES || !name.split('.').all(is_label) {
            return None;
        }
        // By the URL standard, a host that ends in a number is an address or invalid.
        let last = name.rsplit('.').next().unwrap_or_default();
        let digits = last.bytes().all(|byte| byte.is_ascii_digit());
        let hex = last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if (digits || hex) && name.parse::<Ipv4Addr>().is_err() {
            return None;
        }
        Some(Self(name.into_boxed_str()))
    }

    fn is_address(&self) -> bool {
        self.0.starts_with('[') || self.0.parse::<Ipv4Addr>().is_ok()
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HostPattern {
    /// Parses a pattern. Returns none if no host can match it.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        match text.strip_prefix("*.") {
            Some(name) => HostName::parse(name).filter(|name| !name.is_address()).map(Self::Below),
            None => HostName::parse(text).map(Self::Exact),
        }
    }

    fn matches(&self, host: &HostName) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name == host,
            Self::Below(name) => {
                host.0.strip_suffix(&*name.0).is_some_and(|before| before.len() > 1 && before.ends_with('.'))
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Exact(name) => name.fmt(f),
        }
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl HttpScheme {
    /// The port of a URL that names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// The scheme as in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The method and destination of a request.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Target {
    pub(in crate::engine) method: String,
    pub(in crate::engine) scheme: HttpScheme,
    pub(in crate::engine) host: HostName,
    pub(in crate::engine) port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}://{}", self.method, self.scheme.as_str(), self.host)?;
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl HttpGrant {
    fn has_scheme(&self, target: &Target) -> bool {
        self.schemes.contains(&target.scheme)
    }

    fn has_port(&self, target: &Target) -> bool {
        if self.ports.is_empty() {
            target.port == target.scheme.default_port()
        } else {
            self.ports.contains(&target.port)
        }
    }

    fn has_method(&self, target: &Target) -> bool {
        self.methods.is_empty() || self.methods.contains(&target.method)
    }
}

/// The missing part of a rule, and the manifest of the rule if that is not the task's own.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine) struct Missing {
    pub(in crate::engine) what: String,
    pub(in crate::engine) file: Option<Arc<str>>,
}

/// The first rule that allows the request, or the part that is missing in the manifest.
pub(in crate::engine) fn decide<'a>(
    grants: &'a [HttpGrant],
    target: &Target,
) -> Result<&'a HttpGrant, Missing> {
    let of_host = || grants.iter().filter(|grant| grant.host.matches(&target.host));
    let allows =
        |grant: &&HttpGrant| grant.has_scheme(target) && grant.has_port(target) && grant.has_method(target);
    if let Some(grant) = of_host().find(allows) {
        return Ok(grant);
    }
    let Some(nearest) = of_host().next() else {
        let mut missing = format!("add [[grants.http]] host = \"{}\"", target.host);
        if target.scheme == HttpScheme::Http {
            missing.push_str(", schemes = [\"http\"]");
        }
        if target.port != target.scheme.default_port() {
            missing.push_str(&format!(", ports = [{}]", target.port));
        }
        return Err(Missing { what: missing, file: None });
    };
    let (key, value) = if !nearest.has_scheme(target) {
        ("schemes", format!("\"{}\"", target.scheme.as_str()))
    } else if !nearest.has_port(target) {
        ("ports", target.port.to_string())
    } else {
        ("methods", format!("\"{}\"", target.method))
    };
    let what = format!("add {value} to the {key} of [[grants.http]] host = \"{}\"", nearest.host);
    Err(Missing { what, file: nearest.said_in.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(host: &str) -> HttpGrant {
        HttpGrant {
            host: HostPattern::parse(host).unwrap(),
            schemes: vec![HttpScheme::Https],
            ports: Vec::new(),
            methods: Vec::new(),
            private: false,
            max_response_bytes: 1,
            timeout: Duration::from_secs(1),
            said_in: None,
        }
    }

    fn target(method: &str, scheme: HttpScheme, host: &str, port: u16) -> Target {
        Target { method: method.to_owned(), scheme, host: HostName::parse(host).unwrap(), port }
    }

    #[test]
    fn a_host_has_one_canonical_form() {
        for (text, name) in [
            ("Example.ORG", "example.org"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("[::FFFF:127.0.0.1]", "[::ffff:127.0.0.1]"),
            ("a_b.c-d.e1", "a_b.c-d.e1"),
        ] {
            assert_eq!(HostName::parse(text).unwrap().to_string(), name);
        }
        let no_hosts = [
            "",
            ".",
            "a..b",
            "example.org.",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "1.2.3.4.5",
            "256.1.1.1",
            "a.0x",
            "[::1",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "::1",
            "a b",
            "ä.de",
            "a@b",
            "a%2eb",
            "*.x",
        ];
        for text in no_hosts {
            assert!(HostName::parse(text).is_none(), "{text:?}");
        }
        assert!(HostName::parse(&"a".repeat(64)).is_none());
    }

    #[test]
    fn a_pattern_matches_names_below_and_no_others() {
        let below = HostPattern::parse("*.Example.org").unwrap();
        let matches = |host: &str| below.matches(&HostName::parse(host).unwrap());
        assert!(matches("a.example.org") && matches("a.b.example.org"));
        assert!(!matches("example.org") && !matches("badexample.org") && !matches("example.org.evil.net"));
        assert!(HostPattern::parse("*.127.0.0.1").is_none() && HostPattern::parse("a.*.org").is_none());
        assert!(HostPattern::parse("*").unwrap().matches(&HostName::parse("[::1]").unwrap()));
    }

    #[test]
    fn a_request_is_allowed_by_one_whole_rule() {
        let rules = [
            HttpGrant { methods: vec!["GET".to_owned()], ..grant("a.org") },
            HttpGrant { methods: vec!["POST".to_owned()], ports: vec![8443], ..grant("a.org") },
        ];
        let https = HttpScheme::Https;
        assert_eq!(decide(&rules, &target("GET", https, "a.org", 443)), Ok(&rules[0]));
        assert_eq!(decide(&rules, &target("POST", https, "a.org", 8443)), Ok(&rules[1]));
        assert!(decide(&rules, &target("POST", https, "a.org", 443)).is_err());
        assert!(decide(&rules, &target("GET", https, "a.org", 8443)).is_err());
    }

    #[test]
    fn a_denial_names_what_is_missing() {
        let said_in = Some("app.toml".into());
        let rules = [HttpGrant { methods: vec!["GET".to_owned()], said_in, ..grant("*.a.org") }];
        let denied = |target: Target| decide(&rules, &target).unwrap_err().what;
        let (http, https) = (HttpScheme::Http, HttpScheme::Https);
        assert_eq!(denied(target("GET", https, "b.org", 443)), "add [[grants.http]] host = \"b.org\"");
        assert_eq!(
            denied(target("GET", http, "b.org", 81)),
            "add [[grants.http]] host = \"b.org\", schemes = [\"http\"], ports = [81]"
        );
        for (target, missing) in [
            (target("GET", http, "x.a.org", 80), "add \"http\" to the schemes"),
            (target("GET", https, "x.a.org", 444), "add 444 to the ports"),
            (target("PUT", https, "x.a.org", 443), "add \"PUT\" to the methods"),
        ] {
            let Missing { what, file } = decide(&rules, &target).unwrap_err();
            assert!(what.starts_with(missing) && what.ends_with("host = \"*.a.org\""), "{what}");
            assert_eq!(file.as_deref(), Some("app.toml"), "the manifest of that rule");
        }
    }
}
