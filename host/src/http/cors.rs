//! Which pages of other origins may call the host.
//!
//! A browser sends along where a page came from. Reading answers needs the
//! host's consent (CORS); sending something does not, so requests that change
//! something are refused here unless their page is the host's own or allowed.

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::body::{Body, Response};
use super::problem::Problem;
use super::request::header;
use super::{Api, Config};

/// How long a browser may remember what a preflight allowed, in seconds.
const PREFLIGHT_AGE: u32 = 600;
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
const HEADERS: &str = "Content-Type, Last-Event-ID, Idempotency-Key, Authorization, X-Request-Id";
const EXPOSED: &str = "Location, X-Request-Id, Retry-After, Idempotent-Replayed";

/// Refuses what a foreign page must not do, and names under which this machine is
/// not known.
pub(super) fn check(
    api: &Api,
    method: &Method,
    headers: &HeaderMap,
    authority: Option<&str>,
) -> Result<(), Problem> {
    let config = api.config();
    let host = authority.or_else(|| header(headers, header::HOST));
    if api.loopback && !host.is_none_or(|host| is_local(host, &config.allowed_hosts)) {
        // A page can make its own name point to 127.0.0.1; the name stays foreign.
        let detail = "this host is not served under that name; add it to `allowed_hosts` if it should be";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "foreign-host", detail));
    }
    let Some(origin) = header(headers, header::ORIGIN) else { return Ok(()) };
    // A browser opens a WebSocket for every page, and what comes over it can cancel.
    let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        || headers.contains_key(header::UPGRADE);
    if changes && !is_same_origin(origin, host) && !is_allowed(&config, origin) {
        let detail =
            format!("pages of {origin} may not do this; add the origin to `cors_origins` if they should");
        return Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail));
    }
    Ok(())
}

/// Refuses pages of origins that were not named: that all pages may start tasks does not
/// mean that all may bring their own.
pub(super) fn check_named(api: &Api, parts: &Parts) -> Result<(), Problem> {
    let Some(origin) = header(&parts.headers, header::ORIGIN) else { return Ok(()) };
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let host = authority.or_else(|| header(&parts.headers, header::HOST));
    if is_same_origin(origin, host) || api.config().cors_origins.iter().any(|named| named == origin) {
        return Ok(());
    }
    let detail =
        format!("pages of {origin} may not do this; name the origin in `cors_origins` if they should");
    Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail))
}

/// Answers a preflight.
pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(PREFLIGHT_AGE));
    response
}

/// Lets an allowed page read the response.
pub(super) fn allow(api: &Api, origin: Option<&HeaderValue>, response: &mut Response) {
    let config = api.config();
    if config.cors_origins.is_empty() {
        return;
    }
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) =
        origin.filter(|origin| origin.to_str().is_ok_and(|origin| is_allowed(&config, origin)))
    else {
        return;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    // Credentials only for origins that were named: with `*` every page on earth would act as the user.
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

fn is_local(host: &str, allowed: &[String]) -> bool {
    // The port says nothing: it may be a forwarded one.
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.parse::<std::net::IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
