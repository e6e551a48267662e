//! lib
pub mod engine;
pub mod event_log;
pub mod model;
pub mod notifier;
pub mod registry;
pub mod scheduler;
pub mod storage;
