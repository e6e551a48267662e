//! A JSON value as an argument of a command: a run's input, what goes with a signal.

use std::io::Read as _;

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::Exit;

/// The input that an argument stands for: `@FILE` for what is in a file, `-` for standard input,
/// anything else for itself.
pub(super) fn read(argument: &str) -> Result<Bytes, Exit> {
    let (input, what) = read_from(argument)?;
    // An empty one is that of a task that needs none.
    if !input.is_empty() {
        check_json(&input, &what)?;
    }
    Ok(input)
}

/// Refuses what a host would refuse, in the words of who typed it.
pub(super) fn check_json(value: &[u8], what: &str) -> Result<(), Exit> {
    match serde_json::from_slice::<IgnoredAny>(value) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => {
            let hint =
                if value.first().is_some_and(u8::is_ascii_alphabetic) { "; a text needs quotes" } else { "" };
            Err(Exit::Usage(format!("{what} is not JSON: {error}{hint}")))
        }
    }
}

fn read_from(argument: &str) -> Result<(Bytes, String), Exit> {
    let unreadable = |what: &str, error| Exit::Usage(format!("can't read the input from {what}: {error}"));
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
        None => Ok((argument.to_owned().into(), "the input".to_owned())),
    }
}
