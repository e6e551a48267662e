//! Bytes on their way to one reader, in pieces of a bounded size.
//!
//! A reader that stalls keeps the pieces that were given out. What many readers get is shared and never copied when it
//! is large; what is small is put together.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Most bytes given out at once, and about how many small ones are put together for that: one system call then carries
/// many of them, and a reader that stalls costs little.
pub(super) const PIECE_BYTES: usize = 32 << 10;

/// From this size on, what many readers get is not copied for each.
const SHARED_BYTES: usize = 4 << 10;

/// Takes the first piece of these bytes; nothing is copied.
pub(super) fn first(bytes: &mut Bytes) -> Bytes {
    bytes.split_to(bytes.len().min(PIECE_BYTES))
}

/// What is put together for one reader.
#[derive(Default)]
pub(super) struct Pieces {
    done: VecDeque<Bytes>,
    /// Small ones.
    last: BytesMut,
    len: usize,
}

impl Pieces {
    /// Adds a copy.
    pub(super) fn add(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.last.len()));
            self.last.extend_from_slice(piece);
            bytes = rest;
            // Before it grows: the memory of a piece is twice its size else.
            if self.last.len() == PIECE_BYTES {
                self.cut();
            }
        }
    }

    /// Adds what others have, too.
    pub(super) fn share(&mut self, mut bytes: Bytes) {
        if bytes.len() < SHARED_BYTES {
            return self.add(&bytes);
        }
        self.len += bytes.len();
        self.cut();
        while !bytes.is_empty() {
            self.done.push_back(first(&mut bytes));
        }
    }

    /// How many bytes have not been taken.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next piece; none if nothing is there.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        if self.done.is_empty() {
            self.cut();
        }
        let piece = self.done.pop_front()?;
        self.len -= piece.len();
        Some(piece)
    }

    fn cut(&mut self) {
        if !self.last.is_empty() {
            self.done.push_back(self.last.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_bounded_and_in_order_and_what_is_large_is_not_copied() {
        let large = Bytes::from(vec![7; 100_000]);
        let mut pieces = Pieces::default();
        pieces.add(b"before");
        pieces.share(large.clone());
        pieces.share(Bytes::from_static(b"small"));
        pieces.add(&[9; 40_000]);
        assert_eq!(pieces.len(), 6 + 100_000 + 5 + 40_000);
        let mut all = Vec::new();
        let mut shared = 0;
        while let Some(piece) = pieces.next() {
            assert!(piece.len() <= PIECE_BYTES);
            shared += usize::from(large.as_ptr_range().contains(&piece.as_ptr())) * piece.len();
            all.extend_from_slice(&piece);
        }
        assert!(pieces.is_empty());
        assert_eq!(all, [b"before".as_slice(), &large, b"small", &[9; 40_000]].concat());
        assert_eq!(shared, large.len());
    }
}
