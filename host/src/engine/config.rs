//! The configuration of an engine.

use std::path::PathBuf;

use super::code::CompileLimits;

/// The configuration of an engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of the cache of compiled code.
    pub cache: PathBuf,
    /// Most guests that may be alive at once.
    pub max_instances: u32,
    /// Most guests that may compute at once.
    pub threads: usize,
    /// The `streamtask` program, which compiles in a process of its own. None compiles in this process.
    pub compiler: Option<PathBuf>,
    /// Limits of that process for each file.
    pub compile_limits: CompileLimits,
    /// Whether it accepts async tasks, an experiment.
    pub async_world: bool,
    /// Most memory of one guest in bytes, also during `describe`.
    pub memory_bytes: usize,
}
