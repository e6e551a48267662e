//! Whether the result of an attempt is what its task promises.

use std::io;
use std::sync::Arc;

use serde_json::json;

use super::Scheduler;
use super::runner::{Control, Ended};
use crate::engine::Exit;
use crate::model::{ErrorKind, Json, NewEvent, RunError};
use crate::platform;
use crate::registry::{Mismatch, Task};

impl Scheduler {
    /// How an attempt ended, once its result was held against the task's output schema. One that was asked to end
    /// may return whatever it has so far.
    pub(super) async fn check_result(&self, task: &Arc<Task>, control: &Control, ended: Ended) -> Ended {
        let Ended::Exit(Exit::Output(result)) = ended else { return ended };
        if control.cancel.is_cancelled() {
            return Ended::Exit(Exit::Output(result));
        }
        let exit = match self.mismatch(task, &result).await {
            Ok(None) => Exit::Output(result),
            Ok(Some(mismatch)) if task.settings.strict_output => Exit::Failed(failure(&mismatch, &result)),
            Ok(Some(mismatch)) => {
                // At worst the log says less.
                let _ = control.log.send_when_room(NewEvent::log(&mismatch.of_result())).await;
                Exit::Output(result)
            }
            Err(error) => {
                // That there is no thread for it now is this host's lack, and no fault of the result.
                let told = format!("the result was not held against the output schema: {error}");
                let _ = control.log.send_when_room(NewEvent::log(&told)).await;
                Exit::Output(result)
            }
        };
        Ended::Exit(exit)
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

/// With the result: an hour's work must not be lost for a word in a schema.
fn failure(mismatch: &Mismatch, result: &Json) -> RunError {
    let details = json!({ "errors": mismatch.to_json(), "result": result.to_value() });
    RunError {
        details: Some(Json::of(&details)),
        ..RunError::new(ErrorKind::InvalidOutput, mismatch.of_result())
    }
}
