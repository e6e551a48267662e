//! How a guest is begun: what kind of file it came from decides.

use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::CommandPre;

use super::bindings::TaskPre;
use super::bindings::streamtask::task::types::Failure;
use super::guest::Guest;
use crate::model::Json;

/// What kind of task a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A component of our world.
    Task,
    /// An ordinary program: a component with `wasi:cli/run`.
    Command,
}

impl Kind {
    /// None if it is neither.
    pub(super) fn of(component: &Component, engine: &wasmtime::Engine) -> Option<Self> {
        let process = component.get_export(None, "process").map(|(item, _)| item);
        if matches!(process, Some(ComponentItem::ComponentFunc(_))) {
            return Some(Self::Task);
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
    Command(CommandPre<Guest>),
}

/// What a guest's own code came to, if nothing stopped it.
pub(super) enum Called {
    /// `process` returned this.
    Returned(Result<String, Failure>),
    /// The program ended with this code.
    Exited(i32),
}

impl Entry {
    pub(super) fn new(pre: InstancePre<Guest>, kind: Kind) -> wasmtime::Result<Self> {
        match kind {
            Kind::Task => TaskPre::new(pre).map(Self::Task),
            Kind::Command => CommandPre::new(pre).map(Self::Command),
        }
    }

    pub(super) fn instance_pre(&self) -> &InstancePre<Guest> {
        match self {
            Self::Task(pre) => pre.instance_pre(),
            Self::Command(pre) => pre.instance_pre(),
        }
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Task(_) => Kind::Task,
            Self::Command(_) => Kind::Command,
        }
    }

    /// Executes the guest from its beginning to its end.
    pub(super) async fn call(&self, store: &mut Store<Guest>, input: &Json) -> wasmtime::Result<Called> {
        match self {
            Self::Task(pre) => {
                let task = pre.instantiate_async(&mut *store).await?;
                task.call_process(store, input.as_str()).await.map(Called::Returned)
            }
            Self::Command(pre) => {
                let command = pre.instantiate_async(&mut *store).await?;
                match command.wasi_cli_run().call_run(store).await {
                    Ok(Ok(())) => Ok(Called::Exited(0)),
                    Ok(Err(())) => Ok(Called::Exited(1)),
                    // `exit` leaves the program where it stands, which looks like a trap.
                    Err(error) => match error.downcast::<I32Exit>() {
                        Ok(I32Exit(code)) => Ok(Called::Exited(code)),
                        Err(error) => Err(error),
                    },
                }
            }
        }
    }
}
