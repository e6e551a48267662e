//! How a guest is begun: what kind of file it came from decides.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};
use wasmtime::{Engine, Module, Store};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::CommandPre;

use super::async_world;
use super::bindings::TaskPre;
use super::bindings::async_world::AsyncTaskPre;
use super::bindings::streamtask::task::types::Failure;
use super::guest::Guest;
use crate::model::Json;

/// What kind of task a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A component of our world.
    Task,
    /// One of the async world, an experiment.
    AsyncTask,
    /// An ordinary program: a component with `wasi:cli/run`.
    Command,
    /// An ordinary program: a core module for WASI preview 1.
    Module,
}

impl Kind {
    /// None if it is neither.
    pub(super) fn of(component: &Component, engine: &Engine) -> Option<Self> {
        let process = component.get_export(None, "process").map(|(item, _)| item);
        if let Some(ComponentItem::ComponentFunc(process)) = process {
            return Some(if process.async_() { Self::AsyncTask } else { Self::Task });
        }
        let ty = component.component_type();
        let is_command = ty.exports(engine).any(|(name, _)| name.starts_with("wasi:cli/run@0.2."));
        is_command.then_some(Self::Command)
    }
}

/// A guest, ready to be instantiated.
#[derive(Clone)]
pub(super) enum Entry {
    Task(TaskPre<Guest>),
    AsyncTask(AsyncTaskPre<Guest>),
    Command(CommandPre<Guest>),
    /// Not as a component: the adapter that makes one of it takes its memory from that of the
    /// program, and Go's runtime believes that nobody else makes that larger.
    Module(wasmtime::InstancePre<Guest>),
}

/// What a guest's own code came to, if nothing stopped it.
pub(super) enum Called {
    /// `process` returned this.
    Returned(Result<String, Failure>),
    /// The program ended with this code.
    Exited(i32),
}

impl Entry {
    /// `kind` is that of the component.
    pub(super) fn of_component(pre: InstancePre<Guest>, kind: Kind) -> wasmtime::Result<Self> {
        match kind {
            Kind::Task => TaskPre::new(pre).map(Self::Task),
            Kind::AsyncTask => AsyncTaskPre::new(pre).map(Self::AsyncTask),
            Kind::Command | Kind::Module => CommandPre::new(pre).map(Self::Command),
        }
    }

    /// None if it is a core module.
    pub(super) fn instance_pre(&self) -> Option<&InstancePre<Guest>> {
        match self {
            Self::Task(pre) => Some(pre.instance_pre()),
            Self::AsyncTask(pre) => Some(pre.instance_pre()),
            Self::Command(pre) => Some(pre.instance_pre()),
            Self::Module(_) => None,
        }
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Task(_) => Kind::Task,
            Self::AsyncTask(_) => Kind::AsyncTask,
            Self::Command(_) => Kind::Command,
            Self::Module(_) => Kind::Module,
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        match self {
            Self::Task(pre) => pre.engine(),
            Self::AsyncTask(pre) => pre.engine(),
            Self::Command(pre) => pre.engine(),
            Self::Module(pre) => pre.module().engine(),
        }
    }

    /// Names of what it wants and of what it offers.
    pub(super) fn names(&self) -> (Vec<String>, Vec<String>) {
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

    /// Executes the guest from its beginning to its end.
    pub(super) async fn call(&self, store: &mut Store<Guest>, input: &Json) -> wasmtime::Result<Called> {
        match self {
            Self::Task(pre) => {
                let task = pre.instantiate_async(&mut *store).await?;
                task.call_process(store, input.as_str()).await.map(Called::Returned)
            }
            Self::AsyncTask(pre) => {
                async_world::call(pre, store, input.as_str().to_owned()).await.map(Called::Returned)
            }
            Self::Command(pre) => {
                let command = pre.instantiate_async(&mut *store).await?;
                match command.wasi_cli_run().call_run(store).await {
                    Ok(Ok(())) => Ok(Called::Exited(0)),
                    Ok(Err(())) => Ok(Called::Exited(1)),
                    Err(error) => exited(error),
                }
            }
            Self::Module(pre) => {
                let program = pre.instantiate_async(&mut *store).await?;
                let start = program.get_typed_func::<(), ()>(&mut *store, "_start")?;
                match start.call_async(store, ()).await {
                    Ok(()) => Ok(Called::Exited(0)),
                    Err(error) => exited(error),
                }
            }
        }
    }
}

/// `exit` leaves the program where it stands, which looks like a trap.
fn exited(error: wasmtime::Error) -> wasmtime::Result<Called> {
    error.downcast::<I32Exit>().map(|I32Exit(code)| Called::Exited(code))
}

fn of_module(module: &Module) -> (Vec<String>, Vec<String>) {
    (
        module.imports().map(|import| format!("{}.{}", import.module(), import.name())).collect(),
        module.exports().map(|export| export.name().to_owned()).collect(),
    )
}
