//! Reasons why a file can't be loaded as a task.

use std::io;

use super::code::is_scarce;

/// The reason why a file can't be loaded as a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It does not begin with the magic number of WebAssembly.
    #[error("this is not a WebAssembly file")]
    NotWasm,
    /// It is a core module that is neither a program nor a task.
    #[error("this core module is not a task: {0}")]
    CoreModule(String),
    /// It is damaged, truncated, or uses features that the engine does not support.
    #[error("this is not a valid component: {0}")]
    Invalid(String),
    /// Loading it panicked, because of a bug in the host or in a library.
    #[error("the host failed while it loaded this file")]
    Failed,
    /// It has no `process` of the right type.
    #[error(
        "this component exports neither `process: func(input: string) -> result<string, failure>` \
         nor `wasi:cli/run`{0}"
    )]
    NoProcess(String),
    /// It is built for another version of the contract.
    #[error(
        "this component is made for {found}, and this host supports {ours}; build it with the SDK of this host"
    )]
    OtherContract {
        /// The version that it imports.
        found: String,
        /// The version of this host.
        ours: &'static str,
    },
    /// It is for the async world, which is not enabled.
    #[error(
        "this component has async functions, which are an experiment; \
         start the host with --experimental-async"
    )]
    Experimental,
    /// It is built for a version of WASI that this host does not support for programs.
    #[error(
        "this component is made for WASI 0.3 (it imports {0}), and this host takes programs for WASI 0.2 and preview 1; \
         build it for wasm32-wasip2 or wasm32-wasip1"
    )]
    NewerWasi(String),
    /// It has async functions, but its `process` is not async.
    #[error(
        "this component has async functions, but its `process` is not async; \
         make it an `async func`, or build the component without them"
    )]
    SyncProcess,
    /// It imports something that the host does not have.
    #[error("this component needs something that the host does not provide: {0}")]
    MissingImport(String),
    /// `describe` failed or returned invalid JSON.
    #[error("`describe` failed: {0}")]
    Describe(String),
    /// `describe` did not return in time. The machine may have been overloaded or suspended.
    #[error("`describe` failed: {0}")]
    DescribeTime(String),
    /// This host can't load any file for now: it has no processes, memory or descriptors left.
    #[error("{0}")]
    Host(String),
}

impl LoadError {
    /// The error if the system is out of a resource for now; none if `error` means something else. `what` says
    /// which operation failed, and `reason` describes the error.
    pub fn from_scarcity(what: &str, reason: &str, error: &io::Error) -> Option<Self> {
        is_scarce(error).then(|| Self::Host(format!("{what}: {reason}")))
    }

    /// Whether the host is the cause, not the file.
    pub const fn is_host_error(&self) -> bool {
        matches!(self, Self::Host(_))
    }

    /// Whether the same file may load later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Host(_) | Self::DescribeTime(_))
    }
}
