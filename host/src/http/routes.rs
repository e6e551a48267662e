//! From a request to its response.

use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request};

use super::body::{Body, Response};
use super::coding::{self, Coding};
use super::problem::Problem;
use super::request::{self, Query};
use super::request_body::{self, RequestBody};
use super::resource::{ROUTES, Resource};
use super::{
    Api, children, cors, files, health, many, metrics, page, parameters, presence, progress, pruning, runs,
    signals, start, stream, tasks, uploads, websocket,
};
use crate::model::MAX_SIGNAL_BYTES;

/// Answers a request, also one that makes no sense.
pub(super) async fn respond(api: &Arc<Api>, request: Request<Incoming>) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_head = *request.method() == Method::HEAD;
    let wanted = Coding::wanted(request.headers());
    let ends_unread = request_body::ends_unread(&request);
    let mut response = dispatch(api, request).await.unwrap_or_else(Problem::response);
    coding::whole(wanted, &mut response);
    cors::allow(api, origin.as_ref(), &mut response);
    // A browser must never take an answer for anything else than it says to be.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if ends_unread && response.status().is_client_error() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if is_head {
        leave_out_body(&mut response);
    }
    response
}

/// Of an answer to `HEAD`. hyper does so over HTTP/1 only.
fn leave_out_body(response: &mut Response) {
    let body = std::mem::replace(response.body_mut(), Body::empty());
    if let Some(length) = body.size_hint().exact().filter(|&length| length > 0) {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

async fn dispatch(api: &Arc<Api>, request: Request<Incoming>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut body = RequestBody::of(&parts, body);
    cors::check(api, &parts)?;
    request::check_codings(&parts.headers)?;
    let path = parts.uri.path();
    let matched = ROUTES.at(path);
    let matched =
        matched.map_err(|_| Problem::not_found("unknown-path", format!("there is nothing at {path}")))?;
    let resource = *matched.value;
    if parts.method == Method::OPTIONS {
        return Ok(options(resource));
    }
    let method = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
    if !resource.methods().contains(method) {
        return Err(Problem::method_not_allowed(resource.allow()));
    }
    let query = Query::of(&parts.uri)?;
    parameters::check(&query, parameters::of(resource, method))?;
    let part = |name| matched.params.get(name).unwrap_or_default();
    match resource {
        Resource::Index => Ok(page::index(&parts.headers)),
        Resource::PageFile => page::get(part("file"), &parts.headers),
        Resource::ClientModule => page::client(&parts.headers),
        Resource::Health => health::healthy(api).await,
        Resource::Ready => Ok(health::ready(api)),
        Resource::Tasks => Ok(tasks::list(api)),
        Resource::Task if *method != Method::GET => {
            uploads::change(api, &parts, [part("app"), part("task")], &mut body).await
        }
        Resource::Task => tasks::get(api, [part("app"), part("task")]),
        Resource::TaskRuns => {
            let body = body.whole(api.config().max_input_bytes, &api.body_room).await?;
            start::post(api, &parts.headers, &query, [part("app"), part("task")], body).await
        }
        Resource::Runs => runs::list(api, &parts.headers, &query).await,
        Resource::StreamStatus => presence::status(api, [part("app"), part("task"), part("run")]).await,
        Resource::Streams => presence::list(api).await,
        Resource::Events => many::get(api, &parts, &query).await,
        Resource::Metrics => Ok(metrics::get(api)),
        Resource::Run if *method == Method::DELETE => pruning::remove(api, part("run")).await,
        Resource::Run => runs::get(api, part("run")).await,
        Resource::Children => children::get(api, &query, part("run")).await,
        Resource::Progress => progress::get(api, part("run")).await,
        Resource::Retry => {
            let body = body.whole(api.config().max_input_bytes, &api.body_room).await?;
            start::retry(api, &parts.headers, &query, part("run"), body).await
        }
        Resource::Cancel => runs::cancel(api, part("run")).await,
        Resource::Pause => signals::hold(api, part("run"), true).await,
        Resource::Resume => signals::hold(api, part("run"), false).await,
        Resource::Signal => {
            let body = body.whole(MAX_SIGNAL_BYTES, &api.body_room).await?;
            signals::signal(api, part("run"), &name(part("name"))?, body).await
        }
        Resource::Parameters => signals::parameters(api, part("run")).await,
        Resource::Parameter => {
            let body = body.whole(MAX_SIGNAL_BYTES, &api.body_room).await?;
            signals::set_parameter(api, part("run"), &name(part("name"))?, body).await
        }
        Resource::ManifestSchema => Ok(tasks::manifest_schema()),
        Resource::Prune => pruning::prune(api, &query).await,
        Resource::Files => files::list(api, part("run")).await,
        Resource::File => files::get(api, part("run"), part("path")).await,
        Resource::Stream => {
            let path = [part("app"), part("task"), part("run")];
            if let Some(refused) = websocket::refuse_broken(&parts.headers) {
                return Ok(refused);
            }
            if !websocket::is_wanted(&parts.headers) {
                return stream::get(api, &parts, &query, path).await;
            }
            // The upgrade takes the parts that the path lies in.
            let path = path.map(str::to_owned);
            websocket::open(api, parts, &query, path.each_ref().map(String::as_str)).await
        }
    }
}

/// A name in a path, which may have characters that a path can't.
pub(super) fn name(encoded: &str) -> Result<String, Problem> {
    let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8();
    decoded.map(Into::into).map_err(|_| Problem::bad_request("invalid-name", "the name is not UTF-8"))
}

fn options(resource: Resource) -> Response {
    let mut response = cors::preflight();
    if let Ok(allow) = HeaderValue::try_from(resource.allow()) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    *response.body_mut() = Body::empty();
    response
}
