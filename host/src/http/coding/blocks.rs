//! Gzip streams made of shared blocks: each piece is compressed once and independently.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::MIN_BYTES;

/// Header of a gzip stream (RFC 1952): deflate, no name, no time, system unknown.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty stored block, as a flush. Go's reader returns its data at such a block, and otherwise only when its buffer is
/// full: without it, an uncompressed piece would wait in the buffer for the next one.
pub(super) const FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];
/// A last, empty block (RFC 1951).
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

/// The frame of a gzip stream, around deflate blocks from elsewhere.
pub(in crate::http) struct Frame {
    crc: Crc,
}

impl Frame {
    pub(super) fn new() -> Self {
        Self { crc: Crc::new() }
    }

    /// Whether no block has been added.
    pub(super) fn is_new(&self) -> bool {
        self.crc.amount() == 0
    }

    /// The header of the stream.
    pub(in crate::http) fn begin() -> Bytes {
        Bytes::from_static(&GZIP_HEADER)
    }

    /// Add `blocks`, which contain the bytes `plain`, to the checksum. Returns the bytes to send.
    pub(in crate::http) fn pass(&mut self, plain: &[u8], blocks: &Bytes) -> Bytes {
        self.crc.update(plain);
        blocks.clone()
    }

    /// The end of the stream: the last block and the checksum.
    pub(in crate::http) fn end(&mut self) -> Bytes {
        let mut end = LAST_BLOCK.to_vec();
        end.extend_from_slice(&self.crc.sum().to_le_bytes());
        end.extend_from_slice(&self.crc.amount().to_le_bytes());
        end.into()
    }
}

thread_local! {
    /// Kept, because creating one costs more than compressing a small piece.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// Compress bytes to deflate blocks without references to earlier data, which end at a byte boundary.
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
    // Storing never fails.
    packed.map_or_else(|| stored(bytes), Bytes::from)
}

/// Store bytes uncompressed, in blocks, followed by a flush.
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
