//! Loads a file as a program: compiles it, links it, and calls its `describe`.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Module;

use super::compile::CompileError;
use super::compiled::Code;
use super::core_module::is_core_module;
use super::no_run::NoRun;
use crate::engine::async_world;
use crate::engine::attempt::{self, EntryPoint, WasmProgram};
use crate::engine::executor::{Execution, Executor, Permit};
use crate::engine::limits::Limits;
use crate::engine::load_error::LoadError;
use crate::engine::metadata::{Kind, TaskMetadata};
use crate::engine::program::Program;
use crate::engine::runtime::Engine;
use crate::engine::timing::Ticker;
use crate::model::{ErrorKind, Version};

/// Deadline of `describe`, which returns a constant. Some languages start an
/// interpreter for it.
const DESCRIBE_TIME: Duration = Duration::from_secs(5);
/// Most memory for `describe`, even if runs may have more.
const DESCRIBE_MEMORY: usize = 512 << 20;
/// Longest text that `describe` may return.
const DESCRIBE_BYTES: usize = 256 << 10;

impl Executor for Engine {
    fn load_with(
        &self,
        wasm: &[u8],
        version: Version,
        compiler: &mut dyn FnMut() -> Option<Permit>,
    ) -> Result<Option<Program>, LoadError> {
        let compiled = self.compile(wasm, &version, compiler)?;
        let program =
            |(code, metadata)| Program { code: Arc::new(code), version, metadata: Arc::new(metadata) };
        Ok(compiled.map(program))
    }

    fn spawn(&self, execution: Execution) {
        self.handle().spawn(Ticker::watch(&self.ticker, execution));
    }

    fn max_instances(&self) -> u32 {
        self.allocation().max_instances()
    }
}

impl Engine {
    /// Compiles and links a file, and calls its `describe`. Compiles only with a permit from
    /// `compiler`; returns none if there is no permit.
    pub(in crate::engine) fn compile(
        &self,
        wasm: &[u8],
        version: &Version,
        compiler: &mut dyn FnMut() -> Option<Permit>,
    ) -> Result<Option<(WasmProgram, TaskMetadata)>, LoadError> {
        check_header(wasm)?;
        let is_async = async_world::is_async_task(wasm);
        // Tasks of the async world use WASI 0.2 too.
        if let Some(interface) = async_world::wasi_0_3_import(wasm).filter(|_| !is_async) {
            return Err(LoadError::NewerWasi(interface));
        }
        let loader =
            if is_async { self.async_loader.as_ref().ok_or(LoadError::Experimental)? } else { &self.loader };
        let code =
            loader.code.of(&loader.wasmtime, wasm, version, compiler).map_err(|error| match error {
                CompileError::Host(reason) => LoadError::Host(reason),
                CompileError::File(reason) if is_core_module(wasm) => LoadError::CoreModule(reason),
                CompileError::File(reason) => LoadError::Invalid(reason),
            })?;
        let Some(code) = code else { return Ok(None) };
        let (entry, described) = match code {
            Code::Component(component) => loader.link(&component)?,
            Code::Module(module) => (self.link_module(&module)?, false),
        };
        if is_async && entry.kind() != Kind::AsyncTask {
            return Err(LoadError::SyncProcess);
        }
        let code = WasmProgram {
            entry,
            pool_waiters: Arc::clone(&self.pool_waiters),
            scheduler: self.scheduler.clone(),
            network: Arc::clone(&self.network),
            file_pools: Arc::clone(&self.file_pools),
        };
        let metadata = if described { self.describe(&code, *version)? } else { TaskMetadata::default() };
        Ok(Some((code, metadata)))
    }

    fn link_module(&self, module: &Module) -> Result<EntryPoint, LoadError> {
        let pre = self.module_linker.instantiate_pre(module);
        pre.map(EntryPoint::Module).map_err(|error| LoadError::MissingImport(format!("{error:#}")))
    }

    fn describe(&self, code: &WasmProgram, version: Version) -> Result<TaskMetadata, LoadError> {
        let host = Arc::new(NoRun::new(version));
        let limits = Limits {
            memory_bytes: self.memory_bytes.min(DESCRIBE_MEMORY),
            deadline: Some(DESCRIBE_TIME),
            cpu: None,
            events: None,
            events_bytes: None,
            event_rate: None,
            event_bytes_rate: None,
            input_bytes: 0,
            output_bytes: DESCRIBE_BYTES,
            event_bytes: 0,
            log_bytes: 0,
        };
        let describing = attempt::describe(code, host, limits);
        let text = self.handle().block_on(Ticker::watch(&self.ticker, describing)).map_err(|error| {
            match error.kind {
                ErrorKind::DeadlineExceeded => LoadError::DescribeTime(error.message),
                _ => LoadError::Describe(error.message),
            }
        })?;
        serde_json::from_str(&text)
            .map_err(|error| LoadError::Describe(format!("it returned invalid metadata: {error}")))
    }
}

/// `\0asm`, then 1 for a core module or 13 and layer 1 for a component.
fn check_header(wasm: &[u8]) -> Result<(), LoadError> {
    match wasm {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] | [0, b'a', b's', b'm', 13, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', ..] => {
            Err(LoadError::Invalid("it is cut off or of an unknown version".to_owned()))
        }
        _ => Err(LoadError::NotWasm),
    }
}
