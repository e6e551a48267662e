//! Access for pages of other origins.
//!
//! A browser names the origin of the page in its request. A page can read a response
//! only if the host allows that (CORS), but it can send requests in any case. So
//! requests that change something are rejected here, unless the page is the host's
//! own or has an allowed origin.

use std::net::{IpAddr, Ipv6Addr};

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};

use super::body::{Body, Response};
use super::problem::Problem;
use super::request::header;
use super::{Api, Config};

/// Time in seconds for which a browser may cache a preflight.
const PREFLIGHT_AGE: u32 = 600;
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
/// The headers that the host reads, and those that clients and their libraries usually add. A browser sends no request if
/// one of its headers is missing here.
const HEADERS: &str = "Content-Type, Last-Event-ID, Idempotency-Key, Authorization, X-Request-Id, Cache-Control, Pragma, \
                       If-None-Match, X-Requested-With, traceparent, tracestate, baggage";
const EXPOSED: &str = "Location, X-Request-Id, Retry-After, Idempotent-Replayed";

/// Reject forbidden requests of foreign pages, and unknown host names.
pub(super) fn check(api: &Api, parts: &Parts) -> Result<(), Problem> {
    let config = api.config();
    let host = host(parts)?;
    if !host.is_none_or(|host| is_known(name(host).unwrap_or_default(), &config.allowed_hosts, api.loopback))
    {
        // A page can make its own name resolve to this address (DNS rebinding), but the request still has that name.
        let detail = "this host is not served under that name; to allow it, add it to `allowed-hosts`";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "host-not-allowed", detail));
    }
    let Some(origin) = header(&parts.headers, header::ORIGIN) else { return Ok(()) };
    // A browser opens a WebSocket for any page, and its messages can cancel the run.
    let changes = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS)
        || parts.headers.contains_key(header::UPGRADE);
    if changes && !is_same_origin(origin, host) && !is_allowed(&config, origin) {
        let detail = format!(
            "pages of the origin {origin} are not allowed to do this; to allow them, add it to `cors-origins`"
        );
        return Err(Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", detail));
    }
    Ok(())
}

/// Whether the requester may read the response. A browser fetches every URL in a page, for example of an image, even if the
/// page may not read the response. Such a fetch does not count as a client, whose disconnect can cancel a run.
pub(super) fn reads(config: &Config, parts: &Parts) -> bool {
    if parts.method == Method::HEAD {
        return false;
    }
    let host = host(parts).ok().flatten();
    let may_read = |origin: &str| is_same_origin(origin, host) || is_allowed(config, origin);
    if let Some(origin) = header(&parts.headers, header::ORIGIN) {
        return may_read(origin);
    }
    match header(&parts.headers, HeaderName::from_static("sec-fetch-site")) {
        // Without CORS, only the host's own page can read it, or the user who entered the URL.
        Some(site) => matches!(site, "same-origin" | "none"),
        // Not a browser, or one that omits the header for URLs without TLS.
        None => header(&parts.headers, header::REFERER).is_none_or(|page| {
            let authority = page.find("://").map_or(0, |at| at + 3);
            let end = page[authority..].find('/').map_or(page.len(), |at| authority + at);
            may_read(&page[..end])
        }),
    }
}

/// The name of the host in a request. `None` only in a request of HTTP/1.0. Several names are rejected, because a proxy
/// could use another one than the host.
fn host(parts: &Parts) -> Result<Option<&str>, Problem> {
    let refuse = |detail: &str| Err(Problem::bad_request("invalid-host", detail));
    let mut names = parts.headers.get_all(header::HOST).iter();
    let named = names.next().map(|name| name.to_str().unwrap_or_default());
    if names.next().is_some() {
        return refuse("the request has more than one `Host`");
    }
    if named.is_none() && parts.version == Version::HTTP_11 {
        return refuse("the request has no `Host`");
    }
    let target = parts.uri.authority().map(|authority| authority.as_str());
    if target.or(named).is_none() && parts.version >= Version::HTTP_11 {
        return refuse("the request has no `:authority`");
    }
    if target.into_iter().chain(named).any(|host| name(host).is_none()) {
        return refuse("the request's `Host` is not a valid name or address with an optional port");
    }
    Ok(target.or(named))
}

/// A host name without its port. `None` if it is invalid.
fn name(host: &str) -> Option<&str> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(inner) => inner.split_once(']').filter(|(name, _)| name.parse::<Ipv6Addr>().is_ok())?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:%!$&'()*+,;=".contains(&byte);
    let port = rest.strip_prefix(':').unwrap_or(rest);
    let has_port = rest.is_empty() || rest.starts_with(':');
    let fits = !name.is_empty() && name.bytes().all(plain);
    (fits && has_port && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

/// Reject pages whose origin is not named in the settings. `*` lets all pages start tasks,
/// but does not let them upload their own.
pub(super) fn check_named(api: &Api, parts: &Parts) -> Result<(), Problem> {
    let Some(origin) = header(&parts.headers, header::ORIGIN) else { return Ok(()) };
    if is_same_origin(origin, host(parts)?) || api.config().cors_origins.iter().any(|named| named == origin) {
        return Ok(());
    }
    let detail = format!(
        "pages of the origin {origin} are not allowed to do this; to allow them, name it in `cors-origins`"
    );
    Err(Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", detail))
}

/// The response to a preflight.
pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(PREFLIGHT_AGE));
    response
}

/// Let an allowed page read the response.
pub(super) fn allow(api: &Api, origin: Option<&HeaderValue>, response: &mut Response) {
    let config = api.config();
    let headers = response.headers_mut();
    // Pages can't embed responses that they may not read. Allowed pages use CORS, which this header does not affect.
    let embeds =
        if config.cors_origins.iter().any(|allowed| allowed == "*") { "cross-origin" } else { "same-origin" };
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static(embeds));
    if config.cors_origins.is_empty() {
        return;
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) =
        origin.filter(|origin| origin.to_str().is_ok_and(|origin| is_allowed(&config, origin)))
    else {
        return;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    // Credentials only for named origins: with `*`, any page could act as the user.
    if config.cors_origins.iter().any(|allowed| origin == allowed) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

fn is_allowed(config: &Config, origin: &str) -> bool {
    config.cors_origins.iter().any(|allowed| allowed == "*" || allowed == origin)
}

fn is_same_origin(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some() && authority == host
}

/// Whether a name belongs to this host. A foreign page can make its own name resolve to any address, so names other than
/// IP addresses and those of this machine have to be allowed. Names without a dot do not exist on the internet, so they
/// are allowed if other machines can reach the host.
fn is_known(name: &str, allowed: &[String], loopback: bool) -> bool {
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || !loopback && !name.contains('.')
        || allowed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_local(host: &str, allowed: &[String]) -> bool {
        is_known(name(host).unwrap_or_default(), allowed, true)
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_a_port() {
        for (host, expected) in [
            ("a.b:80", "a.b"),
            ("A", "A"),
            ("[::1]:8080", "::1"),
            ("[::1]", "::1"),
            ("a:", "a"),
            ("1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(name(host), Some(expected));
        }
        for bad in [
            "localhost:80@evil.com",
            "evil.com@localhost",
            "",
            ":80",
            "a:b",
            "a:1:2",
            "[::1",
            "[x]",
            "[::1]x",
            "a/b",
            "a b",
        ] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_host_on_a_network_has_addresses_plain_names_and_allowed_names() {
        for known in ["10.0.0.5", "streamtask", "localhost", "tasks.lan"] {
            assert!(is_known(known, &["tasks.lan".to_owned()], false), "{known}");
        }
        for foreign in ["evil.com", "tasks.lan.evil.com", "streamtask."] {
            assert!(!is_known(foreign, &["tasks.lan".to_owned()], false), "{foreign}");
            assert!(is_known(foreign, &["*".to_owned()], false), "{foreign}");
        }
        assert!(!is_known("streamtask", &[], true), "only this machine can reach it");
    }

    #[test]
    fn only_names_of_this_machine_are_local() {
        for local in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "app.localhost:1",
            "10.0.0.5",
        ] {
            assert!(is_local(local, &[]), "{local}");
        }
        for foreign in ["evil.com", "evil.com:8080", "localhost.evil.com", "", "127.0.0.1.evil.com"] {
            assert!(!is_local(foreign, &[]), "{foreign}");
        }
        assert!(is_local("tasks.lan:80", &["tasks.lan".to_owned()]));
    }

    #[test]
    fn an_origin_is_the_same_only_with_the_same_authority() {
        assert!(is_same_origin("http://localhost:8080", Some("localhost:8080")));
        assert!(!is_same_origin("http://localhost:8081", Some("localhost:8080")));
        assert!(!is_same_origin("null", Some("localhost:8080")));
        assert!(!is_same_origin("http://localhost:8080", None));
    }

    #[test]
    fn only_a_requester_that_may_read_the_response_counts_as_a_client() {
        let cors_origins = vec!["https://friend.example".to_owned()];
        let config = Config { cors_origins, ..Config::default() };
        let is_reader = |method: Method, headers: &[(&str, &str)]| {
            let mut request =
                hyper::Request::builder().method(method).uri("/").header("host", "localhost:80");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            reads(&config, &request.body(()).expect("a request").into_parts().0)
        };
        for reader in [
            vec![],
            vec![("origin", "https://friend.example"), ("sec-fetch-site", "cross-site")],
            vec![("origin", "http://localhost:80")],
            vec![("sec-fetch-site", "same-origin")],
            vec![("sec-fetch-site", "none")],
            vec![("referer", "http://localhost:80/")],
            vec![("referer", "https://friend.example/page?q")],
        ] {
            assert!(is_reader(Method::GET, &reader), "{reader:?}");
            assert!(!is_reader(Method::HEAD, &reader), "{reader:?}");
        }
        for foreign in [
            vec![("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
            vec![("origin", "null")],
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site")],
            vec![("sec-fetch-site", "cross-site"), ("referer", "http://localhost:80/")],
            vec![("referer", "https://evil.example/http://localhost:80")],
            vec![("referer", "nonsense")],
        ] {
            assert!(!is_reader(Method::GET, &foreign), "{foreign:?}");
        }
    }
}
