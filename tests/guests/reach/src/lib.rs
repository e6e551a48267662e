//! A guest that accesses servers, environment variables and files, with or without grants.
//!
//! Input: `{"do": NAME, …}`. It is separate from the probe, so that the probe has only the imports
//! of a task without grants.

use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};

use serde_json::{Value, json};
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, PathFlags};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};

use streamtask::task::{control, events};

wit_bindgen::generate!({ path: "../../../wit", world: "streamtask:task/task" });

struct Reach;

impl Guest for Reach {
    fn process(input: String) -> Result<String, Failure> {
        let input: Value = serde_json::from_str(&input).map_err(|error| failure(&error.to_string()))?;
        match input["do"].as_str().unwrap_or_default() {
            "fetch" => Ok(answer(fetch(&input)).to_string()),
            "fetch-many" => Ok(fetch_many(&input).to_string()),
            "env" => Ok(Value::Object(std::env::vars().map(|(name, value)| (name, value.into())).collect())
                .to_string()),
            "tell" => tell(&input),
            "files" => Ok(Value::Array(list(&input["steps"]).iter().map(file_step).collect()).to_string()),
            other => Err(failure(&format!("can't do {other:?}"))),
        }
    }
}

fn failure(message: &str) -> Failure {
    Failure { message: message.to_owned(), code: None, details: None, retryable: false, retry_after_ms: None }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn answer(result: Result<Value, ErrorCode>) -> Value {
    result.unwrap_or_else(|error| json!({ "error": format!("{error:?}") }))
}

/// `{"url", "method"?, "body"?, "authorization_env"?, "first_byte_ms"?}`, the URL as
/// simple as `scheme://authority/path`.
fn fetch(input: &Value) -> Result<Value, ErrorCode> {
    receive(send(input)?)
}

fn send(input: &Value) -> Result<FutureIncomingResponse, ErrorCode> {
    let headers = Fields::new();
    if let Ok(authorization) = std::env::var(text(input, "authorization_env")) {
        headers.set("authorization", &[authorization.into_bytes()]).expect("a header");
    }
    let request = OutgoingRequest::new(headers);
    let (scheme, rest) = text(input, "url").split_once("://").unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let method = match input["method"].as_str() {
        None | Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        Some("CONNECT") => Method::Connect,
        Some(other) => Method::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| ErrorCode::HttpRequestMethodInvalid)?;
    request.set_scheme(Some(&scheme)).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    request.set_authority(Some(authority)).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    request.set_path_with_query(Some(&format!("/{path}"))).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    let body = request.body().expect("taken once");
    let options = RequestOptions::new();
    if let Some(ms) = input["first_byte_ms"].as_u64() {
        options.set_first_byte_timeout(Some(ms * 1_000_000)).expect("supported");
    }
    let response = handle(request, Some(options))?;
    if let Some(sent) = input["body"].as_str() {
        let stream = body.write().expect("taken once");
        for piece in sent.as_bytes().chunks(4096) {
            stream.blocking_write_and_flush(piece).expect("the host takes it");
        }
    }
    OutgoingBody::finish(body, None)?;
    Ok(response)
}

/// `{"status", "location", "body"}`, or the error with the number of received bytes.
fn receive(response: FutureIncomingResponse) -> Result<Value, ErrorCode> {
    response.subscribe().block();
    let response = response.get().expect("it is ready").expect("taken once")?;
    let location = response.headers().get("location").pop();
    let body = response.consume().expect("taken once");
    let stream = body.stream().expect("taken once");
    let mut content = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(piece) => content.extend(piece),
            Err(wasip2::io::streams::StreamError::Closed) => break,
            Err(wasip2::io::streams::StreamError::LastOperationFailed(error)) => {
                let code = wasip2::http::types::http_error_code(&error);
                let code = code.map_or_else(|| error.to_debug_string(), |code| format!("{code:?}"));
                return Ok(json!({ "error": code, "received": content.len() }));
            }
        }
    }
    drop(stream);
    IncomingBody::finish(body);
    Ok(json!({
        "status": response.status(),
        "location": location.map(|location| String::from_utf8_lossy(&location).into_owned()),
        "body": String::from_utf8_lossy(&content),
    }))
}

/// Sends `count` requests before it reads the first response.
fn fetch_many(input: &Value) -> Value {
    let sent: Vec<_> = (0..input["count"].as_u64().unwrap_or(1)).map(|_| send(input)).collect();
    Value::Array(sent.into_iter().map(|sent| answer(sent.and_then(receive))).collect())
}

/// Outputs the variable `name` in all ways available to guests, and ends as `how` defines.
fn tell(input: &Value) -> Result<String, Failure> {
    let secret = std::env::var(text(input, "name")).map_err(|error| failure(&error.to_string()))?;
    events::send_event("told", &json!({ "a": format!("<{secret}>"), &secret: 1 }).to_string()).expect("sent");
    let escaped: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    events::send_event(&secret, &format!("[\"{escaped}\"]")).expect("sent");
    events::send_event_on(&secret, "told", "null").expect("sent");
    events::send_bytes("", "told", &format!("text/{secret}"), format!("<{secret}>").as_bytes())
        .expect("sent");
    // In two writes of one line, and across the position where a long line is split.
    let (one, two) = secret.split_at(secret.len() / 2);
    print!("log {one}");
    io::stdout().flush().expect("taken");
    control::sleep_ms(1);
    println!("{two} end");
    println!("{}{secret} end", "x".repeat(8192 - secret.len() / 2));
    eprintln!("error {secret}");
    match text(input, "how") {
        "fail" => Err(Failure {
            code: Some(secret.clone()),
            details: Some(json!([secret]).to_string()),
            ..failure(&format!("failed with {secret}"))
        }),
        "panic" => panic!("panicked with {secret}"),
        "not-json" => Ok(format!("not JSON {secret}")),
        _ => Ok(json!({ "final": secret }).to_string()),
    }
}

/// One file access; returns its result or the error.
fn file_step(step: &Value) -> Value {
    let path = text(step, "path");
    let done = match text(step, "op") {
        "read" => fs::read_to_string(path).map(Value::from),
        "write" => {
            fs::write(path, text(step, "text").repeat(step["times"].as_u64().unwrap_or(1) as usize)).map(ok)
        }
        "append" => {
            let opened = fs::OpenOptions::new().append(true).create(true).open(path);
            opened.and_then(|mut file| file.write_all(text(step, "text").as_bytes())).map(ok)
        }
        "write-at" => write_at(path, step["at"].as_u64().unwrap_or(0), text(step, "text")).map(ok),
        "set-size" => fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .and_then(|file| file.set_len(step["size"].as_u64().unwrap_or(0)))
            .map(ok),
        "mkdir" => fs::create_dir(path).map(ok),
        "list" => names(path),
        "remove" => fs::remove_file(path).map(ok),
        "rename" => fs::rename(path, text(step, "to")).map(ok),
        "link" => fs::hard_link(path, text(step, "to")).map(ok),
        "symlink" => return symlink(text(step, "mount"), text(step, "to"), path),
        "size" => fs::metadata(path).map(|metadata| metadata.len().into()),
        "open-many" => return open_many(path, step["count"].as_u64().unwrap_or(0)),
        other => panic!("no such step: {other:?}"),
    };
    done.unwrap_or_else(|error| json!({ "error": error.to_string() }))
}

fn ok<T>(_: T) -> Value {
    json!("ok")
}

fn write_at(path: &str, at: u64, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.seek(io::SeekFrom::Start(at))?;
    file.write_all(text.as_bytes())
}

fn names(path: &str) -> io::Result<Value> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(json!(names))
}

/// At the WASI level, because std has no links here.
fn symlink(mount: &str, target: &str, path: &str) -> Value {
    let folder = |mount: &str| -> Option<Descriptor> {
        get_directories().into_iter().find(|(_, name)| name == mount).map(|(folder, _)| folder)
    };
    let Some(folder) = folder(mount) else { return json!({ "error": "no such mount" }) };
    match folder.symlink_at(target, path) {
        Ok(()) => match folder.stat_at(PathFlags::SYMLINK_FOLLOW, path) {
            Ok(_) => json!("followed"),
            Err(error) => json!({ "not_followed": error.name() }),
        },
        Err(error) => json!({ "error": error.name() }),
    }
}

/// The number of files that could be open at the same time.
fn open_many(path: &str, count: u64) -> Value {
    let mut open = Vec::new();
    for _ in 0..count {
        match fs::File::open(path) {
            Ok(mut file) => {
                let _ = file.read(&mut [0; 1]);
                open.push(file);
            }
            Err(error) => return json!({ "opened": open.len(), "error": error.to_string() }),
        }
    }
    json!({ "opened": open.len() })
}

export!(Reach);
