//! Files for browsers: the page at `/`, and the client module for other pages. Both are compiled
//! into the program.

use std::collections::HashMap;
use std::sync::LazyLock;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::body::{Body, Response};
use super::problem::Problem;
use super::request::header_list;
use super::{accept, health, media_type};
use crate::model::Version;

type Files = &'static [(&'static str, &'static [u8])];
include!(concat!(env!("OUT_DIR"), "/page.rs"));

const INDEX: &str = "index.html";
/// The client module for other pages, from `web/client`.
const CLIENT: &str = "streamtask.js";
static CLIENT_MODULE: &[u8] = include_bytes!("../../../web/client/streamtask.js");

/// Content security policy of the page. It shows output of guests, which must neither be executed nor cause requests to
/// other servers.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct File {
    content: &'static [u8],
    media_type: HeaderValue,
    /// The entity tag, from a digest of the content.
    tag: HeaderValue,
}

/// All files by name.
static FILES: LazyLock<HashMap<&'static str, File>> = LazyLock::new(|| {
    let file = |&(name, content): &(&'static str, &'static [u8])| {
        let digest = Version::of(content).to_string();
        let tag = HeaderValue::try_from(format!("\"{}\"", &digest[..16])).expect("hexadecimal");
        (name, File { content, media_type: media_type::header_of_file(name), tag })
    };
    PAGE.iter().chain([&(CLIENT, CLIENT_MODULE)]).map(file).collect()
});

/// `GET /`: the page for clients that prefer HTML, otherwise links to the main resources.
pub(super) fn index(headers: &HeaderMap) -> Response {
    let wanted = header_list(headers, header::ACCEPT);
    let mut response = match accept::best(wanted.as_deref(), &["application/json", "text/html"]) {
        Some("text/html") => file(INDEX, headers).unwrap_or_else(Problem::response),
        _ => health::index(),
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// `GET /page/{file}`.
pub(super) fn get(name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    // Each file has one URL, and these have theirs elsewhere.
    match name {
        INDEX | CLIENT => Err(unknown(name)),
        _ => file(name, headers),
    }
}

/// `GET /streamtask.js`.
pub(super) fn client(headers: &HeaderMap) -> Result<Response, Problem> {
    file(CLIENT, headers)
}

fn file(name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let Some(File { content, media_type, tag }) = FILES.get(name) else {
        return Err(unknown(name));
    };
    let is_cached = header_list(headers, header::IF_NONE_MATCH)
        .is_some_and(|tags| tags.split(',').any(|cached| cached.trim().trim_start_matches("W/") == tag));
    let mut response = Response::new(if is_cached { Body::empty() } else { Body::whole(*content) });
    if is_cached {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let mut set = |name: HeaderName, value: &'static str| {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::REFERRER_POLICY, "no-referrer");
    // After an update of the host, browsers must load the new page at once.
    set(header::CACHE_CONTROL, "no-cache");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type.clone());
    response.headers_mut().insert(header::ETAG, tag.clone());
    Ok(response)
}

fn unknown(name: &str) -> Problem {
    Problem::not_found("unknown-path", format!("there is nothing at /page/{name}"))
}
