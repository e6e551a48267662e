use std::sync::Arc;

/// Error for an invalid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 of the characters A-Z a-z 0-9 _ -")]
pub struct NameError;

/// Longest app or task name in bytes. Names appear in paths, file names and
/// every event.
pub const MAX_TASK_NAME_BYTES: usize = 64;

/// `[A-Za-z0-9_-]{1,64}`: safe in a path, a file name and a URL without escaping.
pub(super) fn check_name(name: &str) -> Result<Arc<str>, NameError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if plain && (1..=MAX_TASK_NAME_BYTES).contains(&name.len()) { Ok(name.into()) } else { Err(NameError) }
}
