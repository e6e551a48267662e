//! A run's input as an argument of a command.

use std::io::Read as _;

use bytes::Bytes;

use super::Exit;

/// What an argument stands for: `@FILE` for what is in a file, `-` for what comes by stdin,
/// anything else for itself.
pub(super) fn read(argument: &str) -> Result<Bytes, Exit> {
    let unreadable = |what: &str, error| Exit::Usage(format!("can't read the input from {what}: {error}"));
    if argument == "-" {
        let mut input = Vec::new();
        std::io::stdin().lock().read_to_end(&mut input).map_err(|error| unreadable("stdin", error))?;
        return Ok(input.into());
    }
    match argument.strip_prefix('@') {
        Some(path) => std::fs::read(path).map(Bytes::from).map_err(|error| unreadable(path, error)),
        None => Ok(Bytes::from(argument.to_owned())),
    }
}
