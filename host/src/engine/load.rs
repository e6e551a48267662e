//! From a file's bytes to a program that can run: compiled, linked, and asked to
//! describe itself. And for what can't, the reason.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::io::Errno;
use serde::Deserialize;
use serde_json::value::RawValue;
use wasmtime::Module;
use wasmtime::component::Component;

use super::code::Code;
use super::compile::CompileError;
use super::core_module::is_core_module;
use super::entry::{Entry, Kind};
use super::executor::{Executable, Execution, Executor, Permit, Program};
use super::filesystem::FileThreads;
use super::guest::{Children, GuestHost, NewChild, RunInfo, RunLost};
use super::outgoing::Network;
use super::run::{self, Attempt, Exit, Limits, Vacancies};
use super::ticker::Ticker;
use super::turns::Turns;
use super::{Engine, Loader, async_world};
use crate::model::{
    ErrorKind, Json, JsonError, NewEvent, Outcome, Refusal, RefusalCode, Signal, SignalName, TaskRef, Version,
};

/// Time for `describe`, which returns a constant. It includes starting an
/// interpreter, for languages that need one.
const DESCRIBE_TIME: Duration = Duration::from_secs(5);
/// Most memory for `describe`, where runs may have more.
pub(super) const DESCRIBE_MEMORY: usize = 512 << 20;
/// Longest text that `describe` may return.
const DESCRIBE_BYTES: usize = 256 << 10;

/// The package of the contract.
const CONTRACT_NAME: &str = "streamtask:task";
/// The newest version of it that this host has.
const CONTRACT: &str = "streamtask:task@1.0.0";

/// Why a file is not a task that can run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It does not begin like WebAssembly.
    #[error("this is not a WebAssembly file")]
    NotWasm,
    /// It is a core module, and no component can be made of it.
    #[error("this core module is no task: {0}")]
    CoreModule(String),
    /// It is damaged, cut off, or uses what the engine does not have.
    #[error("this is not a valid component: {0}")]
    Invalid(String),
    /// Loading it panicked: a fault of the host or of a library.
    #[error("the host failed while it loaded this file")]
    Failed,
    /// It has no `process` of the right type.
    #[error(
        "this component exports neither `process: func(input: string) -> result<string, failure>` \
         nor `wasi:cli/run`{0}"
    )]
    NoProcess(String),
    /// It is made for another version of the contract.
    #[error(
        "this component is made for {found}, and this host speaks {ours}; build it with the SDK of this host"
    )]
    OtherContract {
        /// What it names.
        found: String,
        /// What there is.
        ours: &'static str,
    },
    /// It is for the async world, and the host was not started with it.
    #[error(
        "this component has async functions, which are an experiment; \
         start the host with --experimental-async"
    )]
    Experimental,
    /// It is made for a version of WASI that this host has for no program.
    #[error(
        "this component is made for WASI 0.3 (it imports {0}), and this host takes programs for WASI 0.2 and preview 1; \
         build it for wasm32-wasip2 or wasm32-wasip1"
    )]
    NewerWasi(String),
    /// It has async functions, and yet a `process` that is not.
    #[error(
        "this component has async functions, but its `process` is not async; \
         make it an `async func`, or build the component without them"
    )]
    SyncProcess,
    /// It imports what the host does not have.
    #[error("this component needs something that the host does not provide: {0}")]
    MissingImport(String),
    /// `describe` failed or returned something else than described.
    #[error("`describe` failed: {0}")]
    Describe(String),
    /// `describe` had not returned in time, as it also is where the machine has too much to do or stood still.
    #[error("`describe` failed: {0}")]
    DescribeTime(String),
    /// This host can't load it now, whatever the file is: no process, memory or descriptor is to be had.
    #[error("{0}")]
    Host(String),
}

impl LoadError {
    /// What the system has none of for now; none if `error` says something else. `what` can't be done, with the
    /// error as its `reason`.
    pub fn of_scarcity(what: &str, reason: &str, error: &io::Error) -> Option<Self> {
        is_scarce(error).then(|| Self::Host(format!("{what}: {reason}")))
    }

    /// Whether it says something of this host, and nothing of the file.
    pub const fn is_of_host(&self) -> bool {
        matches!(self, Self::Host(_))
    }

    /// Whether the same file may load at another time.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Host(_) | Self::DescribeTime(_))
    }
}

/// Whether an error is that the system has no more of something now.
fn is_scarce(error: &io::Error) -> bool {
    let scarce = [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| scarce.contains(&error))
}

/// The same of an error of wasmtime, or of what caused it.
pub(super) fn is_scarcity(error: &wasmtime::Error) -> bool {
    is_of_system(error, is_scarce)
}

/// Whether the system forbids it: to execute what is in a file, for one.
pub(super) fn is_forbidden(error: &wasmtime::Error) -> bool {
    is_of_system(error, |error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn is_of_system(error: &wasmtime::Error, which: impl Fn(&io::Error) -> bool) -> bool {
    error.chain().any(|cause| {
        let errno = cause.downcast_ref::<Errno>().map(|errno| io::Error::from(*errno));
        errno.as_ref().or_else(|| cause.downcast_ref()).is_some_and(&which)
    })
}

/// What a task says of itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Described")]
pub struct Metadata {
    /// Text for people.
    pub description: Option<String>,
    /// JSON Schema that every input matches, as it was written: a form shows the properties in their author's order,
    /// which a value has lost.
    pub input_schema: Option<Json>,
    /// JSON Schema of the result.
    pub output_schema: Option<Json>,
}

/// What `describe` returns.
#[derive(Deserialize)]
struct Described {
    description: Option<String>,
    input_schema: Option<Box<RawValue>>,
    output_schema: Option<Box<RawValue>>,
}

impl TryFrom<Described> for Metadata {
    type Error = JsonError;

    fn try_from(described: Described) -> Result<Self, JsonError> {
        let text = |schema: Option<Box<RawValue>>| schema.map(|text| Json::parse(text.get())).transpose();
        Ok(Self {
            description: described.description,
            input_schema: text(described.input_schema)?,
            output_schema: text(described.output_schema)?,
        })
    }
}

/// A program of WebAssembly, ready to be instantiated.
pub(super) struct Wasm {
    pub(super) entry: Entry,
    pub(super) vacancies: Arc<Vacancies>,
    pub(super) turns: Turns,
    pub(super) network: Arc<Network>,
    pub(super) file_threads: Arc<FileThreads>,
}

/// What a file is made of, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// What kind of task it is.
    pub kind: Kind,
    /// Interfaces and functions that it wants, in order.
    pub imports: Vec<String>,
    /// The same, of what it offers.
    pub exports: Vec<String>,
}

#[async_trait]
impl Executable for Wasm {
    async fn execute(&self, attempt: Attempt) -> Exit {
        run::execute(self, attempt).await
    }

    fn outline(&self) -> Outline {
        let (imports, exports) = self.entry.names();
        Outline { kind: self.entry.kind(), imports, exports }
    }
}

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
    /// Compiles and links a file, and asks it to describe itself. Compiles only with what
    /// `compiler` gives; none if there is nothing.
    pub(super) fn compile(
        &self,
        wasm: &[u8],
        version: &Version,
        compiler: &mut dyn FnMut() -> Option<Permit>,
    ) -> Result<Option<(Wasm, Metadata)>, LoadError> {
        check_header(wasm)?;
        let is_async = async_world::is_for(wasm);
        // Also a task of the async world reaches WASI by 0.2.
        if let Some(interface) = async_world::wasi_0_3_of(wasm).filter(|_| !is_async) {
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
        let code = Wasm {
            entry,
            vacancies: Arc::clone(&self.vacancies),
            turns: self.turns.clone(),
            network: Arc::clone(&self.network),
            file_threads: Arc::clone(&self.file_threads),
        };
        let metadata = if described { self.describe(&code, *version)? } else { Metadata::default() };
        Ok(Some((code, metadata)))
    }

    fn link_module(&self, module: &Module) -> Result<Entry, LoadError> {
        let pre = self.module_linker.instantiate_pre(module);
        pre.map(Entry::Module).map_err(|error| LoadError::MissingImport(format!("{error:#}")))
    }

    fn describe(&self, code: &Wasm, version: Version) -> Result<Metadata, LoadError> {
        let host = Arc::new(NoRun::new(version));
        let limits = Limits {
            memory_bytes: self.describe_memory,
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
        let describing = run::describe(code, host, limits);
        let text = self.handle().block_on(Ticker::watch(&self.ticker, describing)).map_err(|error| {
            match error.kind {
                ErrorKind::DeadlineExceeded => LoadError::DescribeTime(error.message),
                _ => LoadError::Describe(error.message),
            }
        })?;
        serde_json::from_str(&text)
            .map_err(|error| LoadError::Describe(format!("it returned no such JSON: {error}")))
    }
}

impl Loader {
    /// Says also whether it describes itself.
    fn link(&self, component: &Component) -> Result<(Entry, bool), LoadError> {
        if let Some(found) = self.other_contract(component) {
            return Err(LoadError::OtherContract { found, ours: CONTRACT });
        }
        let Some(kind) = Kind::of(component, &self.wasmtime) else {
            return Err(LoadError::NoProcess(self.what_it_is_instead(component)));
        };
        let pre = self.linker.instantiate_pre(component);
        let pre = pre.map_err(|error| LoadError::MissingImport(format!("{error:#}")))?;
        let entry = Entry::of_component(pre, kind);
        let entry = entry.map_err(|error| LoadError::NoProcess(format!(": {error:#}")))?;
        let is_task = matches!(kind, Kind::Task | Kind::AsyncTask);
        Ok((entry, is_task && component.get_export(None, "describe").is_some()))
    }

    /// The contract that a component names, if it is not ours.
    fn other_contract(&self, component: &Component) -> Option<String> {
        let ty = component.component_type();
        let mut names = ty.imports(&self.wasmtime).map(|(name, _)| name.to_owned());
        names.find_map(|name| {
            let (interface, version) =
                name.strip_prefix(CONTRACT_NAME)?.strip_prefix('/')?.split_once('@')?;
            let ours = version.starts_with("1.") && !interface.is_empty();
            (!ours).then(|| format!("{CONTRACT_NAME}@{version}"))
        })
    }

    /// Recognises what people confuse with a task.
    fn what_it_is_instead(&self, component: &Component) -> String {
        let ty = component.component_type();
        let exports: Vec<String> = ty.exports(&self.wasmtime).map(|(name, _)| name.to_owned()).collect();
        let has = |prefix: &str| exports.iter().any(|name| name.starts_with(prefix));
        if has("wasi:cli/run@") {
            "; it is a program for another version of WASI: build it for 0.2".to_owned()
        } else if has("wasi:http/incoming-handler@") || has("wasi:http/handler@") {
            "; it is an HTTP handler (wasi:http/proxy)".to_owned()
        } else if exports.is_empty() {
            "; it exports nothing".to_owned()
        } else {
            format!("; it exports {}", exports.join(", "))
        }
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

/// The host of a guest that has no run: while it describes itself.
struct NoRun {
    info: RunInfo,
}

impl NoRun {
    fn new(version: Version) -> Self {
        let task = TaskRef::parse("default", "describe").expect("a valid name");
        Self { info: RunInfo { id: String::new(), task, version, attempt: 0, labels: Default::default() } }
    }
}

fn no_run() -> Refusal {
    Refusal::new(RefusalCode::Unavailable, "there is no run while a task describes itself")
}

#[async_trait]
impl Children for NoRun {
    async fn start_child(&self, _child: NewChild) -> Result<String, Refusal> {
        Err(no_run())
    }

    async fn look_at_children(&self, _runs: &[String]) -> Result<Option<(usize, Outcome)>, Refusal> {
        Err(no_run())
    }

    async fn wait_for_children(&self, _runs: &[String]) -> Result<(usize, Outcome), Refusal> {
        Err(no_run())
    }

    async fn cancel_child(&self, _run: &str) -> Result<(), Refusal> {
        Err(no_run())
    }
}

#[async_trait]
impl GuestHost for NoRun {
    /// What is printed meanwhile goes nowhere.
    fn send(&self, _event: NewEvent) -> Result<Option<NewEvent>, RunLost> {
        Ok(None)
    }

    async fn room(&self) {}

    async fn flush(&self) -> Result<(), Refusal> {
        Err(no_run())
    }

    fn info(&self) -> &RunInfo {
        &self.info
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    async fn cancelled(&self) {
        std::future::pending().await
    }

    async fn save_checkpoint(&self, _key: String, _value: Option<Vec<u8>>) -> Result<(), Refusal> {
        Err(no_run())
    }

    async fn take_signal(&self, _name: Option<SignalName>) -> Result<Option<Signal>, RunLost> {
        Ok(None)
    }

    fn signals(&self) -> u64 {
        0
    }

    async fn more_signals(&self, _than: u64) {
        std::future::pending().await
    }

    fn parameter(&self, _name: &str) -> Option<Json> {
        None
    }

    async fn load_checkpoint(&self, _key: String) -> Result<Option<Vec<u8>>, Refusal> {
        Err(no_run())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_keeps_the_order_in_which_it_was_written() {
        let text = r#"{"description":"d","output_schema":null,"input_schema":{"type":"object",
            "properties":{"name":{"type":"string"},"age":{"type":"integer"}}}}"#;
        let metadata: Metadata = serde_json::from_str(text).unwrap();
        let schema = metadata.input_schema.unwrap();
        assert_eq!(schema.to_value()["properties"]["age"]["type"], "integer");
        let written = schema.into_string();
        assert!(written.find("name") < written.find("age") && !written.contains('\n'), "{written}");
        assert_eq!((metadata.description.as_deref(), metadata.output_schema), (Some("d"), None));
        for bad in
            [r#"{"input_schema":}"#, r#"{"input_schema":{"$serde_json::private::RawValue":"{}"}}"#, "[1]"]
        {
            assert!(serde_json::from_str::<Metadata>(bad).is_err(), "{bad}");
        }
    }
}
