//! Checks results against the output schemas of tasks.

use std::io;
use std::sync::Arc;

use serde_json::json;

use super::Scheduler;
use super::control::Control;
use super::outcome::ExecutionOutcome;
use crate::engine::AttemptOutcome;
use crate::model::{ErrorKind, Json, NewEvent, RunError};
use crate::platform;
use crate::registry::{Mismatch, Task};

impl Scheduler {
    /// The outcome of an attempt after its result was checked against the task's output schema. A cancelled attempt may
    /// return any partial result.
    pub(super) async fn check_result(
        &self,
        task: &Arc<Task>,
        control: &Control,
        outcome: ExecutionOutcome,
    ) -> ExecutionOutcome {
        let ExecutionOutcome::Exited(AttemptOutcome::Output(result)) = outcome else { return outcome };
        if control.cancel.is_cancelled() {
            return ExecutionOutcome::Exited(AttemptOutcome::Output(result));
        }
        let exit = match self.mismatch(task, &result).await {
            Ok(None) => AttemptOutcome::Output(result),
            Ok(Some(mismatch)) if task.settings.strict_output => {
                AttemptOutcome::Failed(failure(&mismatch, &result))
            }
            Ok(Some(mismatch)) => {
                // At worst, the log lacks this line.
                let _ = control.log.send_when_room(NewEvent::log(&mismatch.of_result())).await;
                AttemptOutcome::Output(result)
            }
            Err(error) => {
                // That the host has no thread for it now is no fault of the result.
                let message = format!("the result was not checked against the output schema: {error}");
                let _ = control.log.send_when_room(NewEvent::log(&message)).await;
                AttemptOutcome::Output(result)
            }
        };
        ExecutionOutcome::Exited(exit)
    }

    async fn mismatch(&self, task: &Arc<Task>, result: &Json) -> io::Result<Option<Mismatch>> {
        if let Some(checked) = task.check_output_briefly(result) {
            return Ok(checked.err());
        }
        let _permit = self.checks.acquire().await;
        let (task, result) = (Arc::clone(task), result.clone());
        platform::blocking(move || task.check_output(&result).err()).await
    }
}

/// The error for a result that violates the schema. It contains the result, so that the work is not lost.
fn failure(mismatch: &Mismatch, result: &Json) -> RunError {
    let details = json!({ "errors": mismatch.to_json(), "result": result.to_value() });
    RunError {
        details: Some(Json::of(&details)),
        ..RunError::new(ErrorKind::InvalidOutput, mismatch.of_result())
    }
}
