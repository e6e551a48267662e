use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as _, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON value as text: valid, on one line, and readable by every parser.
///
/// The single line fits into an SSE `data:` field or an NDJSON line unchanged. Readable by every parser means: strings have
/// no lone surrogate escapes, numbers fit a double, and nesting has at most 120 levels.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Box<str>);

/// Most levels of arrays and objects. Many parsers read 127, and the host nests a value in others: in a list of runs, it is
/// three levels deep.
const MAX_NESTING: u8 = 120;
/// Prefix of the names by which serde_json marks its own values. Its parser replaces an object with such a name by the JSON
/// text in it, so the checked value would differ from the one that a guest gets.
const RESERVED: &str = "$serde_json::private::";

/// For `deserialize_with`: distinguishes a field with `null` from an absent one.
pub fn also_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Error in a JSON text, with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The message of the parser, for people.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1; 0 at the very start of a line.
    pub column: usize,
}

impl Json {
    /// Checks a text. Line breaks between tokens become spaces; everything else is kept as written.
    pub fn parse(text: impl Into<String>) -> Result<Self, JsonError> {
        let text = text.into();
        walk(&text, Names::Any)?;
        Ok(Self(on_one_line(text).into_boxed_str()))
    }

    /// Serializes a value of this program. Panics only if it can't be JSON, such as a map with keys that are not strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(serde_json::to_string(value).expect("the host's own values are JSON").into_boxed_str())
    }

    /// `null`.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// `{}`.
    pub fn empty_object() -> Self {
        Self("{}".into())
    }

    /// A text that is not checked again. The caller guarantees that it is valid JSON on one line: a stored [`Json`], or
    /// one that the host composed of checked values.
    pub(crate) fn from_valid(text: String) -> Self {
        debug_assert!(is_valid_line(&text), "not JSON on one line: {text}");
        Self(text.into_boxed_str())
    }

    /// Rejects an object with a duplicate name: some parsers take the first value and others the last, so a schema could
    /// check a value that the guest does not see.
    pub fn check_names(&self) -> Result<(), JsonError> {
        walk(&self.0, Names::Once)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Converts into the text.
    pub fn into_string(self) -> String {
        self.0.into_string()
    }

    /// A text that is the same for equal values: without spaces, and with sorted names.
    pub fn canonical(&self) -> String {
        Self::canonical_of(self.to_value())
    }

    /// The same for a tree.
    pub(super) fn canonical_of(value: serde_json::Value) -> String {
        /// Sorts explicitly, whatever map serde_json uses.
        fn sorted(value: serde_json::Value) -> serde_json::Value {
            match value {
                serde_json::Value::Object(members) => {
                    let members: BTreeMap<_, _> =
                        members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
                    members.into_iter().collect()
                }
                serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
                plain => plain,
            }
        }
        sorted(value).to_string()
    }

    /// The value as a tree.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or(serde_json::Value::Null)
    }
}

/// Whether the text is JSON on one line. Does not count levels, because the host nests checked values in others.
fn is_valid_line(text: &str) -> bool {
    memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none()
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// In valid JSON, a raw line break can only be between tokens: inside a string it has to be escaped.
fn on_one_line(text: String) -> String {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return text;
    }
    text.replace(['\n', '\r'], " ")
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl std::error::Error for JsonError {}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {} column {}", self.message, self.line, self.column)
    }
}

impl From<&serde_json::Error> for JsonError {
    fn from(error: &serde_json::Error) -> Self {
        // serde_json appends the position to its message; here it is separate.
        let whole = error.to_string();
        let message = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(message, _)| message);
        Self { message: message.to_owned(), line: error.line(), column: error.column() }
    }
}

fn walk(text: &str, names: Names) -> Result<(), JsonError> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let walked = Checked { levels: MAX_NESTING, names }.deserialize(&mut parser);
    walked.and_then(|()| parser.end()).map_err(|error| JsonError::from(&error))
}

/// Whether an object may have the same name twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// For events of guests: comparing their many names would cost time.
    Any,
    Once,
}

/// Walks a whole value without building it. `IgnoredAny` would be faster, but accepts lone surrogates and numbers beyond a
/// double.
#[derive(Clone, Copy)]
struct Checked {
    /// Levels that may still be entered.
    levels: u8,
    names: Names,
}

impl Checked {
    fn enter<E: Error>(self) -> Result<Self, E> {
        let levels = self.levels.checked_sub(1);
        let levels =
            levels.ok_or_else(|| E::custom(format_args!("more than {MAX_NESTING} levels of nesting")))?;
        Ok(Self { levels, ..self })
    }
}

/// The name of a member, stored if names are compared.
struct Name(Names);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        check_name(name)?;
        Ok((self.0 == Names::Once).then_some(Cow::Borrowed(name)))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        check_name(name)?;
        Ok((self.0 == Names::Once).then(|| Cow::Owned(name.to_owned())))
    }
}

fn check_name<E: Error>(name: &str) -> Result<(), E> {
    match name.starts_with(RESERVED) {
        true => Err(E::custom(format_args!("the name {name:?} can't be used"))),
        false => Ok(()),
    }
}

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.enter::<A::Error>()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.enter::<A::Error>()?;
        let mut seen = HashSet::new();
        while let Some(name) = entries.next_key_seed(Name(self.names))? {
            if let Some(name) = name
                && let Some(name) = seen.replace(name)
            {
                return Err(Error::custom(format_args!("the name {name:?} is there twice in one object")));
            }
            entries.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Json, JsonError> {
        Json::parse(text.to_owned())
    }

    #[test]
    fn line_breaks_between_tokens_become_spaces_and_escaped_ones_stay() {
        let json = parse("{\r\n  \"a\":\n\"x\\ny\\r\"\r}").unwrap();
        assert_eq!(json.as_str(), "{    \"a\": \"x\\ny\\r\" }");
        assert_eq!(json.to_value()["a"], "x\ny\r");
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let error = parse("{\"a\": 1,\n \"b\": }").unwrap_err();
        assert_eq!((error.line, error.column), (2, 7));
        assert_eq!(error.message, "expected value");
    }

    #[test]
    fn refuses_what_some_parsers_can_not_read() {
        assert!(parse("\"\\ud800\"").is_err(), "a lone surrogate");
        assert!(parse("1e999").is_err(), "a number beyond a double");
        assert!(parse(&"[".repeat(200)).is_err(), "unclosed");
        assert!(parse(&format!("{}{}", "[".repeat(200), "]".repeat(200))).is_err(), "too deep");
        let nested = |levels| parse(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
        assert!(nested(120).is_ok());
        assert!(nested(121).unwrap_err().message.contains("120 levels"));
        assert!(parse("\"a\u{0}b\"").is_err(), "a raw NUL");
        assert!(parse("1 2").is_err(), "two values");
        assert!(parse("").is_err(), "nothing");
        assert!(parse("\u{feff}1").is_err(), "a byte order mark");
    }

    #[test]
    fn the_same_value_is_the_same_text_however_it_was_written() {
        let canonical = |text| parse(text).unwrap().canonical();
        let expected = r#"{"a":[1,{"x":null,"y":"é"}],"b":1.5}"#;
        for same in [expected, "{ \"b\": 15e-1,\n\"a\": [1, {\"y\": \"\\u00e9\", \"x\": null}] }"] {
            assert_eq!(canonical(same), expected);
        }
        assert_ne!(canonical("[1,2]"), canonical("[2,1]"));
        assert_ne!(canonical("1"), canonical("\"1\""));
    }

    #[test]
    fn refuses_names_by_which_the_parser_would_take_it_for_another_value() {
        for name in ["RawValue", "Number", "\\u0052awValue", ""] {
            for text in [
                "{\"$serde_json::private::NAME\":\"{}\"}",
                "[{\"a\":{\"\\u0024serde_json::private::NAME\":1}}]",
            ] {
                let text = text.replace("NAME", name);
                let error = parse(&text).unwrap_err();
                assert!(error.message.contains("can't be used"), "{text}: {error}");
            }
        }
        assert!(
            parse("{\"$serde_json\":1,\"a\":\"$serde_json::private::RawValue\"}").is_ok(),
            "no such name"
        );
    }

    #[test]
    fn a_name_that_is_there_twice_is_found_wherever_it_is() {
        for twice in
            ["{\"a\":1,\"a\":1}", "[{\"b\":{\"x\":1,\"a\":2,\"\\u0078\":3}}]", "{\"\":1,\"b\":2,\"\":3}"]
        {
            let json = parse(twice).unwrap();
            assert!(json.check_names().unwrap_err().message.contains("twice"), "{twice}");
        }
        for once in ["{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}],\"A\":1}", "null", "[1,1]"] {
            assert_eq!(parse(once).unwrap().check_names(), Ok(()), "{once}");
        }
    }

    #[test]
    fn takes_every_kind_of_value() {
        for text in [
            "null",
            "true",
            "-0.5e3",
            "18446744073709551616",
            "\"\\u0000\u{feff}\u{2028}\"",
            "[]",
            "{\"\":[{}]}",
        ] {
            assert_eq!(parse(text).unwrap().as_str(), text);
        }
    }
}
