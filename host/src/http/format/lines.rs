//! JSON on one line, for every definition of a line.

/// Append JSON with U+0085, U+2028 and U+2029 escaped. JSON allows them in strings, but many libraries (Python's
/// `str.splitlines`, and so `httpx`) end a line at them.
pub(in crate::http) fn append(out: &mut Vec<u8>, json: &[u8]) {
    let mut from = 0;
    // The first bytes of these characters, which are rare in most text.
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

/// Serialize a value of the host to such a line, without a line end.
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
    fn only_characters_that_some_libraries_take_for_a_line_end_are_escaped() {
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
