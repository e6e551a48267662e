//! Lines of what a guest prints, put together from its writes.

use super::grants::Mask;

/// Most that is copied at once of a write, so that a line is never much longer than it may be.
const MAX_PIECE_BYTES: usize = 64 << 10;

/// Puts lines together. One that is too long comes in parts.
#[derive(Default)]
pub(super) struct LineBuffer {
    part: Vec<u8>,
    /// Whether the beginning of the line is gone.
    cut: bool,
}

/// A line, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// Without the end of the line.
    pub(super) text: &'a [u8],
    /// Whether the line begins with it.
    pub(super) begins: bool,
    /// Whether the line ends with it.
    pub(super) ends: bool,
}

impl Part<'_> {
    pub(super) const fn is_whole(&self) -> bool {
        self.begins && self.ends
    }
}

impl LineBuffer {
    /// Takes what was written. Hands over each line that is complete, and parts of one that is longer
    /// than `limit`: never with half a character or half a secret.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        limit: usize,
        mask: Option<&Mask>,
        mut take: impl FnMut(Part<'_>),
    ) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            for piece in line.chunks(limit.min(MAX_PIECE_BYTES)) {
                self.part.extend_from_slice(piece);
                if let Some(text) = self.part.strip_suffix(b"\n") {
                    let text = text.strip_suffix(b"\r").unwrap_or(text);
                    take(Part { text, begins: !self.cut, ends: true });
                    self.part.clear();
                    self.cut = false;
                } else if self.part.len() >= limit {
                    let at = mask.map_or(self.part.len(), |mask| mask.cut(&self.part));
                    let at = before_half_a_character(&self.part[..at]);
                    if at == 0 {
                        continue;
                    }
                    take(Part { text: &self.part[..at], begins: !self.cut, ends: false });
                    self.part.drain(..at);
                    self.cut = true;
                }
            }
        }
    }

    /// Takes the end of all for the end of a line.
    pub(super) fn finish(&mut self, take: impl FnOnce(Part<'_>)) {
        let part = std::mem::take(&mut self.part);
        if !part.is_empty() {
            let text = part.strip_suffix(b"\r").unwrap_or(&part);
            take(Part { text, begins: !std::mem::take(&mut self.cut), ends: true });
        }
    }
}

/// The length without a character at the end that is not complete. All of it if it is no UTF-8
/// anyway.
fn before_half_a_character(text: &[u8]) -> usize {
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

    /// Text, whether the line begins with it, and whether it ends with it.
    fn parts(writes: &[&[u8]], limit: usize, mask: Option<&Mask>) -> Vec<(Vec<u8>, bool, bool)> {
        let (mut buffer, mut parts) = (LineBuffer::default(), Vec::new());
        let mut take = |part: Part<'_>| parts.push((part.text.to_vec(), part.begins, part.ends));
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
    fn a_long_line_comes_in_parts_that_say_so() {
        let told = parts(&[b"12345", b"67", b"89\n", b"next\n"], 5, None);
        assert_eq!(told, [(b"12345".to_vec(), true, false), (b"6789".to_vec(), false, true), whole("next")]);
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
        // What is no text at all is cut anywhere.
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
