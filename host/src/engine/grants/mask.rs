//! Masks secrets in all output of a guest: its events, log, result and errors.
//!
//! This guards against accidents: a header that is logged, an error that quotes a
//! URL. It can't stop a guest that deliberately encodes a secret in another way.

use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use data_encoding::{HEXLOWER, HEXUPPER};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::{Content, Json, RunError};

/// The replacement of a secret.
const MASK: &str = "***";
/// Shorter parts of a secret would also match unrelated text.
const MIN_PATTERN_BYTES: usize = 8;
/// Longest pattern. It has to fit into a line of the log, which is split after
/// 8 KiB.
const MAX_PATTERN_BYTES: usize = 6 << 10;

/// The characters that common functions escape in a URL: all but letters and digits, those of RFC 3986, Python's
/// `quote`, JavaScript's `encodeURIComponent` and `encodeURI`.
const URL_SETS: [&AsciiSet; 5] = [NON_ALPHANUMERIC, RFC_3986, PYTHON, COMPONENT, URI];
const RFC_3986: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PYTHON: &AsciiSet = &RFC_3986.remove(b'/');
const COMPONENT: &AsciiSet = &RFC_3986.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');
const URI: &AsciiSet = &COMPONENT
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');
/// Entities for an apostrophe: of Python, of most other languages, and of XML.
const APOSTROPHES: [&str; 3] = ["&#x27;", "&#39;", "&apos;"];
/// Line lengths of Base64: of PEM and MIME.
const BASE64_LINES: [usize; 2] = [64, 76];

/// Finds the secrets of one task in their usual encodings.
#[derive(Clone)]
pub(in crate::engine) struct Mask(Arc<Patterns>);

struct Patterns {
    finder: AhoCorasick,
    longest: usize,
}

impl Mask {
    pub(in crate::engine) fn new<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        let mut patterns: Vec<String> = secrets.flat_map(encodings).collect();
        patterns.sort();
        patterns.dedup();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&patterns)
            .expect("a few patterns of a few KiB fit the automaton");
        let longest = patterns.iter().map(String::len).max().unwrap_or(0);
        Self(Arc::new(Patterns { finder, longest }))
    }

    fn has_any(&self, bytes: &[u8]) -> bool {
        self.0.finder.is_match(bytes)
    }

    /// The text without secrets.
    pub(in crate::engine) fn text(&self, text: String) -> String {
        match self.masked(text.as_bytes()) {
            None => text,
            // Only whole characters are replaced.
            Some(masked) => String::from_utf8_lossy(&masked).into_owned(),
        }
    }

    /// The bytes without secrets.
    pub(in crate::engine) fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.masked(&bytes).unwrap_or(bytes)
    }

    /// The bytes without secrets; none if there is no secret.
    fn masked(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut found: Vec<Range<usize>> =
            self.0.finder.find_iter(bytes).map(|found| found.range()).collect();
        found.extend(self.across_lines(bytes));
        if found.is_empty() {
            return None;
        }
        found.sort_by_key(|range| range.start);
        let (mut masked, mut done) = (Vec::with_capacity(bytes.len()), 0);
        for range in found {
            if range.start >= done {
                masked.extend_from_slice(&bytes[done..range.start]);
                masked.extend_from_slice(MASK.as_bytes());
            }
            done = done.max(range.end);
        }
        masked.extend_from_slice(&bytes[done..]);
        Some(masked)
    }

    /// Secrets that are split into lines, as by encoders of Base64. The lines may be indented.
    fn across_lines(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        if !bytes.contains(&b'\n') {
            return Vec::new();
        }
        let (mut joined, mut positions, mut is_line_start) = (Vec::new(), Vec::new(), false);
        for (position, &byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' => is_line_start = true,
                b'\r' => {}
                b' ' | b'\t' if is_line_start => {}
                _ => {
                    is_line_start = false;
                    joined.push(byte);
                    positions.push(position);
                }
            }
        }
        let found = self.0.finder.find_iter(&joined);
        found.map(|found| positions[found.start()]..positions[found.end() - 1] + 1).collect()
    }

    /// The value without secrets in strings, names of members and numbers, however
    /// they are escaped. Everything else is unchanged.
    pub(in crate::engine) fn json(&self, json: Json) -> Json {
        let text = json.as_str();
        let (mut masked, mut rest) = (String::new(), text);
        while let Some(token) = next_token(rest) {
            let (before, after) = rest.split_at(token.start);
            let (token, after) = after.split_at(token.end - token.start);
            masked.push_str(before);
            match self.token(token) {
                Some(hidden) => masked.push_str(&hidden),
                None => masked.push_str(token),
            }
            rest = after;
        }
        masked.push_str(rest);
        if masked == text { json } else { Json::from_valid(masked) }
    }

    /// The replacement of a string or number that contains a secret.
    fn token(&self, token: &str) -> Option<String> {
        if !token.starts_with('"') {
            return self.has_any(token.as_bytes()).then(|| format!("\"{MASK}\""));
        }
        let plain: String = serde_json::from_str(token).ok()?;
        let masked = self.masked(plain.as_bytes())?;
        Some(Json::of(&String::from_utf8_lossy(&masked)).into_string())
    }

    /// The content of an event without secrets.
    pub(in crate::engine) fn content(&self, content: Content) -> Content {
        match content {
            Content::Json(json) => Content::Json(self.json(json)),
            Content::Bytes(kind, bytes) => {
                Content::Bytes(kind, self.bytes(bytes.into_vec()).into_boxed_slice())
            }
        }
    }

    /// The error without secrets.
    pub(in crate::engine) fn error(&self, error: RunError) -> RunError {
        RunError {
            message: self.text(error.message),
            code: error.code.map(|code| self.text(code)),
            details: error.details.map(|details| self.json(details)),
            trace: error.trace.map(|trace| self.text(trace)),
            ..error
        }
    }

    /// The position at which to split a text that continues, so that no secret is split.
    pub(in crate::engine) fn cut(&self, text: &[u8]) -> usize {
        // The continuation may complete a secret that begins in the last bytes.
        let at = text.len().saturating_sub(self.0.longest.saturating_sub(1));
        let across = self.0.finder.find_iter(text).find(|found| found.start() < at && found.end() > at);
        across.map_or(at, |found| found.end())
    }
}

/// A string with its quotes, or a number.
fn next_token(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = bytes.iter().position(|&byte| byte == b'"' || byte == b'-' || byte.is_ascii_digit())?;
    if bytes[start] != b'"' {
        let in_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
        let length = bytes[start..].iter().position(|&byte| !in_number(byte));
        return Some(start..length.map_or(bytes.len(), |length| start + length));
    }
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    Some(start..(at + 1).min(bytes.len()))
}

/// The encodings of a value that are searched for.
fn encodings(value: &str) -> Vec<String> {
    let mut encodings = vec![value.to_owned()];
    // A value of several lines becomes several lines of the log.
    encodings.extend(value.lines().map(|line| line.trim().to_owned()));
    let quoted = Json::of(value).into_string();
    encodings.push(quoted[1..quoted.len() - 1].to_owned());
    let mut urls: Vec<String> =
        URL_SETS.iter().map(|set| utf8_percent_encode(value, set).to_string()).collect();
    // As in forms; Python's `quote_plus` differs in a few characters.
    urls.push(form_urlencoded::byte_serialize(value.as_bytes()).collect());
    urls.push(utf8_percent_encode(value, RFC_3986).to_string().replace("%20", "+"));
    encodings.extend(urls.iter().map(|url| lower_escapes(url)));
    encodings.extend(urls);
    encodings.extend(html_encodings(value));
    encodings.push(HEXUPPER.encode(value.as_bytes()));
    encodings.push(HEXLOWER.encode(value.as_bytes()));
    encodings.extend(base64_encodings(value.as_bytes()));
    for length in BASE64_LINES {
        // Each line separately, as in the log.
        let encoded = STANDARD.encode(value);
        encodings
            .extend(encoded.as_bytes().chunks(length).map(|line| String::from_utf8_lossy(line).into_owned()));
    }
    encodings.retain(|spelling| (MIN_PATTERN_BYTES..=MAX_PATTERN_BYTES).contains(&spelling.len()));
    encodings
}

/// The URL with lower-case escapes: `%2f` for `%2F`.
fn lower_escapes(url: &str) -> String {
    let mut parts = url.split('%');
    let mut lower = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escape, rest) = part.split_at(part.len().min(2));
        lower.push('%');
        lower.push_str(&escape.to_ascii_lowercase());
        lower.push_str(rest);
    }
    lower
}

/// The value with the special characters of HTML as entities. Some functions leave quotes.
fn html_encodings(value: &str) -> Vec<String> {
    let text = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let quoted = text.replace('"', "&quot;");
    let mut encodings: Vec<String> =
        APOSTROPHES.iter().map(|apostrophe| quoted.replace('\'', apostrophe)).collect();
    encodings.push(quoted.replace("&quot;", "&#34;").replace('\'', "&#39;"));
    encodings.push(quoted);
    encodings.push(text);
    encodings
}

/// The parts of Base64 that depend only on the value, at each offset at which it can
/// begin: for example, in `user:PASSWORD` of basic authentication.
fn base64_encodings(value: &[u8]) -> Vec<String> {
    let mut encodings = Vec::new();
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(value);
        // Each character has 6 bits; those that share bits with a neighbour are left out.
        let first = (before * 8).div_ceil(6);
        let last = bytes.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            encodings.push(encoded[first..last].to_owned());
        }
    }
    encodings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ErrorKind;

    const SECRET: &str = "sësame \"open\"";

    fn mask() -> Mask {
        Mask::new([SECRET, "12345678"].into_iter())
    }

    fn json(text: &str) -> String {
        mask().json(Json::parse(text).unwrap()).into_string()
    }

    #[test]
    fn a_secret_is_found_in_escaped_json() {
        assert_eq!(json(r#"{"a":"x sësame \"open\" y"}"#), r#"{"a":"x *** y"}"#);
        assert_eq!(json(r#"["s\u00ebs\u0061me \u0022open\""]"#), r#"["***"]"#);
        assert_eq!(json(r#"{"sësame \"open\"": 1}"#), r#"{"***": 1}"#);
        assert_eq!(json(r#"[12345678, -912345678e3, 1]"#), r#"["***", "***", 1]"#);
        let other = r#"{ "b" : [1.0, true, null, "\\", "é"] , "a":{} }"#;
        assert_eq!(json(other), other, "nothing else is changed");
    }

    #[test]
    fn a_secret_is_found_in_the_usual_encodings() {
        for before in ["", "u", "us", "user:"] {
            let encoded = STANDARD.encode(format!("{before}{SECRET}!"));
            let masked = mask().text(format!("Basic {encoded}"));
            assert!(masked.contains("***") && masked.len() < 20, "{masked}");
        }
        assert_eq!(mask().text("?k=s%C3%ABsame%20%22open%22&".to_owned()), "?k=***&");
        assert_eq!(mask().text("?k=s%C3%ABsame+%22open%22&".to_owned()), "?k=***&");
        assert_eq!(mask().text(r#"{"k":"sësame \"open\""}"#.to_owned()), r#"{"k":"***"}"#);
    }

    #[test]
    fn a_secret_is_found_as_other_languages_escape_it() {
        let secret = "Ab/c'd <e>&f\"(g)~h_i";
        let mask = Mask::new([secret].into_iter());
        for escaped in [
            "Ab%2fc%27d%20%3ce%3e%26f%22%28g%29%7eh%5fi",
            // Python's quote(), quote(safe=''), quote_plus().
            "Ab/c%27d%20%3Ce%3E%26f%22%28g%29~h_i",
            "Ab%2Fc%27d%20%3Ce%3E%26f%22%28g%29~h_i",
            "Ab%2Fc%27d+%3Ce%3E%26f%22%28g%29~h_i",
            // encodeURIComponent() and encodeURI().
            "Ab%2Fc'd%20%3Ce%3E%26f%22(g)~h_i",
            "Ab/c'd%20%3Ce%3E&f%22(g)~h_i",
            // Hex.
            "41622f632764203c653e2666222867297e685f69",
            // Entities.
            "Ab/c&#x27;d &lt;e&gt;&amp;f&quot;(g)~h_i",
            "Ab/c&#39;d &lt;e&gt;&amp;f&quot;(g)~h_i",
            "Ab/c&#39;d &lt;e&gt;&amp;f&#34;(g)~h_i",
            "Ab/c'd &lt;e&gt;&amp;f\"(g)~h_i",
        ] {
            let escaped = if escaped.starts_with("4162") {
                secret.bytes().map(|byte| format!("{byte:02X}")).collect()
            } else {
                escaped.to_owned()
            };
            assert_eq!(mask.text(format!("<{escaped}>")), "<***>", "{escaped}");
        }
    }

    #[test]
    fn a_secret_is_found_in_lines_of_base64() {
        let secret: String = (0..40).map(|nth| format!("line-{nth} ")).collect();
        let mask = Mask::new([secret.as_str()].into_iter());
        for (before, width, line_end) in
            [("", 76, "\n"), ("user:", 76, "\r\n"), ("u", 64, "\n  "), ("", 60, "\n")]
        {
            let encoded = STANDARD.encode(format!("{before}{secret}"));
            let lines: Vec<&str> =
                encoded.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
            let masked = mask.text(format!("begin\n{}\nend", lines.join(line_end)));
            assert!(masked.starts_with("begin\n") && masked.ends_with("end"), "{masked}");
            assert!(masked.contains("***") && masked.len() < 30, "{masked}");
        }
        // The log masks each line separately.
        for line in STANDARD.encode(&secret).as_bytes().chunks(76) {
            assert!(line.len() < MIN_PATTERN_BYTES || mask.bytes(line.to_vec()) == b"***");
        }
    }

    #[test]
    fn each_line_of_a_secret_is_one() {
        let mask = Mask::new(["-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n"].into_iter());
        assert_eq!(mask.text("line: MIIEvQIBADANBg".to_owned()), "line: ***");
    }

    #[test]
    fn a_text_is_never_split_within_a_secret() {
        let mask = Mask::new(["0123456789abcdef"].into_iter());
        let text = b"xxxxxxxxxxxxxxxxxxxxxxxx0123456789abcdefyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";
        for end in 1..=text.len() {
            let cut = mask.cut(&text[..end]);
            let parts = [&text[..cut], &text[cut..]].map(|part| mask.bytes(part.to_vec()));
            assert!(parts.concat().windows(3).any(|part| part == b"***"), "cut at {cut} of {end}");
        }
    }

    #[test]
    fn every_field_of_an_error_is_masked() {
        let error = RunError {
            code: Some("12345678".to_owned()),
            details: Json::parse("[12345678]").ok(),
            trace: Some("at 12345678".to_owned()),
            ..RunError::new(ErrorKind::Failure, "no 12345678")
        };
        assert!(!format!("{:?}", mask().error(error)).contains("12345678"));
    }
}
