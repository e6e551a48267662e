//! The host's own process: its log, its threads, and whether its loops still go round.
//!
//! What everything else stands on, and so what must neither block nor panic when the system
//! has nothing left to give. Knows nothing of what the host is for.

mod heartbeat;
mod log_queue;
mod reserve;
mod threads;

pub use heartbeat::{Beating, Heartbeat, Liveness, STUCK_AFTER, Stall};
pub use log_queue::{LogQueue, dropped_lines};
pub use reserve::Reserve;
pub use threads::{can_start, is_threadless, panic_message, spawn_blocking, start_runtime, start_thread};
