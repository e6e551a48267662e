//! JSON values in the arguments of a command.

use std::io::Read as _;

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::Exit;

/// Reads the input of a run from the value of `--input`: `@FILE` is the content of a file, `-` is standard input,
/// anything else is the input itself.
pub(super) fn read(argument: &str) -> Result<Bytes, Exit> {
    let (input, source) = read_source(argument)?;
    // A task that needs no input takes an empty one.
    if !input.is_empty() {
        check_json(&input, &source)?;
    }
    Ok(input)
}

/// Checks a value before it is sent, so that the error names its `source` on the command line.
pub(super) fn check_json(value: &[u8], source: &str) -> Result<(), Exit> {
    match serde_json::from_slice::<IgnoredAny>(value) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => {
            let hint = if value.first().is_some_and(u8::is_ascii_alphabetic) {
                "; a string needs quotes"
            } else {
                ""
            };
            Err(Exit::Usage(format!("{source} is not valid JSON: {error}{hint}")))
        }
    }
}

fn read_source(argument: &str) -> Result<(Bytes, String), Exit> {
    let unreadable =
        |source: &str, error| Exit::Usage(format!("can't read the input from {source}: {error}"));
    if argument == "-" {
        let mut input = Vec::new();
        std::io::stdin().lock().read_to_end(&mut input).map_err(|error| unreadable("stdin", error))?;
        return Ok((input.into(), "the input from stdin".to_owned()));
    }
    match argument.strip_prefix('@') {
        Some(path) => {
            let input = std::fs::read(path).map_err(|error| unreadable(path, error))?;
            Ok((input.into(), format!("the input in {path}")))
        }
        None => Ok((argument.to_owned().into(), "--input".to_owned())),
    }
}
