//! The domain model, shared by all other rooms: tasks, versions, runs, events.
//!
//! Plain values and their validation. Nothing here waits, opens files or takes locks. Knows nothing of wasm, SQL, HTTP or
//! its users.

mod breaker;
mod event;
mod input;
mod json;
mod lifecycle;
mod name;
mod nearest;
mod outcome;
mod progress;
mod progress_log;
mod queueing;
mod refusal;
mod retention;
mod retry;
mod run;
mod run_error;
mod run_status;
mod schedule;
mod signal;
mod task;
mod time;

pub use breaker::{Breaker, Circuit};
pub use event::{
    Channel, Content, ContentType, Event, EventType, GAP, HOST_PREFIX, MAX_EVENT_BYTES, MAX_NAME_BYTES,
    NewEvent,
};
pub use input::Input;
pub use json::{Json, JsonError, also_null};
pub use name::{MAX_TASK_NAME_BYTES, NameError};
pub use nearest::nearest;
pub use outcome::Outcome;
pub use progress::{MAX_PROGRESS_ITEMS, Progress, ProgressItem, ProgressStatus, ProgressTree};
pub use progress_log::ProgressLog;
pub use queueing::{
    Lock, MAX_LOCKS, MAX_PRIORITY, MAX_RESOURCE_BYTES, OnDisconnect, OnInterrupt, Queueing, Resource,
    ResourceError,
};
pub use refusal::{Refusal, RefusalCode};
pub use retention::{Amount, EndPosition, EndedFilter, EndedRun, Origin, Origins, Part, Retention};
pub use retry::{Retry, RetryOn};
pub use run::{Fence, HostId, Labels, MAX_LABEL_BYTES, MAX_LABELS, Run, RunId, RunKey, parse_label};
pub use run_error::{ErrorKind, RunError};
pub use run_status::RunStatus;
pub use schedule::{MAX_SCHEDULE_NAME_BYTES, MisfirePolicy, Schedule, ScheduleError};
pub use signal::{MAX_SIGNAL_BYTES, Signal, SignalName};
pub use task::{AppName, TaskName, TaskRef, Version};
pub use time::{Time, TimeError, Timestamp};
