//! JSON that stays one line for every reader of lines.

/// Appends JSON, with U+0085, U+2028 and U+2029 escaped. They are ordinary characters of JSON, which occur in strings
/// only, but many readers of lines (Python's `str.splitlines`, and so `httpx`) end one there.
pub(in crate::http) fn append(out: &mut Vec<u8>, json: &[u8]) {
    let mut from = 0;
    // The first bytes of the three; most text has few of them.
    for at in memchr::memchr2_iter(0xC2, 0xE2, json) {
        let (escape, length) = match &json[at..] {
            [0xC2, 0x85, ..] => (br"\u0085", 2),
            [0xE2, 0x80, 0xA8, ..] => (br"\u2028", 3),
            [0xE2, 0x80, 0xA9, ..] => (br"\u2029", 3),
            _ => continue,
        };
        out.extend_from_slice(&json[from..at]);
        out.extend_from_slice(escape);
        from = at + length;
    }
    out.extend_from_slice(&json[from..]);
}

/// A value of the host's as such a line, without its end.
pub(in crate::http) fn line(value: &impl serde::Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(value).expect("the host's own values are JSON");
    let mut line = Vec::with_capacity(json.len());
    append(&mut line, &json);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_line_for_some_readers_is_escaped_and_nothing_else_is_touched() {
        let text = "a\u{85}b\u{2028}\u{2029}c\u{84}\u{86}\u{2027}\u{202a}\u{2047}ü€😀\u{b}\u{1c}\u{7f}\u{9f}\u{feff}\u{85}";
        let mut out = Vec::new();
        append(&mut out, serde_json::to_string(text).unwrap().as_bytes());
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.matches(r"\u0085").count(), 2, "{out}");
        assert!(
            out.contains(r"b\u2028\u2029c") && !out.contains(['\u{85}', '\u{2028}', '\u{2029}']),
            "{out}"
        );
        assert!(out.contains("\u{84}\u{86}\u{2027}\u{202a}\u{2047}ü€😀"), "{out}");
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }
}
