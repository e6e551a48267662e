//! The host's own process: its log, its threads, and the heartbeats of its loops.
//!
//! All other rooms depend on it, so it must neither block nor panic when the system's resources are exhausted. Knows nothing
//! of tasks and runs.

mod descriptors;
mod foreign;
mod heartbeat;
mod log_queue;
mod plain_file;
mod private;
mod reserve;
mod seldom;
mod threads;

pub use descriptors::{ADVISED_DESCRIPTORS, are_descriptors_scarce, leaves_enough};
pub use foreign::{plain, plain_json, plain_lines};
pub use heartbeat::{Beating, Heartbeat, Liveness, STUCK_AFTER, Stall};
pub use log_queue::{LogQueue, dropped_lines};
pub use plain_file::{is_kernels, kernels_in, open_plain};
pub use private::{
    close_private_file, is_ours_alone, is_writable_by_others, make_private_file, make_private_folder,
    private_options,
};
pub use reserve::{Reserve, spare_addresses};
pub use seldom::LogRateLimiter;
pub use threads::{can_start, is_threadless, panic_message, spawn_blocking, start_runtime, start_thread};
