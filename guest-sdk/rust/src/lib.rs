//! The streamtask SDK for Rust.
//!
//! A task is one function, compiled to one WebAssembly file. Clients start it
//! over HTTP. The host stores every event that it sends, and streams the events
//! live to any number of clients.
//!
//! # A task in five minutes
//!
//! `cargo new --lib hello`, and in `Cargo.toml`:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! serde = { version = "1", features = ["derive"] }
//! streamtask-sdk = "0.1"
//!
//! [profile.release] # small files load fast
//! opt-level = "s"
//! lto = true
//! codegen-units = 1
//! panic = "abort"
//! strip = true
//! ```
//!
//! In `src/lib.rs`:
//!
//! ```
//! use std::time::Duration;
//!
//! use serde::{Deserialize, Serialize};
//! use streamtask_sdk::{Context, Failure, JsonSchema, Progress, task};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Input {
//!     /// Whom to greet.
//!     names: Vec<String>,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Output {
//!     greeted: usize,
//! }
//!
//! /// Greets everyone, one a second.
//! #[task]
//! fn greet(ctx: &Context, input: Input) -> Result<Output, Failure> {
//!     let total = input.names.len();
//!     for (nth, name) in input.names.iter().enumerate() {
//!         ctx.send("greeting", &format!("Hello, {name}!"))?;
//!         ctx.progress(Progress::step(nth as u64 + 1).total(total as u64).message(name))?;
//!         ctx.sleep(Duration::from_secs(1))?;
//!     }
//!     Ok(Output { greeted: total })
//! }
//! ```
//!
//! Build it, copy it to the tasks folder, start it:
//!
//! ```sh
//! rustup target add wasm32-wasip2
//! cargo build --release --target wasm32-wasip2
//! cp target/wasm32-wasip2/release/hello.wasm tasks/demo/
//! curl -d '{"names":["Ada","Alan"]}' http://127.0.0.1:8080/api/tasks/demo/hello/runs
//! ```
//!
//! # What a task can do
//!
//! Everything goes through the [`Context`]:
//!
//! | | |
//! |---|---|
//! | send events | [`send`](Context::send), [`send_on`](Context::send_on) a channel, [`send_bytes`](Context::send_bytes), [`log`](Context::log), [`flush`](Context::flush) |
//! | report progress | [`progress`](Context::progress) as steps or as a tree, [`stream`](Context::stream) an iterator |
//! | update a web page | [`view`](Context::view) |
//! | wait, and react to cancellation | [`sleep`](Context::sleep), [`cancelled`](Context::cancelled), [`check_cancelled`](Context::check_cancelled) |
//! | receive signals and parameters | [`receive_signal`](Context::receive_signal), [`parameter`](Context::parameter) |
//! | survive a crash | [`save_checkpoint`](Context::save_checkpoint), [`load_checkpoint`](Context::load_checkpoint) |
//! | start other tasks | [`start_child`](Context::start_child), [`wait_for`](Context::wait_for), [`wait_for_any`](Context::wait_for_any) |
//! | access the network and files | [`http::get`], [`http::post`], and the files and environment variables of std; all require a grant in the manifest |
//! | get information about the run | [`info`](Context::info), [`remaining`](Context::remaining) |
//!
//! Its output on standard output and standard error becomes `log` events, too.
//!
//! # How a task ends
//!
//! - It returns `Ok`: the value is stored as the run's result.
//! - It returns a [`Failure`]: the attempt failed. `?` converts every
//!   [`std::error::Error`] to one, with its file and line; if it is
//!   [`retryable`](Failure::retryable), the host can retry.
//! - It panics: the attempt failed with the message, the file and the line.
//! - It is cancelled: `ctx.sleep(..)?` and `ctx.check_cancelled()?` return
//!   early with a [`Cancelled`]. If a task ignores this, the host stops it
//!   after a grace period.
//!
//! # Input and output
//!
//! Both are JSON and go through serde. With [`JsonSchema`] derived for them, the
//! host checks an input before it starts a run, and shows a form for it; doc
//! comments on the fields become their descriptions. The code for that takes
//! about 30 KB of the file; `#[task(no_schema)]` omits it, and the derives are
//! not needed then. An input that does not match the type is a failure with the
//! code `invalid-input`.
//!
//! The host also rejects names that are not fields of the input type, because
//! they are mostly misspelt, and results that do not match the output type. To
//! accept other names: `#[serde(flatten)] more: BTreeMap<String, Value>`
//! keeps them, `#[schemars(extend("additionalProperties" = true))]` ignores them.
//!
//! A task does not have to have an input: `fn tick(ctx: &Context) -> Result<..>`.
//!
//! # Tests
//!
//! On other targets than WebAssembly, a task is an ordinary function, and a
//! `Recording` replaces the host. It records the events, and its clock only
//! advances when the task sleeps, so tests never wait.
//!
//! ```
//! # use streamtask_sdk::{Context, Failure};
//! use streamtask_sdk::testing::Recording;
//!
//! # fn greet(ctx: &Context, names: &[&str]) -> Result<(), Failure> {
//! #     for name in names {
//! #         ctx.send("greeting", &format!("Hello, {name}!"))?;
//! #     }
//! #     Ok(())
//! # }
//! let run = Recording::new();
//! greet(&run, &["Ada", "Alan"]).unwrap();
//! assert_eq!(run.data("greeting"), ["Hello, Ada!", "Hello, Alan!"]);
//! ```
//!
//! A `cdylib` is tested like any other crate: `cargo test`.

// The types.
mod error;
mod failure;
mod progress;
mod run;
mod schema;
mod view;

// The imports of the contract and of HTTP, and their two implementations.
#[cfg(target_family = "wasm")]
mod guest;
#[cfg(target_family = "wasm")]
mod guest_http;
mod host;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

// The context of a task.
mod child;
mod closed;
mod context;
pub mod http;

// Items that the macros use.
#[doc(hidden)]
pub mod __private;

/// Makes a function the task of this crate.
///
/// The function takes `&Context` and optionally an input, and returns a
/// `Result` of an output and a [`Failure`] (or anything that `Failure` can be
/// made from):
///
/// ```
/// use streamtask_sdk::{Context, Failure, task};
///
/// /// Adds up the numbers.
/// #[task]
/// fn sum(_ctx: &Context, numbers: Vec<u32>) -> Result<u32, Failure> {
///     Ok(numbers.iter().sum())
/// }
/// # assert_eq!(sum(&streamtask_sdk::testing::Recording::new(), vec![1, 2]).unwrap(), 3);
/// ```
///
/// The input implements [`serde::Deserialize`], the output [`serde::Serialize`],
/// and both [`JsonSchema`]. `#[task(no_schema)]` drops the last requirement;
/// the host then accepts any JSON.
///
/// The function's doc comment is the description that people see; without one,
/// it is the description in `Cargo.toml`.
///
/// The function itself is unchanged and can be called. On WebAssembly, the
/// component's exports are added beside it, so a crate has one task. A task is
/// not `async`: a call that waits suspends it in the host.
pub use streamtask_sdk_macros::task;

pub use child::{Child, ChildError, NewChild, Outcome};
pub use context::Context;
pub use error::{Cancelled, Error, ErrorCode};
pub use failure::Failure;
pub use progress::{Message, Progress, Status};
pub use run::{Level, RunInfo, Signal};
pub use schema::JsonSchema;
pub use serde_json::{Value, json};
pub use view::View;
