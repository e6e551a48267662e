//! Calls the entry point of a guest, which depends on the kind of its file.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};
use wasmtime::{Engine, Module, Store};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::CommandPre;

use crate::engine::async_world;
use crate::engine::guest::Guest;
use crate::engine::guest::bindings::TaskPre;
use crate::engine::guest::bindings::async_world::AsyncTaskPre;
use crate::engine::guest::bindings::streamtask::task::types::Failure;
use crate::engine::metadata::Kind;
use crate::model::Json;

impl Kind {
    /// The kind of a component; none if it is neither a task nor a program.
    pub(in crate::engine) fn of(component: &Component, engine: &Engine) -> Option<Self> {
        let process = component.get_export(None, "process").map(|(item, _)| item);
        if let Some(ComponentItem::ComponentFunc(process)) = process {
            return Some(if process.async_() { Self::AsyncTask } else { Self::Task });
        }
        let ty = component.component_type();
        let is_command = ty.exports(engine).any(|(name, _)| name.starts_with("wasi:cli/run@0.2."));
        is_command.then_some(Self::Command)
    }
}

/// The entry point of a guest that is ready to be instantiated.
#[derive(Clone)]
pub(in crate::engine) enum EntryPoint {
    Task(TaskPre<Guest>),
    AsyncTask(AsyncTaskPre<Guest>),
    Command(CommandPre<Guest>),
    /// Not wrapped as a component: the adapter would take its memory from that of the program, and Go's runtime
    /// assumes that nothing else grows that memory.
    Module(wasmtime::InstancePre<Guest>),
}

/// How a guest's code ended, if nothing stopped it.
pub(in crate::engine) enum Completion {
    /// `process` returned this.
    Returned(Result<String, Failure>),
    /// The program exited with this code.
    Exited(i32),
}

impl EntryPoint {
    /// `kind` is the kind of the component.
    pub(in crate::engine) fn of_component(pre: InstancePre<Guest>, kind: Kind) -> wasmtime::Result<Self> {
        match kind {
            Kind::Task => TaskPre::new(pre).map(Self::Task),
            Kind::AsyncTask => AsyncTaskPre::new(pre).map(Self::AsyncTask),
            Kind::Command | Kind::Module => CommandPre::new(pre).map(Self::Command),
        }
    }

    /// None if it is a core module.
    pub(in crate::engine) fn instance_pre(&self) -> Option<&InstancePre<Guest>> {
        match self {
            Self::Task(pre) => Some(pre.instance_pre()),
            Self::AsyncTask(pre) => Some(pre.instance_pre()),
            Self::Command(pre) => Some(pre.instance_pre()),
            Self::Module(_) => None,
        }
    }

    pub(in crate::engine) const fn kind(&self) -> Kind {
        match self {
            Self::Task(_) => Kind::Task,
            Self::AsyncTask(_) => Kind::AsyncTask,
            Self::Command(_) => Kind::Command,
            Self::Module(_) => Kind::Module,
        }
    }

    pub(in crate::engine) fn engine(&self) -> &Engine {
        match self {
            Self::Task(pre) => pre.engine(),
            Self::AsyncTask(pre) => pre.engine(),
            Self::Command(pre) => pre.engine(),
            Self::Module(pre) => pre.module().engine(),
        }
    }

    /// The names of its imports and of its exports.
    pub(in crate::engine) fn names(&self) -> (Vec<String>, Vec<String>) {
        match (self, self.instance_pre()) {
            (Self::Module(pre), _) => of_module(pre.module()),
            (_, Some(pre)) => {
                let (component, engine) = (pre.component(), self.engine());
                let ty = component.component_type();
                (
                    ty.imports(engine).map(|(name, _)| name.to_owned()).collect(),
                    ty.exports(engine).map(|(name, _)| name.to_owned()).collect(),
                )
            }
            _ => Default::default(),
        }
    }

    /// Executes the guest from start to end.
    pub(in crate::engine) async fn call(
        &self,
        store: &mut Store<Guest>,
        input: &Json,
    ) -> wasmtime::Result<Completion> {
        match self {
            Self::Task(pre) => {
                let task = pre.instantiate_async(&mut *store).await?;
                task.call_process(store, input.as_str()).await.map(Completion::Returned)
            }
            Self::AsyncTask(pre) => {
                async_world::call(pre, store, input.as_str().to_owned()).await.map(Completion::Returned)
            }
            Self::Command(pre) => {
                let command = pre.instantiate_async(&mut *store).await?;
                match command.wasi_cli_run().call_run(store).await {
                    Ok(Ok(())) => Ok(Completion::Exited(0)),
                    Ok(Err(())) => Ok(Completion::Exited(1)),
                    Err(error) => exited(error),
                }
            }
            Self::Module(pre) => {
                let program = pre.instantiate_async(&mut *store).await?;
                let start = program.get_typed_func::<(), ()>(&mut *store, "_start")?;
                match start.call_async(store, ()).await {
                    Ok(()) => Ok(Completion::Exited(0)),
                    Err(error) => exited(error),
                }
            }
        }
    }
}

/// wasmtime reports a call of `exit` as a trap.
fn exited(error: wasmtime::Error) -> wasmtime::Result<Completion> {
    error.downcast::<I32Exit>().map(|I32Exit(code)| Completion::Exited(code))
}

fn of_module(module: &Module) -> (Vec<String>, Vec<String>) {
    (
        module.imports().map(|import| format!("{}.{}", import.module(), import.name())).collect(),
        module.exports().map(|export| export.name().to_owned()).collect(),
    )
}
