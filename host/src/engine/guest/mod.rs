//! One guest: the data of its store, its limits, and the functions of the host that it can call.
//!
//! `host_api` and `child_runs` check and execute a guest's calls; `imports` links them as functions of the contract,
//! whose generated types are in `bindings`. Ordinary programs make the same calls by lines (`command`).

mod access;
pub(super) mod bindings;
mod child_runs;
mod failure;
mod host_api;
pub(super) mod imports;
mod memory;
mod store_data;

pub(super) use access::{Access, FolderError};
pub(super) use child_runs::ChildOptions;
pub(super) use failure::{exit_code, from_failure};
pub(super) use host_api::{ApiResult, HostApi};
pub(super) use store_data::Guest;
