//! Running guests: compiled once, instantiated for each attempt, bounded, and
//! stopped wherever they are.
//!
//! A [`Program`] is a version of a task, compiled and linked. It runs on threads
//! of its own ([`Executor::spawn`]), apart from those that serve clients, and
//! speaks to the rest of the host through [`GuestHost`] alone. It gets clocks,
//! random numbers, a log for what it prints, and what its task is granted
//! ([`Grants`]); nothing else.
//!
//! The only room that names wasmtime. Knows nothing of storage, of how clients are served, or of
//! what a run is beyond one call of `process`.

mod async_world;
mod backlog;
mod bindings;
mod calls;
mod children;
mod code;
mod command;
mod compile;
mod core_module;
mod deadline;
mod entry;
mod executor;
mod filesystem;
mod gate;
mod grants;
mod guest;
mod imports;
mod last_words;
mod line_buffer;
mod load;
mod memory;
mod outgoing;
mod pace;
mod pool;
mod run;
mod stdio;
mod ticker;
mod trace;
mod turns;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Runtime;
use wasmtime::component::Linker;

use self::code::CodeCache;
use self::compile::Compiler;
use self::filesystem::FileThreads;
use self::guest::Guest;
use self::outgoing::Network;
use self::pool::{Addresses, World};
use self::run::Vacancies;
use self::ticker::Ticker;
use self::turns::{SPARE_THREADS, Turns};

use crate::process::start_runtime;

pub use command::{CommandSettings, ResultSource, StdinSource};
pub use compile::{COMMAND as COMPILE, CompileLimits, compile_process};
pub use deadline::within_deadline;
pub use entry::Kind;
pub use executor::{Executable, Execution, Executor, Permit, Program};
pub use gate::Gate;
pub use grants::{
    FilesGrant, FolderGrant, Grants, HostName, HostPattern, HttpGrant, HttpScheme, OUTPUT_MOUNT,
    OutputFolder, SecretError, Secrets, TaskPattern,
};
pub use guest::{Children, GuestHost, NewChild, RunInfo, RunLost};
pub use load::{LoadError, Metadata, Outline};
pub use pool::Allocation;
pub use run::{Attempt, Exit, Limits};

/// Calls that block, such as of storage, that the host makes at once for its guests; more wait. What guests do
/// with files has threads of its own.
const BLOCKING_THREADS: usize = 64;

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where compiled code is kept.
    pub cache: PathBuf,
    /// Guests that may be alive at once.
    pub max_instances: u32,
    /// Guests that may compute at once.
    pub threads: usize,
    /// The `streamtask` program, to compile in a process of its own; none: in this one.
    pub compiler: Option<PathBuf>,
    /// What compiling one file may take there.
    pub compile_limits: CompileLimits,
    /// Whether it takes async tasks too, which are an experiment.
    pub async_world: bool,
    /// Most memory of one guest, in bytes, also while it describes itself.
    pub memory_bytes: usize,
}

/// Why an engine could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

/// Compiles and executes guests.
pub struct Engine {
    loader: Loader,
    /// For async tasks, if they are taken.
    async_loader: Option<Loader>,
    /// For core modules.
    module_linker: wasmtime::Linker<Guest>,
    allocation: Allocation,
    /// Most memory of one guest that describes itself.
    describe_memory: usize,
    vacancies: Arc<Vacancies>,
    turns: Turns,
    network: Arc<Network>,
    file_threads: Arc<FileThreads>,
    ticker: Arc<Ticker>,
    /// Executes guests. Taken when the engine is dropped.
    guests: Option<Runtime>,
}

/// What compiles the files of one world, and links them.
struct Loader {
    wasmtime: wasmtime::Engine,
    linker: Linker<Guest>,
    code: CodeCache,
}

impl Loader {
    fn new(
        world: World,
        wasmtime: wasmtime::Engine,
        addresses: Addresses,
        config: &Config,
    ) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(&wasmtime);
        match world {
            World::Sync => imports::link(&mut linker)?,
            World::Async => async_world::link(&mut linker)?,
        }
        let compiler = match config.compiler.clone() {
            Some(program) => Compiler::Process(program, world, addresses, config.compile_limits),
            None => Compiler::Here,
        };
        let code = CodeCache::new(config.cache.clone(), &wasmtime, compiler);
        Ok(Self { wasmtime, linker, code })
    }
}

impl Engine {
    /// Sets up memory for guests and the threads that execute them.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        let (wasmtime, allocation) = pool::engine(config.max_instances)?;
        let setup = |error: wasmtime::Error| SetupError(format!("{error:#}"));
        let addresses = allocation.addresses();
        let mut module_linker = wasmtime::Linker::new(&wasmtime);
        imports::link_preview_1(&mut module_linker).map_err(setup)?;
        let loader = Loader::new(World::Sync, wasmtime, addresses, config).map_err(setup)?;
        let async_loader = if config.async_world {
            let wasmtime = pool::async_engine(addresses)?;
            Some(Loader::new(World::Async, wasmtime, addresses, config).map_err(setup)?)
        } else {
            None
        };
        let threads = config.threads.max(1);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.thread_name("guest").max_blocking_threads(BLOCKING_THREADS).enable_time();
        let threadless =
            |error: io::Error| SetupError(format!("can't start the threads that execute guests: {error}"));
        // One more, for the clock.
        let guests = start_runtime(&mut builder, threads + SPARE_THREADS, 1).map_err(threadless)?;
        let engines = [Some(&loader), async_loader.as_ref()].into_iter().flatten();
        let ticker = Ticker::start(engines.map(|loader| loader.wasmtime.weak()).collect());
        let ticker = match ticker {
            Ok(ticker) => ticker,
            Err(error) => {
                // Not waiting, as for a whole engine that is dropped.
                guests.shutdown_background();
                return Err(threadless(error));
            }
        };
        Ok(Self {
            loader,
            async_loader,
            module_linker,
            allocation,
            describe_memory: config.memory_bytes.min(load::DESCRIBE_MEMORY),
            vacancies: Arc::default(),
            turns: Turns::new(threads),
            network: Arc::default(),
            file_threads: Arc::default(),
            ticker,
            guests: Some(guests),
        })
    }

    /// How memory for guests is set up, and so how many can be alive at once.
    pub fn allocation(&self) -> &Allocation {
        &self.allocation
    }

    fn handle(&self) -> &tokio::runtime::Handle {
        self.guests.as_ref().expect("present until dropped").handle()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(guests) = self.guests.take() {
            // Not waiting, because an engine may be dropped where waiting is not allowed. By now the host has
            // ended every run; at worst a guest is cut off at its next yield.
            guests.shutdown_background();
        }
    }
}
