//! The start parameters of an ordinary program.

use std::sync::Arc;

use super::settings::{CommandSettings, Prepared};
use crate::model::Json;

/// The start parameters of an ordinary program.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Invocation<'a> {
    pub(in crate::engine) input: &'a Json,
    pub(in crate::engine) settings: &'a Arc<CommandSettings>,
    pub(in crate::engine) prepared: &'a Prepared,
    /// Whether it is a core module for preview 1.
    pub(in crate::engine) is_module: bool,
}
