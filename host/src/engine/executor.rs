//! The interface of an engine: it loads programs and runs futures on its threads. It is a trait, so that a simulation
//! can replace WebAssembly with scripts.

use std::any::Any;
use std::pin::Pin;

use super::load_error::LoadError;
use super::program::Program;
use crate::model::Version;

/// A boxed future without a result, for [`Executor::spawn`].
pub type Execution = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Permission to compile, until it is dropped.
pub type Permit = Box<dyn Any + Send>;

/// Loads programs and executes their attempts.
pub trait Executor: Send + Sync + 'static {
    /// Loads a program from the bytes of a file. Blocks while it compiles the file and calls
    /// `describe`, so it must not be called on an async thread.
    fn load(&self, wasm: &[u8], version: Version) -> Result<Program, LoadError> {
        let unbounded = &mut || Some(Box::new(()) as Permit);
        self.load_with(wasm, version, unbounded)?.ok_or(LoadError::Failed)
    }

    /// Like [`load`](Self::load), but compiles only with a permit from `compiler`, which it holds
    /// meanwhile. Returns none if the file has to be compiled and there is no permit.
    fn load_with(
        &self,
        wasm: &[u8],
        version: Version,
        compiler: &mut dyn FnMut() -> Option<Permit>,
    ) -> Result<Option<Program>, LoadError>;

    /// Executes a future on the threads for guests.
    ///
    /// Guests have threads of their own because they may compute without a pause: they share
    /// these threads, while the system continues to serve clients and the disk.
    fn spawn(&self, execution: Execution);

    /// Most guests that can be alive at once.
    fn max_instances(&self) -> u32;
}
