//! Content codings: compression of bodies, for clients that accept it.
//!
//! A stream is flushed after each write, so no event waits in a compressor. With gzip, the bytes that subscribers share
//! are compressed once for all of them: as deflate blocks without references to earlier data, which fit into the stream
//! of every subscriber. The other codings keep a window for each connection. Windows take memory, so their number is
//! limited.

mod blocks;

use std::io::{self, Write};
use std::sync::Arc;

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use futures_util::StreamExt as _;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::{Body, Broken, Response};
use super::request::header_list;
use super::{Api, accept, format};

pub(super) use self::blocks::{Frame, deflated};

/// Most compressors with a window of their own. Beyond that, bodies are sent uncompressed. One takes up to a megabyte.
const MAX_WINDOWS: usize = 256;
/// Size of such a window in bits: 128 KiB, a few batches of events.
const WINDOW_BITS: u32 = 17;
/// Brotli's quality, of at most 11: the fastest that still finds repeated words.
const BROTLI_QUALITY: u32 = 2;
/// Zstandard's level, of at most 22.
const ZSTD_LEVEL: i32 = 1;
/// Smallest piece that is compressed. For smaller ones, the overhead exceeds the gain.
const MIN_BYTES: usize = 200;
/// Smallest body that is compressed as a whole. Smaller ones fit into about one packet.
const MIN_WHOLE_BYTES: usize = 800;
/// Largest body that is compressed as a whole. Larger ones would block a thread of the runtime for too long.
const MAX_WHOLE_BYTES: usize = 1 << 20;

/// The compression windows that are free, for all connections together.
pub struct Windows(Arc<Semaphore>);

impl Default for Windows {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_WINDOWS)))
    }
}

/// A content coding of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Zstd,
    Brotli,
    Deflate,
}

/// All codings in order of preference. The first one costs least if many clients read the same bytes.
const CODINGS: [(Coding, &str); 4] =
    [(Coding::Gzip, "gzip"), (Coding::Zstd, "zstd"), (Coding::Brotli, "br"), (Coding::Deflate, "deflate")];

impl Coding {
    /// The coding that a client prefers. `None` for an uncompressed body.
    pub(super) fn wanted(headers: &HeaderMap) -> Option<Self> {
        Self::best(&header_list(headers, header::ACCEPT_ENCODING)?)
    }

    fn best(accepted: &str) -> Option<Self> {
        let items: Vec<(&str, u16)> = accept::weighted(accepted).collect();
        let of = |name: &str| {
            items
                .iter()
                .filter(|(item, _)| item.eq_ignore_ascii_case(name))
                .map(|(_, quality)| *quality)
                .max()
        };
        let quality = |name: &str| of(name).or_else(|| of("*"));
        // `identity` is acceptable by default, but only a client that lists it prefers it.
        let mut best = (of("identity").unwrap_or(0), None);
        for (coding, name) in CODINGS {
            if let Some(quality) = quality(name)
                && (quality > best.0 || quality == best.0 && quality > 0 && best.1.is_none())
            {
                best = (quality, Some(coding));
            }
        }
        best.1
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Deflate => "deflate",
        }
    }
}

/// Set the headers of a response that is compressed, or could be for another client.
pub(super) fn set_coding_headers(headers: &mut HeaderMap, coding: Option<Coding>) {
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
}

/// Compress a complete body, if the client accepts that and the size is worth it.
pub(super) fn whole(wanted: Option<Coding>, response: &mut Response) {
    let Body::Whole(Some(bytes)) = response.body() else { return };
    let textual =
        response.headers().get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok()).is_some_and(
            |media| {
                media.starts_with("text/")
                    || media.contains("json")
                    || media.contains("javascript")
                    || media.contains("svg")
            },
        );
    let is_worth_it = (MIN_WHOLE_BYTES..=MAX_WHOLE_BYTES).contains(&bytes.len());
    if !textual || !is_worth_it || response.headers().contains_key(header::CONTENT_ENCODING) {
        return;
    }
    let bytes = bytes.clone();
    // Gzip only: clients that prefer another coding mostly accept it too. Others get the body uncompressed.
    let coding = wanted.filter(|coding| *coding == Coding::Gzip);
    set_coding_headers(response.headers_mut(), coding);
    if coding.is_some() {
        // A weak tag, because the bytes differ although the content is the same.
        if let Some(tag) = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok())
            && let Ok(weak) = HeaderValue::try_from(format!("W/{tag}"))
        {
            response.headers_mut().insert(header::ETAG, weak);
        }
        *response.body_mut() = Body::whole(gzip(&bytes));
    }
}

/// Compress bytes to a complete gzip stream.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut frame = Frame::new();
    let mut packed = Frame::begin().to_vec();
    packed.extend_from_slice(&frame.pass(bytes, &deflated(bytes)));
    packed.extend_from_slice(&frame.end());
    packed
}

/// The coding of one stream.
pub(super) enum Stream {
    Plain,
    /// Gzip, of blocks that streams share.
    Shared(Frame),
    /// A coding with a window for this stream.
    Own(Box<Compressor>),
}

impl Stream {
    /// Create a stream with this coding, if a window is free. Returns it with the actual coding.
    pub(super) fn new(coding: Option<Coding>, windows: &Windows) -> (Self, Option<Coding>) {
        let plain = (Self::Plain, None);
        match coding {
            None => plain,
            Some(Coding::Gzip) => (Self::Shared(Frame::new()), coding),
            Some(own) => match Arc::clone(&windows.0).try_acquire_owned() {
                Ok(permit) => match Compressor::new(own, permit) {
                    Ok(compressor) => (Self::Own(Box::new(compressor)), coding),
                    Err(_) => plain,
                },
                Err(_) => plain,
            },
        }
    }

    fn pass(&mut self, bytes: &Bytes) -> Result<Bytes, Broken> {
        match self {
            Self::Plain => Ok(bytes.clone()),
            Self::Shared(frame) => {
                let mut packed = if frame.is_new() { Frame::begin().to_vec() } else { Vec::new() };
                packed.extend_from_slice(&frame.pass(bytes, &deflated(bytes)));
                Ok(packed.into())
            }
            Self::Own(own) => Ok(own.pass(bytes)?),
        }
    }

    /// Return the bytes that end the stream, if there are any.
    pub(super) fn end(&mut self) -> Option<Result<Bytes, Broken>> {
        match std::mem::replace(self, Self::Plain) {
            Self::Plain => None,
            Self::Shared(mut frame) => Some(Ok(frame.end())),
            Self::Own(mut own) => Some(own.end().map_err(Broken::from)),
        }
    }
}

/// A streaming response of this media type, with the coding that the client prefers.
pub(super) fn streamed(
    api: &Api,
    wanted: &HeaderMap,
    media: &'static str,
    stream: impl futures_core::Stream<Item = Result<Bytes, Broken>> + Send + 'static,
) -> Response {
    let (packed, coding) = Stream::new(Coding::wanted(wanted), &api.windows);
    let mut response = Response::new(Body::Stream(Box::pin(compress(stream, packed))));
    set_live_headers(response.headers_mut());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(format::content_type(media)));
    set_coding_headers(response.headers_mut(), coding);
    response
}

/// The response to a subscriber that has all events of an ended run. An `EventSource` does not reconnect after it.
pub(super) fn nothing_more() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    // A cache would send it to other subscribers, which have not read the run yet.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding, Last-Event-ID"));
    response
}

/// Set the headers of a streaming response.
pub(super) fn set_live_headers(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.append(header::VARY, HeaderValue::from_static("Accept, Last-Event-ID"));
    // Otherwise nginx delays events until its buffer is full.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}

/// Compress a stream piece by piece.
fn compress<S: futures_core::Stream<Item = Result<Bytes, Broken>>>(
    stream: S,
    coded: Stream,
) -> impl futures_core::Stream<Item = Result<Bytes, Broken>> {
    let state = (Box::pin(stream), coded, false);
    futures_util::stream::unfold(state, async |(mut stream, mut coded, ended)| {
        if ended {
            return None;
        }
        let (bytes, ended) = match stream.next().await {
            Some(Ok(bytes)) => (coded.pass(&bytes), false),
            Some(Err(error)) => (Err(error), true),
            None => (coded.end()?, true),
        };
        Some((bytes, (stream, coded, ended)))
    })
}

/// A compressor with its own window, for one connection.
pub(super) struct Compressor {
    codec: Codec,
    _window: OwnedSemaphorePermit,
}

/// The state of a compressor, by coding.
enum Codec {
    Deflate(ZlibEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Ended,
}

impl Compressor {
    fn new(coding: Coding, window: OwnedSemaphorePermit) -> io::Result<Self> {
        let codec = match coding {
            Coding::Gzip | Coding::Deflate => {
                Codec::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast()))
            }
            Coding::Brotli => {
                Codec::Brotli(Box::new(CompressorWriter::new(Vec::new(), 4096, BROTLI_QUALITY, WINDOW_BITS)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(WINDOW_BITS)?;
                Codec::Zstd(encoder)
            }
        };
        Ok(Self { codec, _window: window })
    }

    /// Compress bytes and flush the compressor.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> io::Result<Bytes> {
        fn all(encoder: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
            encoder.write_all(bytes)?;
            encoder.flush()
        }
        let packed = match &mut self.codec {
            Codec::Deflate(encoder) => {
                all(encoder, bytes)?;
                std::mem::take(encoder.get_mut())
            }
            Codec::Brotli(encoder) => {
                all(encoder, bytes)?;
                std::mem::take(encoder.get_mut())
            }
            Codec::Zstd(encoder) => {
                all(encoder, bytes)?;
                std::mem::take(encoder.get_mut())
            }
            Codec::Ended => Vec::new(),
        };
        Ok(packed.into())
    }

    /// Return the bytes that end the stream.
    pub(super) fn end(&mut self) -> io::Result<Bytes> {
        let packed = match std::mem::replace(&mut self.codec, Codec::Ended) {
            Codec::Deflate(encoder) => encoder.finish()?,
            Codec::Brotli(encoder) => encoder.into_inner(),
            Codec::Zstd(encoder) => encoder.finish()?,
            Codec::Ended => Vec::new(),
        };
        Ok(packed.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::blocks::FLUSH;
    use super::*;

    fn best(accepted: &str) -> Option<Coding> {
        Coding::best(accepted)
    }

    #[test]
    fn a_client_gets_the_coding_it_prefers_and_gzip_in_case_of_a_tie() {
        assert_eq!(best("gzip, deflate, br, zstd"), Some(Coding::Gzip));
        assert_eq!(best("br, zstd"), Some(Coding::Zstd));
        assert_eq!(best("gzip;q=0.5, br;q=1.0"), Some(Coding::Brotli));
        assert_eq!(best("deflate"), Some(Coding::Deflate));
        assert_eq!(best("GZIP"), Some(Coding::Gzip));
        assert_eq!(best("*"), Some(Coding::Gzip));
        assert_eq!(best("*;q=0.1, zstd;q=0.2"), Some(Coding::Zstd));
        assert_eq!(best("gzip;q=0, *"), Some(Coding::Zstd));
    }

    #[test]
    fn a_client_without_a_preference_gets_uncompressed_bytes() {
        for accepted in [
            "",
            "identity",
            "gzip;q=0",
            "gzip;Q=0",
            "gzip;q=inf",
            "compress",
            "gzip;q=0.2, identity;q=0.8",
            "*;q=0",
            "gzip;q=x",
        ] {
            assert_eq!(best(accepted), None, "{accepted}");
        }
    }

    fn pieces() -> Vec<Vec<u8>> {
        let line =
            |nth: usize| format!("{{\"type\":\"progress\",\"data\":{{\"step\":{nth}}}}}\n").repeat(nth);
        let mut noise = vec![0; 70_000];
        fastrand::Rng::with_seed(1).fill(&mut noise);
        vec![line(1).into(), Vec::new(), line(1000).into(), noise, line(7).into()]
    }

    /// The data in an unfinished gzip or zlib stream.
    fn read(mut decoder: impl io::Read) -> Vec<u8> {
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = decoder.read(&mut buffer) {
            read.extend_from_slice(&buffer[..count]);
        }
        read
    }

    /// The data in a complete stream.
    fn whole(coding: Coding, sent: &[u8]) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(sent).read_to_end(&mut read),
            Coding::Deflate => flate2::read::ZlibDecoder::new(sent).read_to_end(&mut read),
            Coding::Brotli => brotli::Decompressor::new(sent, 4096).read_to_end(&mut read),
            Coding::Zstd => zstd::stream::read::Decoder::new(sent)?.read_to_end(&mut read),
        }?;
        Ok(read)
    }

    #[test]
    fn shared_blocks_make_a_gzip_stream_that_can_be_read_after_each() {
        let (mut frame, mut sent, mut expected) = (Frame::new(), Frame::begin().to_vec(), Vec::new());
        for piece in pieces() {
            sent.extend_from_slice(&frame.pass(&piece, &deflated(&piece)));
            expected.extend_from_slice(&piece);
            assert!(read(flate2::read::GzDecoder::new(&sent[..])) == expected);
            assert!(sent.ends_with(&FLUSH[1..]), "a reader that waits for a flush returns it, too");
        }
        sent.extend_from_slice(&frame.end());
        assert!(whole(Coding::Gzip, &sent).unwrap() == expected, "with a valid checksum");
        assert!(sent.len() < expected.len());
    }

    #[test]
    fn a_stream_with_its_own_window_can_be_read_after_each_piece() {
        let windows = Windows(Arc::new(Semaphore::new(1)));
        for coding in [Coding::Deflate, Coding::Brotli, Coding::Zstd] {
            let (Stream::Own(mut own), Some(marked)) = Stream::new(Some(coding), &windows) else { panic!() };
            assert_eq!(marked, coding);
            assert!(
                matches!(Stream::new(Some(coding), &windows), (Stream::Plain, None)),
                "no window is free"
            );
            let (mut sent, mut expected) = (Vec::new(), Vec::new());
            let decoded = |sent: &[u8]| match coding {
                Coding::Deflate | Coding::Gzip => read(flate2::read::ZlibDecoder::new(sent)),
                Coding::Brotli => read(brotli::Decompressor::new(sent, 4096)),
                Coding::Zstd => read(zstd::stream::read::Decoder::new(sent).unwrap()),
            };
            for piece in pieces() {
                sent.extend_from_slice(&own.pass(&piece).unwrap());
                expected.extend_from_slice(&piece);
                assert!(decoded(&sent) == expected, "{coding:?}");
            }
            assert!(whole(coding, &sent).is_err(), "{coding:?} without an end");
            sent.extend_from_slice(&own.end().unwrap());
            assert!(whole(coding, &sent).unwrap() == expected && sent.len() < expected.len(), "{coding:?}");
        }
    }
}
