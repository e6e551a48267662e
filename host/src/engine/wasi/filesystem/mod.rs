//! Granted folders: `wasi:filesystem` with limits.
//!
//! The library keeps a guest within its folders, whatever `..` or links it tries. This module adds what the library
//! lacks: limits for output files and open files, and log lines that say why an operation was denied. `preview_2` and
//! `preview_1` are in front of the library's functions of those versions of WASI.

mod open_files;
mod preopens;
mod preview_1;
mod preview_2;
mod quota;
mod streams;
mod threads;

pub(in crate::engine) use open_files::OpenFiles;
pub(in crate::engine) use preopens::register_preopens;
pub(in crate::engine) use preview_1::link as link_preview_1;
pub(in crate::engine) use preview_2::link;
pub(in crate::engine) use threads::{FilePool, FilePools};
