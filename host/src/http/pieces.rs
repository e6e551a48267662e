//! Bytes to be sent to one subscriber, in pieces of bounded size.
//!
//! A subscriber that stalls keeps the pieces that were returned. Large bytes that many subscribers get are shared, not
//! copied. Small ones are copied into one piece.

use std::collections::VecDeque;

use bytes::Bytes;

/// Largest piece, and the size up to which small bytes are combined. One system call then carries many events, and a
/// subscriber that stalls takes little memory.
pub(super) const PIECE_BYTES: usize = 32 << 10;

/// Size from which bytes are shared instead of copied for each subscriber.
const SHARED_BYTES: usize = 4 << 10;

/// Split off the first piece, without a copy.
pub(super) fn first(bytes: &mut Bytes) -> Bytes {
    bytes.split_to(bytes.len().min(PIECE_BYTES))
}

/// A queue of pieces.
#[derive(Default)]
pub(super) struct Pieces {
    done: VecDeque<Bytes>,
    /// The unfinished last piece, of small bytes. Not a `BytesMut`: one that is split keeps the memory of both parts until
    /// both are dropped, and a stalled subscriber has both.
    last: Vec<u8>,
    len: usize,
}

impl Pieces {
    /// Add a copy of bytes.
    pub(super) fn add(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.last.len()));
            self.reserve(piece.len());
            self.last.extend_from_slice(piece);
            bytes = rest;
            if self.last.len() == PIECE_BYTES {
                self.cut();
            }
        }
    }

    /// Add bytes that other subscribers have, too.
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

    /// The number of bytes in the queue.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Take the next piece, if there is one.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        if self.done.is_empty() {
            self.cut();
        }
        let piece = self.done.pop_front()?;
        self.len -= piece.len();
        Some(piece)
    }

    /// Make room in the last piece: twice as much each time, but never more than a piece.
    fn reserve(&mut self, more: usize) {
        let len = self.last.len() + more;
        if len > self.last.capacity() {
            let capacity = (2 * self.last.capacity()).clamp(len, PIECE_BYTES);
            self.last.reserve_exact(capacity - self.last.len());
        }
    }

    fn cut(&mut self) {
        if !self.last.is_empty() {
            self.done.push_back(std::mem::take(&mut self.last).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_small_bytes_is_never_more_than_that_of_a_piece() {
        let mut pieces = Pieces::default();
        for nth in 0..2_000 {
            pieces.add(&[1; 117]);
            assert!(pieces.last.capacity() <= PIECE_BYTES);
            if nth % 100 == 99 {
                while pieces.next().is_some() {}
                assert_eq!(pieces.last.capacity(), 0, "nothing is kept for bytes that are taken");
            }
        }
    }

    #[test]
    fn pieces_are_bounded_and_in_order_and_large_bytes_are_not_copied() {
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
        assert_eq!(pieces.len(), 0);
        assert_eq!(all, [b"before".as_slice(), &large, b"small", &[9; 40_000]].concat());
        assert_eq!(shared, large.len());
    }
}
