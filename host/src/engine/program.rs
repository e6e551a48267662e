//! A program that is ready to execute, and the attempts that it executes.

use std::sync::Arc;

use async_trait::async_trait;

use super::command::CommandSettings;
use super::grants::{Grants, OutputFolder};
use super::guest_host::GuestHost;
use super::limits::Limits;
use super::metadata::{ProgramOutline, TaskMetadata};
use super::timing::PauseGate;
use crate::model::{Json, RunError, Version};
use crate::platform::Uptime;

/// The code of a program. A simulation implements it with scripts.
#[async_trait]
pub trait Executable: Send + Sync + 'static {
    /// Executes one attempt. Dropping the future stops the guest at any point.
    async fn execute(&self, attempt: Attempt) -> AttemptOutcome;

    /// Its kind, imports and exports.
    fn outline(&self) -> ProgramOutline;
}

/// One version of a task, ready to execute.
#[derive(Clone)]
pub struct Program {
    /// The code.
    pub code: Arc<dyn Executable>,
    /// The version.
    pub version: Version,
    /// The task's description of itself.
    pub metadata: Arc<TaskMetadata>,
}

impl Program {
    /// Its kind, imports and exports.
    pub fn outline(&self) -> ProgramOutline {
        self.code.outline()
    }
}

/// One attempt to execute.
pub struct Attempt {
    /// The version to execute.
    pub program: Program,
    /// The input of the run.
    pub input: Json,
    /// The guest's interface to the rest of the host.
    pub host: Arc<dyn GuestHost>,
    /// Its limits.
    pub limits: Limits,
    /// How an ordinary program is called.
    pub command: Arc<CommandSettings>,
    /// The grants of the task.
    pub grants: Arc<Grants>,
    /// The folder for its output files, if they are granted.
    pub files: Option<OutputFolder>,
    /// Pauses and resumes it.
    pub gate: Arc<PauseGate>,
    /// The clock of its deadline.
    pub uptime: Arc<Uptime>,
}

impl Attempt {
    /// Executes the attempt. Dropping the future stops the guest at any point.
    pub async fn run(self) -> AttemptOutcome {
        let code = Arc::clone(&self.program.code);
        code.execute(self).await
    }
}

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// `process` returned this.
    Output(Json),
    /// The attempt failed.
    Failed(RunError),
    /// This host no longer owns the run, and must not write its end.
    Lost,
}
