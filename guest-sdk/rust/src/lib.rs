//! Write streamtask tasks in Rust.
//!
//! A task is one function, compiled to one WebAssembly file. The host starts it
//! over HTTP, keeps every event that it sends, and shows them live to any number
//! of clients.
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
//! Build it, drop it into the tasks folder, start it:
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
//! | say something | [`send`](Context::send), [`send_on`](Context::send_on) a channel, [`send_bytes`](Context::send_bytes), [`log`](Context::log), [`flush`](Context::flush) |
//! | report progress | [`progress`](Context::progress) as steps or as a tree, [`stream`](Context::stream) an iterator |
//! | update a page | [`view`](Context::view) |
//! | wait, and stop when asked to | [`sleep`](Context::sleep), [`cancelled`](Context::cancelled), [`check_cancelled`](Context::check_cancelled) |
//! | listen | [`receive_signal`](Context::receive_signal), [`parameter`](Context::parameter) |
//! | survive a crash | [`save_checkpoint`](Context::save_checkpoint), [`load_checkpoint`](Context::load_checkpoint) |
//! | have other tasks do a part | [`start_child`](Context::start_child), [`wait_for`](Context::wait_for), [`wait_for_any`](Context::wait_for_any) |
//! | reach out | [`http::get`], [`http::post`], and what std has of files and the environment; each as far as the manifest grants it |
//! | know itself | [`info`](Context::info), [`remaining`](Context::remaining) |
//!
//! What it prints to standard output and standard error becomes `log` events too.
//!
//! # How a task ends
//!
//! - It returns `Ok`: the value is kept with the run as its result.
//! - It returns a [`Failure`]: the attempt failed. `?` turns every
//!   [`std::error::Error`] into one, with its file and line; a failure that says
//!   [`retryable`](Failure::retryable) lets the host try again.
//! - It panics: the attempt failed with the message, its file and its line.
//! - It is cancelled: `ctx.sleep(..)?` and `ctx.check_cancelled()?` return
//!   early with a [`Cancelled`]. A task that ignores this is stopped by the host
//!   after a grace time.
//!
//! # Input and output
//!
//! Both are JSON and go through serde. With [`JsonSchema`] derived for them, the
//! host checks an input before it starts a run, and draws a form for it; doc
//! comments on the fields become their descriptions. The code for that takes
//! about 30 KB of the file; `#[task(no_schema)]` leaves it out, and the derives
//! are not needed then. An input that does not fit the type is a failure with
//! the code `invalid-input`.
//!
//! The host also refuses names that the input type has no field for, since they
//! are mostly misspelt, and a result that is not of the output's type. A type
//! that takes any name says so: `#[serde(flatten)] more: BTreeMap<String, Value>`
//! keeps them, `#[schemars(extend("additionalProperties" = true))]` ignores them.
//!
//! A task needs no input type at all: `fn tick(ctx: &Context) -> Result<..>`.
//!
//! # Tests
//!
//! On any other target than WebAssembly a task is an ordinary function, and a
//! `Recording` stands in for the host. It keeps the events, and its clock
//! stands still but for what the task sleeps, so tests never wait.
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
//! A `cdylib` is tested like every other crate: `cargo test`.

// The words.
mod error;
mod failure;
mod progress;
mod run;
mod schema;
mod view;

// The imports of the contract and of HTTP, and the two that offer them.
#[cfg(target_family = "wasm")]
mod guest;
#[cfg(target_family = "wasm")]
mod guest_http;
mod host;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

// What a task sees of them.
mod child;
mod closed;
mod context;
pub mod http;

// What the macros refer to.
#[doc(hidden)]
pub mod __private;

/// Makes a function the task of this crate.
///
/// The function takes `&Context` and, if it wants one, an input, and returns a
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
/// and both [`JsonSchema`]. `#[task(no_schema)]` drops the last demand; the host
/// then starts a run with any JSON.
///
/// The function's doc comment is the description that people see; without one,
/// it is the description in `Cargo.toml`.
///
/// The function itself stays as it is and can be called. On WebAssembly, the
/// component's exports are added beside it, so a crate has one task. A task is
/// not `async`: a call that waits suspends it on the host's side.
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
