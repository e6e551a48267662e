//! `[[grants.http]]`: requests that a task may send.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use super::policy::{GrantKind, GrantPolicy};
use super::schema::{SizeText, TimeText};
use crate::engine::{HostPattern, HttpGrant, HttpScheme};
use crate::model::Time;

/// Default limits of a response body and of the time of a request: enough for APIs, not for downloads.
const MAX_RESPONSE_BYTES: u64 = 16 << 20;
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// Largest time limit of a request in a rule.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(inline)]
pub(super) struct HttpTable {
    /// A host name, `*.` and a name, `*`, or an IP address.
    #[schemars(with = "String")]
    host: Spanned<String>,
    /// Allowed schemes; only https by default.
    schemes: Option<Vec<Scheme>>,
    /// Allowed ports; those of the schemes by default.
    #[serde(default)]
    ports: Vec<u16>,
    /// Allowed methods; all by default.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    methods: Vec<Spanned<String>>,
    /// Whether to allow addresses of this machine and its network, too.
    #[schemars(with = "Option<bool>")]
    private: Option<Spanned<bool>>,
    /// Largest response body.
    #[schemars(with = "Option<SizeText>")]
    max_response: Option<ByteSize>,
    /// Longest time of a request.
    #[schemars(with = "Option<TimeText>")]
    timeout: Option<Spanned<Time>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum Scheme {
    Http,
    Https,
}

pub(super) fn http(rule: Spanned<HttpTable>, policy: &GrantPolicy) -> Result<HttpGrant, Fault> {
    policy.kinds.check(GrantKind::Http, rule.span().start)?;
    let rule = rule.into_inner();
    if let Some(private) = rule.private.as_ref().filter(|private| *private.get_ref()) {
        policy.kinds.check(GrantKind::Private, private.span().start)?;
    }
    let host = HostPattern::parse(rule.host.get_ref()).ok_or_else(|| {
        let message =
            "a host is a name, `*.` and a name, `*`, or an address such as 192.0.2.1 or [2001:db8::1]";
        (rule.host.span().start, message.to_owned())
    })?;
    let mut methods = Vec::new();
    for method in rule.methods {
        let is_method =
            !method.get_ref().is_empty() && method.get_ref().bytes().all(|byte| byte.is_ascii_uppercase());
        if !is_method || method.get_ref() == "CONNECT" {
            let message = "a method is a word in upper case, such as \"GET\", and not CONNECT".to_owned();
            return Err((method.span().start, message));
        }
        methods.push(method.into_inner());
    }
    let timeout = match rule.timeout {
        None => REQUEST_TIME,
        Some(time) => {
            let long = || (time.span().start, format!("a request takes at most {MAX_REQUEST_TIME:?}"));
            time.get_ref().0.filter(|time| *time <= MAX_REQUEST_TIME).ok_or_else(long)?
        }
    };
    let schemes = rule.schemes.unwrap_or_else(|| vec![Scheme::Https]);
    Ok(HttpGrant {
        host,
        schemes: schemes.into_iter().map(HttpScheme::from).collect(),
        ports: rule.ports,
        methods,
        private: rule.private.is_some_and(|private| private.into_inner()),
        max_response_bytes: rule.max_response.map_or(MAX_RESPONSE_BYTES, |size| size.as_u64()),
        timeout,
        said_in: None,
    })
}

impl From<Scheme> for HttpScheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Http => Self::Http,
            Scheme::Https => Self::Https,
        }
    }
}
