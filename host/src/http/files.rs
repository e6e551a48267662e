//! `/api/runs/{run}/files`: the output files of a run.
//!
//! A browser must save them and never show them: as a page of this host, a file of a
//! guest would have all permissions of the host's own pages.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::body::{Body, Broken, Response};
use super::problem::Problem;
use super::{Api, json, media_type, runs};
use crate::files::{FileEntry, Files};
use crate::model::{RunId, Timestamp};
use crate::storage::StorageError;

/// Size of one read, in bytes.
const READ_BYTES: usize = 64 << 10;
/// The characters to encode in the name of a file (RFC 8187).
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `GET /api/runs/{run}/files`: ordered by path.
pub(super) async fn list(api: &Api, id: &str) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct FileList {
        files: Vec<FileJson>,
    }
    #[derive(Serialize)]
    struct FileJson {
        path: String,
        /// In bytes.
        size: u64,
        content_type: Cow<'static, str>,
        modified: Timestamp,
        url: String,
    }
    let run = runs::find(api, id).await?.key.id;
    let url = |path: &str| {
        let names: Vec<String> =
            path.split('/').map(|name| utf8_percent_encode(name, NAME).to_string()).collect();
        format!("/api/runs/{id}/files/{}", names.join("/"))
    };
    let files = blocking(api, move |files| files.list(&run)).await?;
    let files = files.into_iter().map(|FileEntry { path, size, modified }| FileJson {
        content_type: media_type::of_file(&path),
        url: url(&path),
        path,
        size,
        modified,
    });
    Ok(json::response(StatusCode::OK, &FileList { files: files.collect() }))
}

/// `GET /api/runs/{run}/files/{path}`: the listed path, with each name encoded.
pub(super) async fn get(api: &Api, id: &str, path: &str) -> Result<Response, Problem> {
    let run: RunId = runs::find(api, id).await?.key.id;
    let unknown = || Problem::not_found("unknown-file", format!("the run {id:?} has no file {path:?}"));
    // Decoded name by name, so that an encoded slash becomes part of a name, which no file has.
    let names: Result<Vec<String>, _> =
        path.split('/').map(|name| percent_decode_str(name).decode_utf8().map(String::from)).collect();
    let names = names.map_err(|_| unknown())?;
    let opened = blocking(api, move |files| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        files.open(&run, &names)
    });
    let (file, entry) = opened.await?.ok_or_else(unknown)?;
    Ok(response(file, &entry))
}

fn response(file: File, entry: &FileEntry) -> Response {
    let name = entry.path.rsplit('/').next().unwrap_or_default();
    let disposition = format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(name, NAME));
    let mut response = Response::new(Body::Stream(Box::pin(content(file, entry.size).map_err(Broken::from))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media_type::header_of_file(name));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(entry.size));
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    // A browser that shows the file nevertheless must not run scripts in it, or give it the host's origin.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    // The run may still be writing the file.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Read `size` bytes of a file, in pieces. If the file has become shorter, the body breaks
/// off, so that the client knows that bytes are missing.
fn content(file: File, size: u64) -> impl stream::Stream<Item = Result<Bytes, StorageError>> + Send {
    stream::try_unfold((file, size), async |(file, left)| {
        if left == 0 {
            return Ok(None);
        }
        let (piece, file) =
            spawn_blocking(move || piece(file, left)).await.map_err(unreadable)?.map_err(unreadable)?;
        let left = left - piece.len() as u64;
        Ok(Some((piece, (file, left))))
    })
}

fn piece(mut file: File, left: u64) -> io::Result<(Bytes, File)> {
    let mut piece = vec![0; usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES))];
    let length = file.read(&mut piece)?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    piece.truncate(length);
    Ok((piece.into(), file))
}

fn unreadable(error: impl std::fmt::Display) -> StorageError {
    StorageError::Unavailable(format!("the file can't be read: {error}"))
}

/// Access the files on a thread for blocking calls.
async fn blocking<T: Send + 'static>(
    api: &Api,
    read: impl FnOnce(&Files) -> io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let files = Arc::clone(&api.files);
    let read = spawn_blocking(move || read(&files)).await;
    Ok(read.map_err(unreadable)?.map_err(unreadable)?)
}
