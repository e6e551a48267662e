//! What the end-to-end tests share: guests built from source, hosts on port 0,
//! and clients that speak plain HTTP and read the bytes themselves.

pub mod api;
pub mod book;
pub mod child;
pub mod clients;
pub mod cluster;
pub mod database;
pub mod dead;
pub mod elsewhere;
pub mod folders;
pub mod guests;
pub mod host;
pub mod hostile;
pub mod http;
pub mod kit;
pub mod limits;
pub mod nginx;
pub mod optional;
pub mod pages;
pub mod proxies;
pub mod said;
pub mod sse;
pub mod stall;
pub mod standard;
pub mod terminal;
pub mod websocket;

use std::path::PathBuf;
use std::time::Duration;

pub use api::{Api, stream_path};
pub use child::ChildHost;
pub use cluster::Cluster;
pub use elsewhere::Elsewhere;
pub use folders::Folders;
pub use host::TestHost;
pub use http::{Answer, Connection, Http2, Lines, raw};
pub use optional::fetched_tools;
pub use said::Said;
pub use sse::{Event, EventStream, names};
pub use terminal::Terminal;
pub use websocket::WebSocket;

/// Longest time anything in a test may take before it counts as stuck. Generous:
/// it is never what a passing test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The same for the compiler: an interpreter of 18 MB is half a minute's work for both cores of a small machine, and
/// tests run beside one another.
pub const COMPILE_PATIENCE: Duration = Duration::from_secs(300);

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Awaits `future`; panics with `what` if it takes longer than [`PATIENCE`].
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    within(PATIENCE, what, future).await
}

async fn within<F: Future>(patience: Duration, what: &str, future: F) -> F::Output {
    match tokio::time::timeout(patience, future).await {
        Ok(output) => output,
        Err(_) => panic!("stuck: {what}"),
    }
}

/// Awaits until `condition` holds. For what gives no notice; polls.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl FnMut() -> F) {
    eventually_within(PATIENCE, what, condition).await;
}

/// The same, with a patience of its own.
pub async fn eventually_within<F: Future<Output = bool>>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    within(patience, what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The README's Rust compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// So does that of the book.
#[cfg(doctest)]
#[doc = include_str!("../../docs/languages.md")]
#[doc = include_str!("../../docs/embedding.md")]
pub struct Book;

/// So does that of the SDK's page.
#[cfg(doctest)]
#[doc = include_str!("../../guest-sdk/rust/README.md")]
pub struct SdkReadme;
