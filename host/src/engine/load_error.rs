//! Reasons why a file can't be loaded as a task.

use std::io;

use super::code::is_scarce;

/// Why a file is not a task that can run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It does not begin like WebAssembly.
    #[error("this is not a WebAssembly file")]
    NotWasm,
    /// It is a core module, and no component can be made of it.
    #[error("this core module is no task: {0}")]
    CoreModule(String),
    /// It is damaged, cut off, or uses what the engine does not have.
    #[error("this is not a valid component: {0}")]
    Invalid(String),
    /// Loading it panicked: a fault of the host or of a library.
    #[error("the host failed while it loaded this file")]
    Failed,
    /// It has no `process` of the right type.
    #[error(
        "this component exports neither `process: func(input: string) -> result<string, failure>` \
         nor `wasi:cli/run`{0}"
    )]
    NoProcess(String),
    /// It is made for another version of the contract.
    #[error(
        "this component is made for {found}, and this host speaks {ours}; build it with the SDK of this host"
    )]
    OtherContract {
        /// What it names.
        found: String,
        /// What there is.
        ours: &'static str,
    },
    /// It is for the async world, and the host was not started with it.
    #[error(
        "this component has async functions, which are an experiment; \
         start the host with --experimental-async"
    )]
    Experimental,
    /// It is made for a version of WASI that this host has for no program.
    #[error(
        "this component is made for WASI 0.3 (it imports {0}), and this host takes programs for WASI 0.2 and preview 1; \
         build it for wasm32-wasip2 or wasm32-wasip1"
    )]
    NewerWasi(String),
    /// It has async functions, and yet a `process` that is not.
    #[error(
        "this component has async functions, but its `process` is not async; \
         make it an `async func`, or build the component without them"
    )]
    SyncProcess,
    /// It imports what the host does not have.
    #[error("this component needs something that the host does not provide: {0}")]
    MissingImport(String),
    /// `describe` failed or returned something else than described.
    #[error("`describe` failed: {0}")]
    Describe(String),
    /// `describe` had not returned in time, as it also is where the machine has too much to do or stood still.
    #[error("`describe` failed: {0}")]
    DescribeTime(String),
    /// This host can't load it now, whatever the file is: no process, memory or descriptor is to be had.
    #[error("{0}")]
    Host(String),
}

impl LoadError {
    /// What the system has none of for now; none if `error` says something else. `what` can't be done, with the
    /// error as its `reason`.
    pub fn of_scarcity(what: &str, reason: &str, error: &io::Error) -> Option<Self> {
        is_scarce(error).then(|| Self::Host(format!("{what}: {reason}")))
    }

    /// Whether it says something of this host, and nothing of the file.
    pub const fn is_of_host(&self) -> bool {
        matches!(self, Self::Host(_))
    }

    /// Whether the same file may load at another time.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Host(_) | Self::DescribeTime(_))
    }
}
