//! Routing: from a request to its response.

use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request};
use matchit::Params;

use super::body::{Body, Response};
use super::coding::{self, Coding};
use super::problem::Problem;
use super::request::{self, Query};
use super::request_body::{self, RequestBody};
use super::resource::{ROUTES, Resource};
use super::{
    Api, children, cors, files, health, hosts, metrics, page, parameters, presence, progress, pruning, runs,
    several_runs, signals, start, stream, tasks, uploads, websocket,
};
use crate::model::MAX_SIGNAL_BYTES;

/// Respond to a request, also to an invalid one.
pub(super) async fn respond(api: &Arc<Api>, request: Request<Incoming>) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_head = *request.method() == Method::HEAD;
    let wanted = Coding::wanted(request.headers());
    let ends_unread = request_body::ends_unread(&request);
    let mut response = route(api, request).await.unwrap_or_else(Problem::response);
    coding::whole(wanted, &mut response);
    cors::allow(api, origin.as_ref(), &mut response);
    // A browser must not guess another content type.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if ends_unread && response.status().is_client_error() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if is_head {
        leave_out_body(&mut response);
    }
    response
}

/// Remove the body of a response to `HEAD`, which hyper does over HTTP/1 only.
fn leave_out_body(response: &mut Response) {
    let body = std::mem::replace(response.body_mut(), Body::empty());
    if let Some(length) = body.size_hint().exact().filter(|&length| length > 0) {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Check a request and find its resource.
async fn route(api: &Arc<Api>, request: Request<Incoming>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = RequestBody::of(&parts, body);
    cors::check(api, &parts)?;
    request::check_codings(&parts.headers)?;
    // The path parameters borrow from it, and an upgrade to a WebSocket takes `parts`.
    let uri = parts.uri.clone();
    let path = uri.path();
    let matched = ROUTES
        .at(path)
        .map_err(|_| Problem::not_found("unknown-path", format!("there is nothing at {path}")))?;
    let resource = *matched.value;
    if parts.method == Method::OPTIONS {
        return Ok(options(resource));
    }
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
    if !resource.methods().contains(&method) {
        return Err(Problem::method_not_allowed(resource.allow()));
    }
    let query = Query::of(&parts.uri)?;
    parameters::check(&query, parameters::of(resource, &method))?;
    Call { api, method, parts, path: matched.params, query, body }.dispatch(resource).await
}

/// A valid request for a resource.
struct Call<'a> {
    api: &'a Arc<Api>,
    /// `GET` for a `HEAD` request.
    method: Method,
    parts: Parts,
    path: Params<'static, 'a>,
    query: Query,
    body: RequestBody,
}

impl<'a> Call<'a> {
    async fn dispatch(mut self, resource: Resource) -> Result<Response, Problem> {
        let (api, run) = (self.api, self.parameter("run"));
        match resource {
            Resource::Index => Ok(page::index(&self.parts.headers)),
            Resource::PageFile => page::get(self.parameter("file"), &self.parts.headers),
            Resource::ClientModule => page::client(&self.parts.headers),
            Resource::ManifestSchema => Ok(tasks::manifest_schema()),
            Resource::Health => health::healthy(api).await,
            Resource::Ready => Ok(health::ready(api)),
            Resource::Metrics => Ok(metrics::get(api)),
            Resource::Tasks => Ok(tasks::list(api)),
            Resource::Task if self.method == Method::GET => tasks::get(api, self.task()),
            Resource::Task => uploads::change(api, &self.parts, self.task(), &mut self.body).await,
            Resource::TaskRuns => self.start().await,
            Resource::Runs => runs::list(api, &self.parts.headers, &self.query).await,
            Resource::Run if self.method == Method::DELETE => pruning::remove(api, run).await,
            Resource::Run => runs::get(api, run).await,
            Resource::Children => children::get(api, &self.query, run).await,
            Resource::Progress => progress::get(api, run).await,
            Resource::Retry => self.retry().await,
            Resource::Cancel => runs::cancel(api, run).await,
            Resource::Pause => signals::set_paused(api, run, true).await,
            Resource::Resume => signals::set_paused(api, run, false).await,
            Resource::Signal => self.signal().await,
            Resource::Parameters => signals::parameters(api, run).await,
            Resource::Parameter => self.set_parameter().await,
            Resource::Prune => pruning::prune(api, &self.query).await,
            Resource::Files => files::list(api, run).await,
            Resource::File => files::get(api, run, self.parameter("path")).await,
            Resource::Stream => self.stream().await,
            Resource::StreamStatus => presence::status(api, self.stream_path()).await,
            Resource::Streams => presence::list(api).await,
            Resource::Hosts => hosts::list(api).await,
            Resource::Events => several_runs::get(api, &self.parts, &self.query).await,
        }
    }

    /// A parameter of the path.
    fn parameter(&self, name: &str) -> &'a str {
        self.path.get(name).unwrap_or_default()
    }

    fn task(&self) -> [&'a str; 2] {
        [self.parameter("app"), self.parameter("task")]
    }

    fn stream_path(&self) -> [&'a str; 3] {
        [self.parameter("app"), self.parameter("task"), self.parameter("run")]
    }

    async fn start(mut self) -> Result<Response, Problem> {
        let body = self.body.whole(self.api.config().max_input_bytes, &self.api.body_budget).await?;
        start::post(self.api, &self.parts.headers, &self.query, self.task(), body).await
    }

    async fn retry(mut self) -> Result<Response, Problem> {
        let body = self.body.whole(self.api.config().max_input_bytes, &self.api.body_budget).await?;
        start::retry(self.api, &self.parts.headers, &self.query, self.parameter("run"), body).await
    }

    async fn signal(mut self) -> Result<Response, Problem> {
        let body = self.body.whole(MAX_SIGNAL_BYTES, &self.api.body_budget).await?;
        signals::signal(self.api, self.parameter("run"), &name(self.parameter("name"))?, body).await
    }

    async fn set_parameter(mut self) -> Result<Response, Problem> {
        let body = self.body.whole(MAX_SIGNAL_BYTES, &self.api.body_budget).await?;
        signals::set_parameter(self.api, self.parameter("run"), &name(self.parameter("name"))?, body).await
    }

    async fn stream(self) -> Result<Response, Problem> {
        let path = self.stream_path();
        if let Some(response) = websocket::refuse_broken(&self.parts.headers) {
            return Ok(response);
        }
        if !websocket::is_wanted(&self.parts.headers) {
            return stream::get(self.api, &self.parts, &self.query, path).await;
        }
        websocket::open(self.api, self.parts, &self.query, path).await
    }
}

/// Decode a name in a path.
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
