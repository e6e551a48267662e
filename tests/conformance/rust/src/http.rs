//! A request over `wasi:http`, with the crate that Rust's own standard library stands on.

use streamtask_sdk::{Failure, Value, json};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, IncomingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

pub(crate) fn get(url: &str) -> Result<Value, Failure> {
    request(url).map_err(|error| Failure::new(format_args!("{error:?}")).code("request"))
}

fn request(url: &str) -> Result<Value, ErrorCode> {
    let rest = url.strip_prefix("http://").ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let headers = Fields::new();
    headers.set("x-kit", &[b"yes".to_vec()]).expect("a header");
    let request = OutgoingRequest::new(headers);
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    request.set_path_with_query(Some(&format!("/{path}"))).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    let response = handle(request, None)?;
    response.subscribe().block();
    let response = response.get().expect("it is ready").expect("taken once")?;
    let body = response.consume().expect("taken once");
    let stream = body.stream().expect("taken once");
    let mut text = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(piece) => text.extend(piece),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return Err(ErrorCode::HttpResponseIncomplete),
        }
    }
    drop(stream);
    IncomingBody::finish(body);
    Ok(json!({ "status": response.status(), "body": String::from_utf8_lossy(&text) }))
}
