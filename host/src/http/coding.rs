//! Content codings: how bodies are compressed for clients that ask for it.
//!
//! A stream is flushed after each write, so nothing waits in a compressor. With gzip, each piece that readers share
//! is compressed once for all of them: as deflate blocks that refer to nothing before, so that they stand in any
//! reader's stream as they are. The others keep a window for each connection, which costs memory and is bounded.

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

/// Compressors with a window of their own at once; beyond it bodies are sent as they are. One costs up to a
/// megabyte.
const MAX_WINDOWS: usize = 256;
/// Bits of such a window: 128 KiB, a few batches of events.
const WINDOW_BITS: u32 = 17;
/// Brotli's quality, of 11: the fastest that still finds repetitions of words.
const BROTLI_QUALITY: u32 = 2;
/// Zstandard's level, of 22.
const ZSTD_LEVEL: i32 = 1;
/// Below this, compression gains less than its own marks take.
const MIN_BYTES: usize = 200;
/// Smallest body that is compressed whole; smaller ones fit into a packet or so.
const MIN_WHOLE_BYTES: usize = 800;
/// Largest body that is compressed whole. Larger ones would keep a thread of the runtime from other clients.
const MAX_WHOLE_BYTES: usize = 1 << 20;
/// Windows that compressors may have, over all connections.
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

/// In the order of preference: the first costs least where many read the same.
const CODINGS: [(Coding, &str); 4] =
    [(Coding::Gzip, "gzip"), (Coding::Zstd, "zstd"), (Coding::Brotli, "br"), (Coding::Deflate, "deflate")];

impl Coding {
    /// What a client wants most; none: the body as it is.
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
        // As it is, it is accepted unless a client says otherwise, but only a client that names it wants it so.
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

/// Marks a response as one that is compressed, or might be.
pub(super) fn mark(headers: &mut HeaderMap, coding: Option<Coding>) {
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
}

/// Compresses a body that is there as a whole, if its client wants that and it is worth it.
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
    let worth = (MIN_WHOLE_BYTES..=MAX_WHOLE_BYTES).contains(&bytes.len());
    if !textual || !worth || response.headers().contains_key(header::CONTENT_ENCODING) {
        return;
    }
    let bytes = bytes.clone();
    // One for all: whoever wants another of them takes this too, or takes it as it is.
    let coding = wanted.filter(|coding| *coding == Coding::Gzip);
    mark(response.headers_mut(), coding);
    if coding.is_some() {
        // The same content in other bytes.
        if let Some(tag) = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok())
            && let Ok(weak) = HeaderValue::try_from(format!("W/{tag}"))
        {
            response.headers_mut().insert(header::ETAG, weak);
        }
        *response.body_mut() = Body::whole(gzip(&bytes));
    }
}

/// A whole gzip stream.
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
    /// Pieces that are compressed already.
    Shared(Frame),
    Own(Box<Own>),
}

impl Stream {
    /// Of that coding, if there is a window left for it.
    pub(super) fn new(coding: Option<Coding>, windows: &Windows) -> (Self, Option<Coding>) {
        let plain = (Self::Plain, None);
        match coding {
            None => plain,
            Some(Coding::Gzip) => (Self::Shared(Frame::new()), coding),
            Some(own) => match Arc::clone(&windows.0).try_acquire_owned() {
                Ok(permit) => match Own::new(own, permit) {
                    Ok(encoder) => (Self::Own(Box::new(encoder)), coding),
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

    /// What marks the end; none if nothing does.
    pub(super) fn end(&mut self) -> Option<Result<Bytes, Broken>> {
        match std::mem::replace(self, Self::Plain) {
            Self::Plain => None,
            Self::Shared(mut frame) => Some(Ok(frame.end())),
            Self::Own(mut own) => Some(own.end().map_err(Broken::from)),
        }
    }
}

/// A response of that media type whose bytes come in time, compressed as the client wants it.
pub(super) fn streamed(
    api: &Api,
    wanted: &HeaderMap,
    media: &'static str,
    stream: impl futures_core::Stream<Item = Result<Bytes, Broken>> + Send + 'static,
) -> Response {
    let (packed, coding) = Stream::new(Coding::wanted(wanted), &api.windows);
    let mut response = Response::new(Body::Stream(Box::pin(pack(stream, packed))));
    mark_live(response.headers_mut());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(format::content_type(media)));
    mark(response.headers_mut(), coding);
    response
}

/// The answer to a reader that has all that there will ever be: an `EventSource` that gets it does not come back.
pub(super) fn nothing_more() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    // A cache would answer all other readers of the run with it, who have not read any of it.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding, Last-Event-ID"));
    response
}

/// Marks a response as one whose bytes come in time.
pub(super) fn mark_live(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.append(header::VARY, HeaderValue::from_static("Accept, Last-Event-ID"));
    // nginx would hold events back until its buffer is full.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}

/// A stream of bytes, each piece compressed as it comes.
fn pack<S: futures_core::Stream<Item = Result<Bytes, Broken>>>(
    stream: S,
    coded: Stream,
) -> impl futures_core::Stream<Item = Result<Bytes, Broken>> {
    let state = (Box::pin(stream), coded, false);
    futures_util::stream::unfold(state, async |(mut stream, mut coded, over)| {
        if over {
            return None;
        }
        let (bytes, over) = match stream.next().await {
            Some(Ok(bytes)) => (coded.pass(&bytes), false),
            Some(Err(error)) => (Err(error), true),
            None => (coded.end()?, true),
        };
        Some((bytes, (stream, coded, over)))
    })
}

/// A compressor for one connection.
pub(super) struct Own {
    encoder: Encoder,
    _window: OwnedSemaphorePermit,
}

enum Encoder {
    Deflate(ZlibEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Ended,
}

impl Own {
    fn new(coding: Coding, window: OwnedSemaphorePermit) -> io::Result<Self> {
        let encoder = match coding {
            Coding::Gzip | Coding::Deflate => {
                Encoder::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast()))
            }
            Coding::Brotli => Encoder::Brotli(Box::new(CompressorWriter::new(
                Vec::new(),
                4096,
                BROTLI_QUALITY,
                WINDOW_BITS,
            ))),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(WINDOW_BITS)?;
                Encoder::Zstd(encoder)
            }
        };
        Ok(Self { encoder, _window: window })
    }

    /// These bytes, compressed, with nothing held back.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> io::Result<Bytes> {
        fn all(encoder: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
            encoder.write_all(bytes)?;
            encoder.flush()
        }
        let packed = match &mut self.encoder {
            Encoder::Deflate(encoder) => {
                all(encoder, bytes)?;
                std::mem::take(encoder.get_mut())
            }
            Encoder::Brotli(encoder) => {
                all(encoder, bytes)?;
                std::mem::take(encoder.get_mut())
            }
            Encoder::Zstd(encoder) => {
                all(encoder, bytes)?;
                std::mem::take(encoder.get_mut())
            }
            Encoder::Ended => Vec::new(),
        };
        Ok(packed.into())
    }

    /// What marks the end.
    pub(super) fn end(&mut self) -> io::Result<Bytes> {
        let packed = match std::mem::replace(&mut self.encoder, Encoder::Ended) {
            Encoder::Deflate(encoder) => encoder.finish()?,
            Encoder::Brotli(encoder) => encoder.into_inner(),
            Encoder::Zstd(encoder) => encoder.finish()?,
            Encoder::Ended => Vec::new(),
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
    fn a_client_gets_what_it_wants_most_and_gzip_where_it_wants_all_alike() {
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
    fn a_client_that_wants_nothing_gets_the_bytes_as_they_are() {
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

    /// What is there of a gzip or zlib stream that goes on.
    fn read(mut decoder: impl io::Read) -> Vec<u8> {
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = decoder.read(&mut buffer) {
            read.extend_from_slice(&buffer[..count]);
        }
        read
    }

    /// What is in it, if it is whole.
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
    fn shared_pieces_make_a_gzip_stream_of_which_each_is_there_at_once() {
        let (mut frame, mut sent, mut expected) = (Frame::new(), Frame::begin().to_vec(), Vec::new());
        for piece in pieces() {
            sent.extend_from_slice(&frame.pass(&piece, &deflated(&piece)));
            expected.extend_from_slice(&piece);
            assert!(read(flate2::read::GzDecoder::new(&sent[..])) == expected);
            assert!(sent.ends_with(&FLUSH[1..]), "a reader that waits for a flush gives it out, too");
        }
        sent.extend_from_slice(&frame.end());
        assert!(whole(Coding::Gzip, &sent).unwrap() == expected, "with a checksum that is right");
        assert!(sent.len() < expected.len());
    }

    #[test]
    fn with_a_window_of_its_own_each_piece_is_there_at_once_too() {
        let windows = Windows(Arc::new(Semaphore::new(1)));
        for coding in [Coding::Deflate, Coding::Brotli, Coding::Zstd] {
            let (Stream::Own(mut own), Some(marked)) = Stream::new(Some(coding), &windows) else { panic!() };
            assert_eq!(marked, coding);
            assert!(
                matches!(Stream::new(Some(coding), &windows), (Stream::Plain, None)),
                "no window is left"
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
            assert!(whole(coding, &sent).is_err(), "{coding:?} that has not ended");
            sent.extend_from_slice(&own.end().unwrap());
            assert!(whole(coding, &sent).unwrap() == expected && sent.len() < expected.len(), "{coding:?}");
        }
    }
}
