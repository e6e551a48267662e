//! What the rest of the host asks of an engine: files become programs, programs execute
//! attempts. Two traits, so that a simulation can put scripts in the place of WebAssembly.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use super::load::{LoadError, Metadata, Outline};
use super::run::{Attempt, Exit};
use crate::model::Version;

/// A boxed future without a result, for [`Executor::spawn`].
pub type Execution = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// The right to compile, until it is dropped.
pub type Permit = Box<dyn Any + Send>;

/// Loads programs, and executes what belongs to their attempts.
pub trait Executor: Send + Sync + 'static {
    /// Makes a program of a file. Blocks for as long as a compiler takes, and executes
    /// `describe`, so it must not be called on an async thread.
    fn load(&self, wasm: &[u8], version: Version) -> Result<Program, LoadError> {
        let unbounded = &mut || Some(Box::new(()) as Permit);
        self.load_with(wasm, version, unbounded)?.ok_or(LoadError::Failed)
    }

    /// The same, but compiles only with what `compiler` gives, which it then has for that
    /// time. None if the file has to be compiled and there is none.
    fn load_with(
        &self,
        wasm: &[u8],
        version: Version,
        compiler: &mut dyn FnMut() -> Option<Permit>,
    ) -> Result<Option<Program>, LoadError>;

    /// Executes a future on the threads for guests.
    ///
    /// They have their own because they may compute without a pause: there they take turns
    /// with one another, while the system keeps serving clients and the disk.
    fn spawn(&self, execution: Execution);

    /// Guests that can be alive at once.
    fn max_instances(&self) -> u32;
}

/// The code of a program.
#[async_trait]
pub trait Executable: Send + Sync + 'static {
    /// Executes one attempt. Dropping the future stops the guest wherever it is.
    async fn execute(&self, attempt: Attempt) -> Exit;

    /// What it is made of.
    fn outline(&self) -> Outline;
}

/// One version of a task, ready to execute.
#[derive(Clone)]
pub struct Program {
    /// What executes.
    pub code: Arc<dyn Executable>,
    /// What this is a version of.
    pub version: Version,
    /// What it says of itself.
    pub metadata: Arc<Metadata>,
}

impl Program {
    /// What it is made of.
    pub fn outline(&self) -> Outline {
        self.code.outline()
    }
}
