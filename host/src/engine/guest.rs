//! One guest's side of the host: what it may reach, and its memory limit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::FsPerms;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::calls::Calls;
use super::command::{CommandSettings, Dialogue, Prepared};
use super::filesystem::{Lane, OpenFiles, hold_folders};
use super::gate::Gate;
use super::grants::{FolderGrant, Grants, OUTPUT_MOUNT, OutputFolder};
use super::load::is_scarcity;
use super::memory::MemoryLimit;
use super::outgoing::{self, Network, Outgoing};
use super::pace::Pace;
use super::run::Limits;
use super::stdio::GuestOutput;
use crate::model::{Json, NewEvent, Outcome, Refusal, Signal, SignalName, TaskRef, Version};

/// Random bytes a guest gets at once; the host has to make them in memory.
const MAX_RANDOM_BYTES: u64 = 64 << 10;
/// Host resources (streams, pollables, …) that a guest may hold at once.
const MAX_RESOURCES: usize = 10_000;

/// What a guest can know of its run.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// The run's id.
    pub id: String,
    /// The task.
    pub task: TaskRef,
    /// The version that executes.
    pub version: Version,
    /// From 1.
    pub attempt: u32,
    /// The caller's labels.
    pub labels: BTreeMap<String, String>,
}

/// A run that a guest starts.
#[derive(Clone, Debug)]
pub struct NewChild {
    /// The task.
    pub task: TaskRef,
    /// Its input.
    pub input: Json,
    /// Makes it unique within its parent.
    pub key: Option<String>,
    /// Whether it goes on when its parent has ended.
    pub detached: bool,
    /// In place of its task's own.
    pub priority: Option<i32>,
}

/// The runs that one guest has started.
#[async_trait]
pub trait Children: Send + Sync + 'static {
    /// Starts one; returns its id.
    async fn start_child(&self, child: NewChild) -> Result<String, Refusal>;

    /// The place and the outcome of the first of these that has ended, if any has.
    async fn look_at_children(&self, runs: &[String]) -> Result<Option<(usize, Outcome)>, Refusal>;

    /// Waits until one of them has ended.
    async fn wait_for_children(&self, runs: &[String]) -> Result<(usize, Outcome), Refusal>;

    /// Asks one to end.
    async fn cancel_child(&self, run: &str) -> Result<(), Refusal>;
}

/// The rest of the host, as one guest sees it.
#[async_trait]
pub trait GuestHost: Children {
    /// Takes an event, or gives it back if too many wait: try again after
    /// [`room`](Self::room). An error means that the run is not this host's any
    /// more, and ends the guest.
    fn send(&self, event: NewEvent) -> Result<Option<NewEvent>, RunLost>;

    /// Waits until events can be sent again.
    async fn room(&self);

    /// Waits until all that was sent is durable.
    async fn flush(&self) -> Result<(), Refusal>;

    /// The facts of the attempt.
    fn info(&self) -> &RunInfo;

    /// Whether someone asked to cancel the run.
    fn is_cancelled(&self) -> bool;

    /// Waits until someone does.
    async fn cancelled(&self);

    /// Keeps a value for this attempt and the next ones, or forgets the one under
    /// the key.
    async fn save_checkpoint(&self, key: String, value: Option<Vec<u8>>) -> Result<(), Refusal>;

    /// Takes the oldest signal that waits, of that name if one is given. Not to be
    /// dropped before it returns: what was taken would be lost.
    async fn take_signal(&self, name: Option<SignalName>) -> Result<Option<Signal>, RunLost>;

    /// How many signals came so far.
    fn signals(&self) -> u64;

    /// Waits until more than so many have come.
    async fn more_signals(&self, than: u64);

    /// The present value of a parameter.
    fn parameter(&self, name: &str) -> Option<Json>;

    /// The value kept last.
    async fn load_checkpoint(&self, key: String) -> Result<Option<Vec<u8>>, Refusal>;
}

/// The run went on without this host. Whatever the guest does is in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run is no longer this host's")]
pub struct RunLost;

/// What a store of one guest holds.
pub(super) struct Guest {
    pub(super) calls: Calls,
    pub(super) memory: MemoryLimit,
    pub(super) output: GuestOutput,
    /// What an ordinary program reads and prints; none for one that speaks the contract.
    pub(super) dialogue: Option<Dialogue>,
    /// What it has open of the folders that it was granted.
    pub(super) files: OpenFiles,
    wasi: WasiCtx,
    /// In place of `wasi`, for a program for preview 1.
    pub(super) preview_1: Option<WasiP1Ctx>,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    pub(super) table: ResourceTable,
}

/// Longest time that a granted folder takes to be looked at, on the slowest of networks.
const FOLDER_TIME: Duration = Duration::from_secs(30);

/// What a guest may reach.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) grants: Arc<Grants>,
    /// Where its output files go, if it may have any.
    pub(super) files: Option<OutputFolder>,
    pub(super) network: Arc<Network>,
    /// Where its calls to files are made.
    pub(super) lane: Lane,
}

impl Access {
    /// Looks at the granted folders where that holds up nobody: one that hangs would, when it is opened, keep a
    /// thread that executes guests.
    pub(super) async fn wait_for_folders(&self) -> Result<(), String> {
        if self.grants.folders.is_empty() {
            return Ok(());
        }
        let grants = Arc::clone(&self.grants);
        let look = move || grants.folders.iter().filter(|folder| folder.path.read_dir().is_ok()).count();
        // One that can't be looked at can't be opened either, which is told then.
        let looked = timeout(FOLDER_TIME, self.lane.block(look)).await;
        looked.map(drop).map_err(|_| "a folder that it was granted does not answer".to_owned())
    }
}

/// A folder that a guest was granted can't be opened.
pub(super) struct NoFolder {
    pub(super) message: String,
    /// Whether that is for want of descriptors or memory, now.
    pub(super) may_pass: bool,
}

/// What an ordinary program begins with.
#[derive(Clone, Copy)]
pub(super) struct Invocation<'a> {
    pub(super) input: &'a Json,
    pub(super) settings: &'a Arc<CommandSettings>,
    pub(super) prepared: &'a Prepared,
    /// Whether it is one for preview 1.
    pub(super) is_module: bool,
}

impl Guest {
    /// Fails if a folder that it was granted can't be opened.
    pub(super) fn new(
        host: Arc<dyn GuestHost>,
        limits: Limits,
        gate: Arc<Gate>,
        access: Access,
        invocation: Option<Invocation<'_>>,
    ) -> Result<Self, NoFolder> {
        let mask = access.grants.secrets.mask().cloned();
        let pace = Pace::new(limits.event_rate, limits.event_bytes_rate).map(Arc::new);
        let output = GuestOutput::new(Arc::clone(&host), limits.log_bytes, mask.clone(), pace.clone());
        let calls = Calls::new(host, limits, gate, mask, pace);
        let outgoing =
            || Outgoing::new(Arc::clone(&access.grants), Arc::clone(&access.network), output.clone());
        let dialogue =
            invocation.map(|invocation| Dialogue::new(invocation, calls.clone(), output.clone(), outgoing()));
        let mut wasi = wasi(&output, &access)?;
        if let (Some(dialogue), Some(invocation)) = (&dialogue, invocation) {
            dialogue.connect(&mut wasi, invocation);
        }
        let is_module = invocation.is_some_and(|invocation| invocation.is_module);
        let mut files = OpenFiles::new(&access.grants, access.files.as_ref(), &output, access.lane.clone());
        let mut preview_1 = is_module.then(|| std::mem::take(&mut wasi).build_p1());
        if let Some(wasi) = &mut preview_1 {
            hold_folders(&mut files, wasi);
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Ok(Self {
            calls,
            memory: MemoryLimit::new(limits.memory_bytes),
            wasi: wasi.build(),
            preview_1,
            http: outgoing::context(),
            files,
            outgoing: outgoing(),
            dialogue,
            output,
            table,
        })
    }
}

/// Sockets and names stay closed, nothing is inherited, and no folder is opened that
/// was not granted.
fn wasi(output: &GuestOutput, access: &Access) -> Result<WasiCtxBuilder, NoFolder> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(output.stdout())
        .stderr(output.stderr())
        .max_random_size(MAX_RANDOM_BYTES)
        .allow_tcp(false)
        .allow_udp(false);
    let Grants { env, secrets, folders, .. } = &*access.grants;
    let env = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in env.chain(secrets.reveal()) {
        wasi.env(name, value);
    }
    let mut open = |path: &Path, mount: &str, perms| {
        let opened = wasi.preopened_dir(path, mount, perms);
        opened.map(drop).map_err(|error| NoFolder {
            message: format!("the folder for {mount} can't be opened: {error}"),
            may_pass: is_scarcity(&error),
        })
    };
    for FolderGrant { path, mount, write, .. } in folders {
        open(path, mount, if *write { FsPerms::ReadWrite } else { FsPerms::ReadOnly })?;
    }
    if let Some(folder) = &access.files {
        open(&folder.path, OUTPUT_MOUNT, FsPerms::ReadWrite)?;
    }
    Ok(wasi)
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}
