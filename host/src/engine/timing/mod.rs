//! CPU and time: which guests compute, and until when.
//!
//! The ticker makes guests that compute yield, the CPU scheduler decides which of them continues, and the pause gate,
//! the CPU meter, the deadline and the rate limiter bound each guest. Knows nothing of WebAssembly except the ticker.

mod cpu_meter;
mod cpu_scheduler;
mod deadline;
mod pause_gate;
mod rate_limiter;
mod ticker;

pub use deadline::within_deadline;
pub use pause_gate::PauseGate;

pub(super) use cpu_meter::CpuMeter;
pub(super) use cpu_scheduler::{CpuBudget, CpuScheduler, SPARE_THREADS};
pub(super) use deadline::Deadline;
pub(super) use rate_limiter::RateLimiter;
pub(super) use ticker::Ticker;
