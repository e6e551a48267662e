//! Splits the output of a guest into lines, however it is written.

use crate::engine::grants::Mask;

/// Most bytes of a write that are copied at once, so that a line never exceeds its limit by much.
const MAX_PIECE_BYTES: usize = 64 << 10;

/// Assembles lines from writes. A line that is too long is split into parts.
#[derive(Default)]
pub(in crate::engine) struct LineBuffer {
    part: Vec<u8>,
    /// Whether the beginning of the line has already been taken.
    cut: bool,
}

/// A whole line, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct LinePart<'a> {
    /// The text without the line ending.
    pub(in crate::engine) text: &'a [u8],
    /// Whether it is the beginning of the line.
    pub(in crate::engine) begins: bool,
    /// Whether it is the end of the line.
    pub(in crate::engine) ends: bool,
}

impl LinePart<'_> {
    pub(in crate::engine) const fn is_whole(&self) -> bool {
        self.begins && self.ends
    }
}

impl LineBuffer {
    /// Adds bytes. Passes each complete line to `take`, and a line longer than `limit` in parts, which never
    /// split a character or a secret.
    pub(in crate::engine) fn write(
        &mut self,
        bytes: &[u8],
        limit: usize,
        mask: Option<&Mask>,
        mut take: impl FnMut(LinePart<'_>),
    ) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            for piece in line.chunks(limit.min(MAX_PIECE_BYTES)) {
                self.part.extend_from_slice(piece);
                if let Some(text) = self.part.strip_suffix(b"\n") {
                    let text = text.strip_suffix(b"\r").unwrap_or(text);
                    take(LinePart { text, begins: !self.cut, ends: true });
                    self.part.clear();
                    self.cut = false;
                } else if self.part.len() >= limit {
                    let at = mask.map_or(self.part.len(), |mask| mask.cut(&self.part));
                    let at = char_boundary(&self.part[..at]);
                    if at == 0 {
                        continue;
                    }
                    take(LinePart { text: &self.part[..at], begins: !self.cut, ends: false });
                    self.part.drain(..at);
                    self.cut = true;
                }
            }
        }
    }

    /// Ends the last line.
    pub(in crate::engine) fn finish(&mut self, take: impl FnOnce(LinePart<'_>)) {
        let part = std::mem::take(&mut self.part);
        if !part.is_empty() {
            let text = part.strip_suffix(b"\r").unwrap_or(&part);
            take(LinePart { text, begins: !std::mem::take(&mut self.cut), ends: true });
        }
    }
}

/// The length without an incomplete character at the end. The whole length if the text is not UTF-8.
fn char_boundary(text: &[u8]) -> usize {
    let tail = text.len().saturating_sub(3);
    let begins = |byte: &u8| !(0x80..0xc0).contains(byte);
    match text[tail..].iter().rposition(begins) {
        Some(last) => match std::str::from_utf8(&text[tail + last..]) {
            Err(error) if error.error_len().is_none() && tail + last > 0 => tail + last,
            _ => text.len(),
        },
        None => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of each part.
    fn parts(writes: &[&[u8]], limit: usize, mask: Option<&Mask>) -> Vec<(Vec<u8>, bool, bool)> {
        let (mut buffer, mut parts) = (LineBuffer::default(), Vec::new());
        let mut take = |part: LinePart<'_>| parts.push((part.text.to_vec(), part.begins, part.ends));
        for bytes in writes {
            buffer.write(bytes, limit, mask, &mut take);
        }
        buffer.finish(&mut take);
        parts
    }

    fn whole(text: &str) -> (Vec<u8>, bool, bool) {
        (text.into(), true, true)
    }

    #[test]
    fn a_line_is_whole_however_it_was_written() {
        let lines = [whole("one"), whole(""), whole("two"), whole("three")];
        assert_eq!(parts(&[b"one\n\r\ntwo\nthree"], 100, None), lines);
        assert_eq!(parts(&[b"o", b"ne", b"\n\r", b"\ntwo\nth", b"ree\n"], 100, None), lines);
        assert_eq!(parts(&[b"one\n\r\ntwo\nthree\r"], 100, None), lines);
        assert_eq!(parts(&[], 100, None), []);
    }

    #[test]
    fn a_long_line_is_split_into_marked_parts() {
        let split = parts(&[b"12345", b"67", b"89\n", b"next\n"], 5, None);
        assert_eq!(split, [(b"12345".to_vec(), true, false), (b"6789".to_vec(), false, true), whole("next")]);
    }

    #[test]
    fn no_part_ends_within_a_character() {
        let text = "aä€😀".repeat(50);
        for limit in 4..20 {
            let writes: Vec<&[u8]> = text.as_bytes().chunks(3).collect();
            let parts = parts(&writes, limit, None);
            assert!(parts.iter().all(|(part, ..)| std::str::from_utf8(part).is_ok()), "{limit}");
            assert_eq!(parts.into_iter().flat_map(|(part, ..)| part).collect::<Vec<_>>(), text.as_bytes());
        }
        // Bytes that are not UTF-8 are split anywhere.
        assert_eq!(parts(&[&[0x80; 9]], 4, None).len(), 3);
    }

    #[test]
    fn no_part_ends_within_a_secret() {
        let mask = Mask::new(["sësame-open"].into_iter());
        let text = "ab".repeat(20) + "sësame-open" + &"cd".repeat(20);
        for limit in 1..text.len() {
            let writes: Vec<&[u8]> = text.as_bytes().chunks(7).collect();
            let masked: Vec<u8> = parts(&writes, limit, Some(&mask))
                .into_iter()
                .flat_map(|(part, ..)| mask.bytes(part))
                .collect();
            let masked = String::from_utf8_lossy(&masked);
            assert!(masked.contains("***") && !masked.contains("same"), "{limit}: {masked}");
        }
    }
}
