use std::fmt;
use std::sync::Arc;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::NameError;
use super::name::check_name;

/// The name of an app: the folder that a task's file is in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppName(Arc<str>);

/// The name of a task within its app: the file's name without `.wasm`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskName(Arc<str>);

impl AppName {
    /// Fails unless `name` is 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        check_name(name).map(Self)
    }

    /// The app of files directly in the tasks folder.
    pub fn default_app() -> Self {
        Self("default".into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TaskName {
    /// Fails unless `name` is 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        check_name(name).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Full name of a task: app and task. Printed as `app/task`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRef {
    /// The app.
    pub app: AppName,
    /// The task.
    pub task: TaskName,
}

impl TaskRef {
    /// Parses the two names.
    pub fn parse(app: &str, task: &str) -> Result<Self, NameError> {
        Ok(Self { app: AppName::parse(app)?, task: TaskName::parse(task)? })
    }

    /// Parses `app/task`, or `task` alone for the default app.
    pub fn parse_path(path: &str) -> Result<Self, NameError> {
        match path.split_once('/') {
            Some((app, task)) => Self::parse(app, task),
            None => Ok(Self { app: AppName::default_app(), task: TaskName::parse(path)? }),
        }
    }
}

/// Version of a task: the SHA-256 of its file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version([u8; 32]);

impl Version {
    /// The version of the file content `wasm`.
    pub fn of(wasm: &[u8]) -> Self {
        Self(Sha256::digest(wasm).into())
    }

    /// Parses 64 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        // `decode_mut` panics if the lengths do not fit.
        if hex.len() != 2 * bytes.len() {
            return None;
        }
        HEXLOWER_PERMISSIVE.decode_mut(hex.as_bytes(), &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&HEXLOWER.encode_display(&self.0), f)
    }
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app.0, self.task.0)
    }
}

/// Implements `Debug` as the plain text, for log lines and test failures.
macro_rules! debug_as_display {
    ($($name:ty),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_as_display!(TaskRef, Version, AppName, TaskName);

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths_and_urls() {
        for good in ["counter", "Long-operation_2", "a", &"x".repeat(64)] {
            assert!(TaskName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", "a.b", "a\0", &"x".repeat(65)] {
            assert!(TaskName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_task_without_an_app_is_of_the_default_app() {
        assert_eq!(TaskRef::parse_path("counter").unwrap().to_string(), "default/counter");
        assert_eq!(TaskRef::parse_path("demo/counter").unwrap().to_string(), "demo/counter");
        assert!(TaskRef::parse_path("a/b/c").is_err());
    }

    #[test]
    fn a_version_is_the_sha_256_in_hexadecimal() {
        let version = Version::of(b"abc");
        assert_eq!(version.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Version::parse(&version.to_string()), Some(version));
        assert_eq!(Version::parse(&version.to_string().to_uppercase()), Some(version));
        assert_eq!(Version::parse("ba78"), None);
        assert_eq!(Version::parse(&"é".repeat(32)), None);
        assert_eq!(Version::parse(&"+1".repeat(32)), None);
    }
}
