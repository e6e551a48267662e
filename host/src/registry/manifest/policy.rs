//! The grants that the host allows in manifests.
//!
//! Anyone who can write to the tasks folder can also write manifests. So grants that affect the host or its network have to
//! be allowed when the host is started.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::Fault;

/// Policy for the grants in manifests.
#[derive(Clone, Debug)]
pub struct GrantPolicy {
    /// Allowed kinds of grants.
    pub kinds: GrantKinds,
    /// Largest `output-files-size` in bytes.
    pub max_files_bytes: u64,
    /// The data folder, which no task may access.
    pub data: PathBuf,
    /// The tasks folder, to which no task may write, because it has the manifests.
    pub tasks: PathBuf,
}

impl GrantPolicy {
    /// A policy that allows everything.
    pub(super) fn everything() -> Self {
        Self {
            kinds: GrantKinds::all(),
            max_files_bytes: u64::MAX,
            data: PathBuf::new(),
            tasks: PathBuf::new(),
        }
    }
}

/// A kind of grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantKind {
    /// Environment variables with values from the manifest.
    Env,
    /// Output files.
    Files,
    /// Requests to public addresses.
    Http,
    /// Requests to private addresses.
    Private,
    /// Values from the host's own environment and files.
    Secrets,
    /// Folders of the host.
    Folders,
}

impl GrantKind {
    pub(super) const ALL: [Self; 6] =
        [Self::Env, Self::Files, Self::Http, Self::Private, Self::Secrets, Self::Folders];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Files => "files",
            Self::Http => "http",
            Self::Private => "private",
            Self::Secrets => "secrets",
            Self::Folders => "folders",
        }
    }
}

/// A set of kinds of grants. As text: names separated by commas, `all`, or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantKinds(BTreeSet<GrantKind>);

impl Default for GrantKinds {
    /// The kinds that only use disk space of the host. They give nothing to the author of a manifest that the author of the
    /// task could not have anyway.
    fn default() -> Self {
        Self([GrantKind::Env, GrantKind::Files].into())
    }
}

impl GrantKinds {
    /// Every kind.
    pub fn all() -> Self {
        Self(GrantKind::ALL.into())
    }

    pub(super) fn check(&self, kind: GrantKind, at: usize) -> Result<(), Fault> {
        if self.0.contains(&kind) {
            return Ok(());
        }
        let all: Vec<&str> = self.0.iter().chain([&kind]).map(|kind| kind.as_str()).collect();
        let message = format!(
            "this host lets no manifest grant {}; start it with --grants {} if whoever writes into the tasks \
             folder may decide that",
            kind.as_str(),
            all.join(",")
        );
        Err((at, message))
    }
}

impl fmt::Display for GrantKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|kind| kind.as_str()).collect();
        f.write_str(if names.is_empty() { "none".to_owned() } else { names.join(",") }.as_str())
    }
}

/// The name of a grant that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no grant {name:?}; there are {}, and `all` and `none`", GrantKind::ALL.map(GrantKind::as_str).join(", "))]
pub struct UnknownGrant {
    name: String,
}

impl FromStr for GrantKinds {
    type Err = UnknownGrant;

    fn from_str(text: &str) -> Result<Self, UnknownGrant> {
        match text {
            "all" => return Ok(Self::all()),
            "none" => return Ok(Self(BTreeSet::new())),
            _ => {}
        }
        let kind = |name: &str| {
            let found = GrantKind::ALL.into_iter().find(|kind| kind.as_str() == name.trim());
            found.ok_or_else(|| UnknownGrant { name: name.to_owned() })
        };
        text.split(',').map(kind).collect::<Result<_, _>>().map(Self)
    }
}

impl<'de> Deserialize<'de> for GrantKinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for text in ["env,files", "none", "http,private,secrets", "env,files,http,private,secrets,folders"] {
            assert_eq!(text.parse::<GrantKinds>().unwrap().to_string(), text);
        }
        assert_eq!(GrantKinds::default().to_string(), "env,files");
        assert_eq!("all".parse(), Ok(GrantKinds::all()));
        assert!("htpp".parse::<GrantKinds>().unwrap_err().to_string().contains("there are env, files, http"));
    }
}
