//! PostgreSQL servers for tests.
//!
//! A test takes the [`server`] that all tests of its process share, with a [`Server::fresh_schema`] of its own, or starts a
//! [`Server`] that it may stop. A [`Proxy`] in front of a server cuts connections, keeps them silent, or swallows
//! notifications.
//!
//! The programs are those of the system: in the folder that `PG_BIN` names, in the `PATH`, or where Debian has them. Without
//! them a test says that it skips itself, and in CI it fails.

mod certificate;
mod guard;
mod optional;
mod programs;
mod proxy;
mod server;

use std::sync::OnceLock;

pub use certificate::Certificate;
pub use optional::skip;
pub use programs::Programs;
pub use proxy::Proxy;
pub use server::{Options, Server};

/// What a test without the programs says that it needs.
pub const NEEDS: &str =
    "PostgreSQL 14 or newer (Debian: the package postgresql; elsewhere, PG_BIN names its folder bin)";

/// The server of this process, started by the first test that asks for it; for the test `what`, which skips itself if there
/// is none.
///
/// # Panics
/// If it does not start; with `CI=true` also if it is not installed.
pub fn server(what: &str) -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    let server = SHARED.get_or_init(|| Some(Server::start(&Programs::find()?, Options::default())));
    if server.is_none() {
        skip(what, NEEDS);
    }
    server.as_ref()
}

/// A server of its own for the test `what`, which skips itself if there can be none.
///
/// # Panics
/// If it does not start; with `CI=true` also if it is not installed.
pub fn own_server(what: &str, options: Options) -> Option<Server> {
    let programs = Programs::find();
    if programs.is_none() {
        skip(what, NEEDS);
    }
    Some(Server::start(&programs?, options))
}
