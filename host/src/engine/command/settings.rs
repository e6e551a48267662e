//! `[command]` of a manifest: how a program is called, and which output is its result.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use crate::model::{Json, JsonError};

/// Most bytes of printed output in the details of a failure.
const MAX_DETAIL_BYTES: usize = 4 << 10;
/// Most bytes of all arguments of one run, which every system allows. Larger data belongs on standard input.
const MAX_ARGUMENT_BYTES: usize = 64 << 10;

/// How an ordinary program is called, and which output is its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSettings {
    /// Its arguments, without its name. `{/pointer}` is replaced by that part of the input.
    pub arguments: Vec<String>,
    /// The source of its standard input.
    pub stdin: StdinSource,
    /// The source of its result.
    pub result: ResultSource,
    /// Exit codes that mean success.
    pub success_codes: Vec<u8>,
    /// Whether it gets environment variables with the facts of the run.
    pub has_run_variables: bool,
}

/// The source of a program's standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StdinSource {
    /// The input as one line of JSON, then answers to its calls.
    #[default]
    Json,
    /// The input: a string without quotes, bytes from an object with `base64`, or any other value as JSON.
    Raw,
    /// A part of the input (a JSON Pointer), converted like `Raw`.
    Part(String),
    /// Nothing.
    None,
}

/// The source of a program's result in its standard output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResultSource {
    /// The line `{"result":…}`, or the plain output; each line is an event.
    #[default]
    Lines,
    /// All of it, as a string.
    Text,
    /// All of it, as JSON.
    Json,
    /// All of it, as bytes of this media type.
    Bytes(String),
}

impl Default for CommandSettings {
    fn default() -> Self {
        Self {
            arguments: Vec::new(),
            stdin: StdinSource::default(),
            result: ResultSource::default(),
            success_codes: vec![0],
            has_run_variables: true,
        }
    }
}

/// A piece of an argument in a manifest.
enum Piece<'a> {
    Text(&'a str),
    /// A JSON Pointer.
    Part(&'a str),
}

/// The input can't be converted to arguments or standard input.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine) struct InvalidInput(String);

/// What a program printed is no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidResult {
    #[error("the program's output is not UTF-8")]
    NotUtf8,
    #[error("the program's output is not JSON: {0}")]
    NotJson(JsonError),
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The arguments and standard input of one run.
#[derive(Clone)]
pub(in crate::engine) struct Prepared {
    pub(in crate::engine) arguments: Vec<String>,
    pub(in crate::engine) stdin: Vec<u8>,
}

impl CommandSettings {
    /// Whether the host parses each printed line while the program runs.
    pub(super) fn uses_line_protocol(&self) -> bool {
        self.result == ResultSource::Lines
    }

    pub(in crate::engine) fn prepare(&self, input: &Json) -> Result<Prepared, InvalidInput> {
        let value = input.to_value();
        let stdin = match &self.stdin {
            StdinSource::Json => format!("{}\n", input.as_str()).into_bytes(),
            StdinSource::None => Vec::new(),
            StdinSource::Raw => bytes_of(&value)?,
            StdinSource::Part(pointer) => {
                let part = value.pointer(pointer);
                let part = part.ok_or_else(|| {
                    InvalidInput(format!("the input has nothing at {pointer}, which the program reads"))
                })?;
                bytes_of(part)?
            }
        };
        let mut arguments = Vec::new();
        for argument in &self.arguments {
            add_argument(&mut arguments, argument, &value)?;
        }
        let bytes: usize = arguments.iter().map(|argument| argument.len() + 1).sum();
        if bytes > MAX_ARGUMENT_BYTES {
            let limit = MAX_ARGUMENT_BYTES;
            return Err(InvalidInput(format!(
                "the arguments would have {bytes} bytes; the limit is {limit}"
            )));
        }
        Ok(Prepared { arguments, stdin })
    }

    /// Whether the exit code means success.
    pub(super) fn is_success(&self, code: i32) -> bool {
        u8::try_from(code).is_ok_and(|code| self.success_codes.contains(&code))
    }

    /// The details of a failure: the exit code, and the output if that would have been the result.
    pub(super) fn details(&self, code: i32, printed: Option<&[u8]>) -> String {
        let mut details = json!({ "exit_code": code });
        if let Some(printed) = printed.filter(|printed| !self.uses_line_protocol() && !printed.is_empty()) {
            let excerpt = &printed[..printed.len().min(MAX_DETAIL_BYTES)];
            details["stdout"] = String::from_utf8_lossy(excerpt).into();
        }
        details.to_string()
    }

    /// The result from standard output.
    pub(super) fn result_of(&self, printed: Vec<u8>) -> Result<String, InvalidResult> {
        match &self.result {
            ResultSource::Lines | ResultSource::Text => {
                Ok(Json::of(&String::from_utf8_lossy(&printed)).into_string())
            }
            ResultSource::Json if printed.trim_ascii().is_empty() => Ok("null".to_owned()),
            ResultSource::Json => {
                let text = String::from_utf8(printed).map_err(|_| InvalidResult::NotUtf8)?;
                Ok(Json::parse(text.trim().to_owned()).map_err(InvalidResult::NotJson)?.into_string())
            }
            ResultSource::Bytes(content_type) => {
                let bytes =
                    json!({ "content_type": content_type, "base64": BASE64_STANDARD.encode(printed) });
                Ok(bytes.to_string())
            }
        }
    }
}

/// A string without quotes, any other value as JSON.
fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// Like [`text_of`]; an object in the form of [`ResultSource::Bytes`] is decoded.
fn bytes_of(value: &Value) -> Result<Vec<u8>, InvalidInput> {
    let is_of_bytes =
        |members: &Map<String, Value>| members.keys().all(|key| key == "base64" || key == "content_type");
    match value.as_object().filter(|members| is_of_bytes(members)).and_then(|members| members.get("base64")) {
        Some(Value::String(text)) => BASE64_STANDARD
            .decode(text)
            .map_err(|error| InvalidInput(format!("the input for the program is not Base64: {error}"))),
        _ => Ok(text_of(value).into_owned().into_bytes()),
    }
}

/// Replaces the parts of the input in one argument. An argument that consists of one part is omitted if the input
/// lacks the part, and becomes several arguments if the part is a list.
fn add_argument(arguments: &mut Vec<String>, written: &str, input: &Value) -> Result<(), InvalidInput> {
    let pieces = pieces(written);
    if let [Piece::Part(pointer)] = pieces[..] {
        match input.pointer(pointer) {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                for item in items {
                    arguments.push(plain(pointer, item)?);
                }
            }
            Some(part) => arguments.push(plain(pointer, part)?),
        }
        return Ok(());
    }
    let mut argument = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => argument.push_str(text),
            Piece::Part(pointer) => {
                let part = input.pointer(pointer);
                let part = part.ok_or_else(|| {
                    InvalidInput(format!("the input has nothing at {pointer}, which is an argument"))
                })?;
                argument.push_str(&plain(pointer, part)?);
            }
        }
    }
    arguments.push(argument);
    Ok(())
}

fn plain(pointer: &str, part: &Value) -> Result<String, InvalidInput> {
    match text_of(part) {
        text if text.contains('\0') => Err(InvalidInput(format!(
            "the input at {pointer} has a zero byte, which an argument can't contain"
        ))),
        text => Ok(text.into_owned()),
    }
}

/// Splits an argument into pieces. `{/` begins a part, and the next `}` ends it; `{{/` is an escaped `{/`.
fn pieces(written: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut rest) = (Vec::new(), written);
    while let Some(begin) = rest.find("{/") {
        if rest[..begin].ends_with('{') {
            pieces.extend([Piece::Text(&rest[..begin - 1]), Piece::Text("{/")]);
            rest = &rest[begin + 2..];
            continue;
        }
        let Some(length) = rest[begin..].find('}') else { break };
        if begin > 0 {
            pieces.push(Piece::Text(&rest[..begin]));
        }
        pieces.push(Piece::Part(&rest[begin + 1..begin + length]));
        rest = &rest[begin + length + 1..];
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(written: &[&str], input: &Value) -> Result<Vec<String>, String> {
        let arguments = written.iter().map(|argument| (*argument).to_owned()).collect();
        let settings = CommandSettings { arguments, ..CommandSettings::default() };
        settings
            .prepare(&Json::of(input))
            .map(|prepared| prepared.arguments)
            .map_err(|unfit| unfit.to_string())
    }

    #[test]
    fn parts_of_the_input_are_arguments() {
        let input = json!({ "width": 7, "name": "a b", "files": ["x", "y", 1], "deep": { "a/b": true }, "none": null });
        for (written, called) in [
            (&["--width={/width}", "{/name}"][..], &["--width=7", "a b"][..]),
            (&["{/files}", "end"], &["x", "y", "1", "end"]),
            (&["{/absent}", "{/none}", "end"], &["end"]),
            (&["{/deep/a~1b}", "{/deep}"], &["true", r#"{"a/b":true}"#]),
            (&[".[] | {a}", "{}", "{{/width}", "{/width"], &[".[] | {a}", "{}", "{/width}", "{/width"]),
            (&["", "{/width}x{/width}"], &["", "7x7"]),
        ] {
            assert_eq!(arguments(written, &input).unwrap(), called, "{written:?}");
        }
        for (written, input, why) in [
            ("--width={/absent}", json!({}), "nothing at /absent"),
            ("{/a}", json!({ "a": "\0" }), "zero byte"),
            ("{/a}", json!({ "a": "x".repeat(70_000) }), "70001 bytes"),
        ] {
            assert!(arguments(&[written], &input).is_err_and(|error| error.contains(why)), "{written}");
        }
    }

    #[test]
    fn standard_input_is_the_source_in_the_manifest() {
        let read = |stdin: StdinSource, input: Value| {
            let settings = CommandSettings { stdin, ..CommandSettings::default() };
            settings.prepare(&Json::of(&input)).map(|prepared| String::from_utf8(prepared.stdin).unwrap())
        };
        let part = |pointer: &str| StdinSource::Part(pointer.to_owned());
        let input = json!({ "text": "# Head\n\"x\"" });
        assert_eq!(read(StdinSource::Json, json!("a")).unwrap(), "\"a\"\n");
        assert_eq!(read(StdinSource::Raw, json!("# Head\n")).unwrap(), "# Head\n");
        assert_eq!(read(StdinSource::Raw, json!([1, "a"])).unwrap(), "[1,\"a\"]");
        assert_eq!(read(part("/text"), input.clone()).unwrap(), "# Head\n\"x\"");
        assert_eq!(read(part(""), json!("a")).unwrap(), "a");
        assert_eq!(read(StdinSource::None, input.clone()).unwrap(), "");
        assert!(read(part("/other"), input).is_err());
        // Bytes, as the result of another run has them.
        let bytes = json!({ "content_type": "text/plain", "base64": "IyBIZWFk" });
        assert_eq!(read(StdinSource::Raw, bytes.clone()).unwrap(), "# Head");
        assert_eq!(read(part("/0"), json!([bytes])).unwrap(), "# Head");
        assert!(read(StdinSource::Raw, json!({ "base64": "%" })).is_err());
        let other = json!({ "base64": "IyBIZWFk", "name": "a" });
        assert_eq!(read(StdinSource::Raw, other.clone()).unwrap(), other.to_string());
    }

    #[test]
    fn a_failure_quotes_output_that_would_be_the_result() {
        let settings = CommandSettings { result: ResultSource::Text, ..CommandSettings::default() };
        let details = |printed: Option<&[u8]>| settings.details(3, printed);
        assert_eq!(details(None), r#"{"exit_code":3}"#);
        assert_eq!(details(Some(b"a.c:1: unused\n")), r#"{"exit_code":3,"stdout":"a.c:1: unused\n"}"#);
        assert!(details(Some(&[0xff; 100_000])).len() < 3 * MAX_DETAIL_BYTES + 100);
        assert_eq!(CommandSettings::default().details(3, Some(b"event")), r#"{"exit_code":3}"#);
    }

    #[test]
    fn a_result_has_the_form_in_the_manifest() {
        let result = |result: ResultSource, printed: &[u8]| {
            CommandSettings { result, ..CommandSettings::default() }.result_of(printed.to_vec())
        };
        assert_eq!(result(ResultSource::Text, b"<h1>\xff\n").unwrap(), "\"<h1>\u{fffd}\\n\"");
        assert_eq!(result(ResultSource::Json, b" {\"a\": 7.50}\n").unwrap(), "{\"a\": 7.50}");
        assert_eq!(result(ResultSource::Json, b"\n").unwrap(), "null");
        assert!(result(ResultSource::Json, b"1 2").unwrap_err().to_string().contains("not JSON"));
        assert!(result(ResultSource::Json, b"\"\xff\"").unwrap_err().to_string().contains("UTF-8"));
        let bytes = result(ResultSource::Bytes("image/png".to_owned()), &[0, 255]).unwrap();
        assert_eq!(bytes, r#"{"base64":"AP8=","content_type":"image/png"}"#);
    }
}
