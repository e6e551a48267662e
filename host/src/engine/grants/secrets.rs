//! Secrets: environment variables whose values are masked in all output of a guest.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::mask::Mask;

/// A shorter value can't be masked, because it would also be found in unrelated
/// text.
const MIN_SECRET_BYTES: usize = 8;
/// Longest value: more than a private key in text form. It has to fit into one line of
/// the log to be masked there.
pub(super) const MAX_SECRET_BYTES: usize = 4 << 10;

/// The reason why a value can't be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Too short to be masked.
    #[error("it has {0} bytes; a secret has at least {MIN_SECRET_BYTES}, or it could not be masked")]
    TooShort(usize),
    /// Too long to be masked.
    #[error("it has {0} bytes; a secret has at most {MAX_SECRET_BYTES}")]
    TooLong(usize),
    /// An environment variable ends at a NUL byte.
    #[error("it has a NUL byte, which no environment variable can have")]
    Nul,
}

/// Secrets by the names of their environment variables. Neither `Debug` nor JSON
/// output contains the values.
#[derive(Clone, Default)]
pub struct Secrets {
    values: BTreeMap<String, String>,
    /// Built with each change, not for each run.
    mask: Option<Mask>,
}

impl Secrets {
    /// Adds secrets. They replace secrets of the same names.
    pub fn add(
        &mut self,
        more: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), (String, SecretError)> {
        for (name, value) in more {
            match value.len() {
                bytes if bytes < MIN_SECRET_BYTES => return Err((name, SecretError::TooShort(bytes))),
                bytes if bytes > MAX_SECRET_BYTES => return Err((name, SecretError::TooLong(bytes))),
                _ if value.contains('\0') => return Err((name, SecretError::Nul)),
                _ => drop(self.values.insert(name, value)),
            }
        }
        self.mask = (!self.values.is_empty()).then(|| Mask::new(self.values.values().map(String::as_str)));
        Ok(())
    }

    /// Whether there is a secret of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Names and values, for the guest only.
    pub(in crate::engine) fn reveal(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The mask of the values; none if there are no secrets.
    pub(in crate::engine) fn mask(&self) -> Option<&Mask> {
        self.mask.as_ref()
    }
}

impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Serialize for Secrets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.values.keys())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_printed_or_serialized() {
        let mut secrets = Secrets::default();
        secrets.add([("KEY".to_owned(), "hunter2hunter2".to_owned())]).unwrap();
        assert_eq!(format!("{secrets:?}"), "{\"KEY\"}");
        assert_eq!(serde_json::to_string(&secrets).unwrap(), "[\"KEY\"]");
    }

    #[test]
    fn a_value_that_cannot_be_masked_is_refused() {
        for (value, error) in [
            ("short".to_owned(), SecretError::TooShort(5)),
            (String::new(), SecretError::TooShort(0)),
            ("x".repeat(5000), SecretError::TooLong(5000)),
            ("12345678\0".to_owned(), SecretError::Nul),
        ] {
            let refused = Secrets::default().add([("KEY".to_owned(), value)]);
            assert_eq!(refused, Err(("KEY".to_owned(), error)));
        }
    }
}
