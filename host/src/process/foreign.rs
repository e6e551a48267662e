//! Escapes untrusted text for terminals and logs.
//!
//! Text from guests, file names or clients may contain terminal control sequences, line breaks that forge log lines, or
//! marks that change the direction of text.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text as one line, with control characters escaped, such as `\u{1b}` or `\n`.
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, is_steering, |escaped, character| escaped.extend(character.escape_default()))
}

/// The same for a text of several lines, which are kept.
pub fn plain_lines(text: &str) -> Cow<'_, str> {
    let steers = |character: char| character != '\n' && is_steering(character);
    escaped(text, steers, |escaped, character| escaped.extend(character.escape_default()))
}

/// The same for JSON, which stays the same value: control characters can only be in strings.
pub fn plain_json(json: &str) -> Cow<'_, str> {
    let steers = |character: char| !matches!(character, '\n' | '\r' | '\t') && is_steering(character);
    escaped(json, steers, |escaped, character| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    })
}

/// Control characters of ASCII and Latin 1, Unicode line ends, and characters that change the direction or hide text.
fn is_steering(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(character, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn escaped(text: &str, steers: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.chars().any(&steers) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if steers(character) { escape(&mut plain, character) } else { plain.push(character) }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal_or_forges_a_line() {
        let text = "a\u{1b}[31m\u{7}\u{9b}2J\u{7f}\u{202e}b\u{2066}\u{200b}\u{2028}\r\nc\té😀";
        let shown = plain(text);
        assert_eq!(shown, r"a\u{1b}[31m\u{7}\u{9b}2J\u{7f}\u{202e}b\u{2066}\u{200b}\u{2028}\r\nc\té😀");
        assert_eq!(plain_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
        assert!(matches!(plain("grüße 😀"), Cow::Borrowed(_)), "what is harmless is not copied");
    }

    #[test]
    fn json_stays_the_same_value() {
        let json = "{\"a\":\"\u{9b}\u{202e}\u{7f}\u{e0041}\"}\n";
        let shown = plain_json(json);
        assert_eq!(shown, "{\"a\":\"\\u009b\\u202e\\u007f\\udb40\\udc41\"}\n");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(json));
    }
}
