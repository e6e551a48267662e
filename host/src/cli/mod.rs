//! The command line: `streamtask serve`, the client of a running host, and the tools for task projects.
//!
//! A command starts a host through `app`, or calls one over HTTP like any other client. It does not know how a host
//! stores, schedules or executes runs.

mod bars;
mod build;
mod check;
mod client;
mod completions;
mod demo;
mod dev;
mod doctor;
mod echo;
mod effective;
mod environment;
mod exit;
mod files;
mod folders;
mod follow;
mod hosts;
mod input;
mod interrupts;
mod launching;
mod listening;
mod lists;
mod log;
mod man;
mod multi_run;
mod new;
mod open;
mod progress;
mod project;
mod pruning;
mod relative;
mod run;
mod run_outcome;
mod screen;
mod serve;
mod shell;
mod show;
mod signals;
mod start;
mod stream_event;
mod style;
mod table;
mod tail;

use std::process::{ExitCode, Termination};
use std::time::Duration;

use clap::builder::{OsStr, Resettable};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use self::client::Client;
use crate::process::{spare_addresses, start_runtime};

pub use exit::Exit;

/// Runs WebAssembly tasks, stores every event that they send, and streams the events live.
#[derive(Parser)]
#[command(name = "streamtask", version = env!("STREAMTASK_VERSION"), max_term_width = 100, after_help = exit::HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a host that serves the tasks folder until it is interrupted
    #[command(after_help = "Example: streamtask serve --tasks tasks --data data --listen 127.0.0.1:8080")]
    Serve(Box<serve::Serve>),
    /// Start a host with a few example tasks, on a temporary folder
    #[command(after_help = "Example: streamtask demo --open-page")]
    Demo(demo::Demo),
    /// Check whether a host can run on this machine, and print how to fix each problem
    #[command(after_help = "Example: streamtask doctor --tasks tasks --data data")]
    Doctor(Box<doctor::Doctor>),
    /// Create a project for a new task, with the SDK of its language
    #[command(after_help = "Example: streamtask new greet --lang rust")]
    New(new::New),
    /// Build the task of a project with the tool of its language
    #[command(after_help = "Example: streamtask build greet")]
    Build(build::Build),
    /// Build and run a project at each change of its sources
    #[command(after_help = "Example: streamtask dev greet --input '{\"names\":[\"Ada\"]}'")]
    Dev(dev::Dev),
    /// Run a task file in the terminal, without a host
    #[command(after_help = "Example: streamtask run counter.wasm --input '{\"steps\":5}'")]
    Run(Box<run::Run>),
    /// Check task files, manifests and configuration files without a host
    #[command(after_help = "Example: streamtask check tasks/demo/counter.toml")]
    Check(check::Check),
    /// List the tasks of a host
    #[command(after_help = "Example: streamtask tasks --host http://127.0.0.1:8080")]
    Tasks(lists::Tasks),
    /// Upload task files to a host that accepts uploads (serve --uploads)
    ///
    /// A manifest (NAME.toml) is not uploaded: it grants access to the machine of the host, so the host's operator puts
    /// it into the tasks folder. A task without one there has the host's own settings.
    #[command(after_help = "Example: streamtask put greet.wasm --app demo")]
    Put(files::Put),
    /// Start a run and follow it to its end
    #[command(
        after_help = "Example: streamtask start demo/counter --input '{\"steps\":5}' --label team:blue"
    )]
    Start(start::Start),
    /// List runs, newest first
    #[command(after_help = "Example: streamtask runs --task demo/counter --status failed")]
    Runs(lists::Runs),
    /// Show a run: its status, times, input, outcome and last events
    #[command(after_help = "Example: streamtask show 01a1fd4b-848a-7755-8b30-db687ca24316")]
    Show(show::Show),
    /// Show the progress of a run
    #[command(after_help = "Example: streamtask progress 01a1fd4b-848a-7755-8b30-db687ca24316")]
    Progress(progress::Progress),
    /// Print the stored events of runs, then new ones live
    #[command(after_help = "Examples:
  streamtask tail 01a1fd4b-848a-7755-8b30-db687ca24316 --last 10
  streamtask tail --task demo/counter --label team:blue --now")]
    Tail(tail::Tail),
    /// List the output files of a run, or download one
    #[command(after_help = "Examples:
  streamtask files 01a1fd4b-848a-7755-8b30-db687ca24316
  streamtask files 01a1fd4b-848a-7755-8b30-db687ca24316 report.csv -o today.csv")]
    Files(files::Files),
    /// Show the page of a host, or a run on it, in the browser
    #[command(after_help = "Example: streamtask open 01a1fd4b-848a-7755-8b30-db687ca24316")]
    Open(open::Open),
    /// Start a new run with the task and input of a run that has ended
    #[command(after_help = "Example: streamtask retry 01a1fd4b-848a-7755-8b30-db687ca24316")]
    Retry(start::Retry),
    /// Cancel a run
    #[command(after_help = "Example: streamtask cancel 01a1fd4b-848a-7755-8b30-db687ca24316")]
    Cancel(lists::Cancel),
    /// Pause a run
    #[command(after_help = "Example: streamtask pause 01a1fd4d-9534-72e4-9e57-caaddbe15625")]
    Pause(signals::PauseOrResume),
    /// Resume a paused run
    #[command(after_help = "Example: streamtask resume 01a1fd4d-9534-72e4-9e57-caaddbe15625")]
    Resume(signals::PauseOrResume),
    /// Send a signal to a run
    #[command(
        after_help = "Example: streamtask signal 01a1fd4d-9534-72e4-9e57-caaddbe15625 approve '{\"by\":\"Ada\"}'"
    )]
    Signal(signals::Signal),
    /// Set a parameter that a run reads
    #[command(after_help = "Example: streamtask set 01a1fd4d-9534-72e4-9e57-caaddbe15625 speed 2")]
    Set(signals::Set),
    /// Remove ended runs and their events by age or number, and free their space
    #[command(after_help = "Examples:
  streamtask prune --older-than 7d --dry-run
  streamtask prune --by-rules")]
    Prune(pruning::Prune),
    /// Remove one run that has ended
    #[command(after_help = "Example: streamtask delete 01a1fd4b-848a-7755-8b30-db687ca24316")]
    Delete(pruning::Delete),
    /// List the hosts that share a database
    #[command(after_help = "Example: streamtask hosts --host http://127.0.0.1:8080")]
    Hosts(hosts::Hosts),
    /// Bring the tables of a database that hosts share up to date, before its hosts are
    #[command(
        after_help = "Example: streamtask migrate --dry-run --database postgres://host@db.example/runs"
    )]
    Migrate(Box<hosts::Migrate>),
    /// Print a completion script for a shell
    #[command(after_help = "Example: streamtask completions bash > /etc/bash_completion.d/streamtask")]
    Completions(completions::Completions),
    /// Print the manual page of a command, or write all pages into a folder
    #[command(after_help = "Examples:
  streamtask man serve | man -l -
  streamtask man --dir ~/.local/share/man/man1")]
    Man(man::Man),
    /// Compile a task file from stdin to stdout (for the host itself)
    #[command(name = crate::app::COMPILE, hide = true)]
    Compile {
        /// Memory limit in bytes
        memory_bytes: u64,
        /// CPU time limit in seconds
        cpu_seconds: u64,
        /// Limit of the machine code in bytes
        code_bytes: u64,
        /// Compile for a host with little address space
        #[arg(long)]
        scarce: bool,
        /// Also accept tasks of the async world
        #[arg(long = "async")]
        async_world: bool,
    },
}

/// The host that a client command calls.
#[derive(Args)]
struct Server {
    /// URL of the host
    #[arg(long, value_name = "URL", env = "STREAMTASK_HOST", default_value = "http://127.0.0.1:8080")]
    host: String,
}

impl Server {
    fn client(&self) -> Result<Client, Exit> {
        Ok(Client::new(&self.host)?)
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        log::finish(self.message());
        ExitCode::from(self.code())
    }
}

/// Starts the threads that serve clients.
fn start_threads() -> std::io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("host");
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    // One more, for blocking calls.
    start_runtime(&mut builder, cores, 1)
}

/// Runs the command in the arguments of this process, and returns its exit.
pub fn run() -> Exit {
    let mut matches = Cli::command().try_get_matches().unwrap_or_else(|error| explained(error).exit());
    let settings = matches.subcommand_matches("serve").cloned();
    let cli = match Cli::from_arg_matches_mut(&mut matches) {
        Ok(cli) => cli,
        Err(error) => error.format(&mut Cli::command()).exit(),
    };
    if let Command::Compile { memory_bytes, cpu_seconds, code_bytes, scarce, async_world } = cli.command {
        // Before any thread starts: the compiler limits its own resources to less than threads need.
        let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
        let errors = std::io::stderr();
        let cpu = Duration::from_secs(cpu_seconds);
        let limits = crate::app::CompileLimits { memory_bytes, cpu, code_bytes };
        let code = crate::app::compile_process(limits, async_world, scarce, input, output, errors);
        return Exit::Compiler(code);
    }
    spare_addresses();
    let runtime = match start_threads() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::Start(format!("can't start threads: {error}")),
    };
    let result = runtime.block_on(async {
        handle_file_size_signal()?;
        match cli.command {
            Command::Serve(command) => command.run(settings.unwrap_or_default()).await,
            Command::Demo(command) => command.run().await,
            Command::Show(command) => command.run().await,
            Command::Files(command) => command.run().await,
            Command::Put(command) => command.run().await,
            Command::Open(command) => command.run().await,
            Command::New(command) => command.run(),
            Command::Build(command) => command.run().await,
            Command::Dev(command) => command.run().await,
            Command::Run(command) => command.run().await,
            Command::Tasks(command) => command.run().await,
            Command::Start(command) => command.run().await,
            Command::Retry(command) => command.run().await,
            Command::Progress(command) => command.run().await,
            Command::Tail(command) => command.run().await,
            Command::Runs(command) => command.run().await,
            Command::Cancel(command) => command.run().await,
            Command::Pause(command) => command.run("pause").await,
            Command::Resume(command) => command.run("resume").await,
            Command::Signal(command) => command.run().await,
            Command::Set(command) => command.run().await,
            Command::Compile { .. } => Ok(()),
            Command::Prune(command) => command.run().await,
            Command::Delete(command) => command.run().await,
            Command::Check(command) => command.run().await,
            Command::Doctor(command) => command.run().await,
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
            Command::Hosts(command) => command.run().await,
            Command::Migrate(command) => command.run().await,
        }
    });
    // Without waiting for threads that block on a terminal or a slow disk.
    runtime.shutdown_background();
    match result {
        Ok(()) => Exit::Ok,
        Err(exit) => exit,
    }
}

/// Renders an error as if no environment variables were set: clap would list the options that they set as required.
fn explained(error: clap::Error) -> clap::Error {
    let without_variables =
        |command: clap::Command| command.mut_args(|arg| arg.env(Resettable::<OsStr>::Reset));
    match Cli::command().mut_subcommands(without_variables).try_get_matches() {
        // The value of a variable is the error.
        Ok(_) => error,
        Err(_) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => error,
        Err(plain) => plain,
    }
}

/// Makes a write fail if the file would exceed the limit of its size (`ulimit -f`). Without a handler, SIGXFSZ kills
/// the process silently.
fn handle_file_size_signal() -> Result<(), Exit> {
    // A handler, which outlives this stream, instead of ignoring the signal: child processes then start with the
    // default action, which the host's compiler needs.
    let full = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    signal(full).map(drop).map_err(|error| Exit::Start(format!("can't listen for signals: {error}")))
}
