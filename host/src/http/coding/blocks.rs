//! Gzip made of blocks that many streams share: each piece is compressed once, by itself.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::MIN_BYTES;

/// What a gzip stream begins with (RFC 1952): deflate, no name, no time, system unknown.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty stored block. Go's reader returns its data when it comes to one, and otherwise only when its buffer is full:
/// a piece that was not compressed would wait in it for the next.
pub(super) const FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];
/// A last, empty block (RFC 1951).
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

/// A gzip stream around deflate blocks that were made elsewhere.
pub(in crate::http) struct Frame {
    crc: Crc,
}

impl Frame {
    pub(super) fn new() -> Self {
        Self { crc: Crc::new() }
    }

    /// Whether nothing has passed it.
    pub(super) fn is_new(&self) -> bool {
        self.crc.amount() == 0
    }

    /// What it begins with.
    pub(in crate::http) fn begin() -> Bytes {
        Bytes::from_static(&GZIP_HEADER)
    }

    /// Takes note of bytes that are sent as `blocks`.
    pub(in crate::http) fn pass(&mut self, plain: &[u8], blocks: &Bytes) -> Bytes {
        self.crc.update(plain);
        blocks.clone()
    }

    /// What marks the end.
    pub(in crate::http) fn end(&mut self) -> Bytes {
        let mut end = LAST_BLOCK.to_vec();
        end.extend_from_slice(&self.crc.sum().to_le_bytes());
        end.extend_from_slice(&self.crc.amount().to_le_bytes());
        end.into()
    }
}

thread_local! {
    /// Making one costs more than compressing a small piece.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// Deflate blocks that refer to nothing before and end at a whole byte.
pub(in crate::http) fn deflated(bytes: &[u8]) -> Bytes {
    if bytes.len() < MIN_BYTES {
        return stored(bytes);
    }
    let packed = COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        let mut packed = Vec::with_capacity(bytes.len() / 4 + 64);
        loop {
            let from = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
            let status = compress.compress_vec(bytes.get(from..)?, &mut packed, FlushCompress::Full).ok()?;
            let taken = compress.total_in() == bytes.len() as u64;
            if taken && packed.len() < packed.capacity() {
                return Some(packed);
            }
            if status == Status::StreamEnd {
                return None;
            }
            packed.reserve(packed.capacity().max(64));
        }
    });
    // Whatever a compressor can't do, this can.
    packed.map_or_else(|| stored(bytes), Bytes::from)
}

/// The bytes as they are, in blocks, and a flush, as compressed ones have it.
fn stored(bytes: &[u8]) -> Bytes {
    let mut packed = Vec::with_capacity(bytes.len() + 16);
    for block in bytes.chunks(usize::from(u16::MAX)) {
        let len = block.len() as u16;
        packed.push(0);
        packed.extend_from_slice(&len.to_le_bytes());
        packed.extend_from_slice(&(!len).to_le_bytes());
        packed.extend_from_slice(block);
    }
    packed.extend_from_slice(&FLUSH);
    packed.into()
}
