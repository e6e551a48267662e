//! The command line: `streamtask serve`, and the commands of a client.

mod bars;
mod build;
mod check;
mod client;
mod completions;
mod dev;
mod echo;
mod effective;
mod environment;
mod exit;
mod folders;
mod follow;
mod input;
mod interrupts;
mod lists;
mod log;
mod new;
mod progress;
mod project;
mod pruning;
mod run;
mod screen;
mod serve;
mod several;
mod signals;
mod start;
mod tail;

use clap::builder::{OsStr, Resettable};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use self::client::Client;
use crate::process::{spare_addresses, start_runtime};

pub use exit::Exit;

/// Runs user-defined WebAssembly tasks, keeps every event they send, and streams
/// them live.
#[derive(Parser)]
#[command(name = "streamtask", version = env!("STREAMTASK_VERSION"), max_term_width = 100, after_help = exit::HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a host: load the tasks folder and serve until interrupted
    #[command(after_help = "Example: streamtask serve --tasks tasks --data data --listen 127.0.0.1:8080")]
    Serve(Box<serve::Serve>),
    /// Make the project of a task, with the SDK of its language
    #[command(after_help = "Example: streamtask new greet --lang rust")]
    New(new::New),
    /// Build a project's task with its language's own tool
    #[command(after_help = "Example: streamtask build greet")]
    Build(build::Build),
    /// Build a project at each change, and run it
    #[command(after_help = "Example: streamtask dev greet --input '{\"names\":[\"Ada\"]}'")]
    Dev(dev::Dev),
    /// Run a task's file in the terminal, without a host
    #[command(after_help = "Example: streamtask run counter.wasm --input '{\"steps\":5}'")]
    Run(Box<run::Run>),
    /// List the tasks of a host
    #[command(after_help = "Example: streamtask tasks --host http://127.0.0.1:8080")]
    Tasks(lists::Tasks),
    /// Start a run and follow it to its end
    #[command(
        after_help = "Example: streamtask start demo/counter --input '{\"steps\":5}' --label team:blue"
    )]
    Start(start::Start),
    /// Start a run that has ended once more, as a new one
    #[command(after_help = "Example: streamtask retry 01a1fd4b-848a-7755-8b30-db687ca24316")]
    Retry(start::Retry),
    /// Show how far a run is
    #[command(after_help = "Example: streamtask progress 01a1fd4b-848a-7755-8b30-db687ca24316")]
    Progress(progress::Progress),
    /// Follow runs: what they have said so far, then live
    #[command(after_help = "Examples:
  streamtask tail 01a1fd4b-848a-7755-8b30-db687ca24316 --last 10
  streamtask tail --task demo/counter --label team:blue --now")]
    Tail(tail::Tail),
    /// List runs, newest first
    #[command(after_help = "Example: streamtask runs --task demo/counter --status failed")]
    Runs(lists::Runs),
    /// Ask a run to end
    #[command(after_help = "Example: streamtask cancel 01a1fd4b-848a-7755-8b30-db687ca24316")]
    Cancel(lists::Cancel),
    /// Hold a run where it is, whatever it is doing
    #[command(after_help = "Example: streamtask pause 01a1fd4d-9534-72e4-9e57-caaddbe15625")]
    Pause(signals::Hold),
    /// Let a run go on that is held
    #[command(after_help = "Example: streamtask resume 01a1fd4d-9534-72e4-9e57-caaddbe15625")]
    Resume(signals::Hold),
    /// Send a signal to a run
    #[command(
        after_help = "Example: streamtask signal 01a1fd4d-9534-72e4-9e57-caaddbe15625 approve '{\"by\":\"Ada\"}'"
    )]
    Signal(signals::Signal),
    /// Set a parameter that a run reads
    #[command(after_help = "Example: streamtask set 01a1fd4d-9534-72e4-9e57-caaddbe15625 speed 2")]
    Set(signals::Set),
    /// Compile a task file from stdin to stdout; what a host calls
    #[command(name = crate::app::COMPILE, hide = true)]
    Compile {
        /// Bytes of memory
        memory_bytes: u64,
        /// Seconds of computing
        cpu_seconds: u64,
        /// Bytes of code
        code_bytes: u64,
        /// For a host that has few addresses
        #[arg(long)]
        scarce: bool,
        /// For the async world
        #[arg(long = "async")]
        async_world: bool,
    },
    /// Remove ended runs and their events, by age or number, and give their space back
    #[command(after_help = "Examples:
  streamtask prune --older-than 7d --dry-run
  streamtask prune --by-rules")]
    Prune(pruning::Prune),
    /// Remove one run that has ended
    #[command(after_help = "Example: streamtask delete 01a1fd4b-848a-7755-8b30-db687ca24316")]
    Delete(pruning::Delete),
    /// Check files for the tasks folder, without a host
    #[command(after_help = "Example: streamtask check tasks/demo/counter.toml")]
    Check(check::Check),
    /// Print a script by which a shell completes these commands
    #[command(after_help = "Example: streamtask completions bash > /etc/bash_completion.d/streamtask")]
    Completions(completions::Completions),
}

/// Which host a client's command speaks to.
#[derive(Args)]
struct Server {
    /// Address of the host
    #[arg(long, value_name = "URL", env = "STREAMTASK_HOST", default_value = "http://127.0.0.1:8080")]
    host: String,
}

impl Server {
    fn client(&self) -> Result<Client, Exit> {
        Ok(Client::new(&self.host)?)
    }
}

/// The threads that serve clients.
fn start_threads() -> std::io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("host");
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    // One more, for what blocks.
    start_runtime(&mut builder, cores, 1)
}

/// Runs the command that the process was called with; returns how it went.
pub fn run() -> Exit {
    let mut matches = Cli::command().try_get_matches().unwrap_or_else(|error| explained(error).exit());
    let settings = matches.subcommand_matches("serve").cloned();
    let cli = match Cli::from_arg_matches_mut(&mut matches) {
        Ok(cli) => cli,
        Err(error) => error.format(&mut Cli::command()).exit(),
    };
    if let Command::Compile { memory_bytes, cpu_seconds, code_bytes, scarce, async_world } = cli.command {
        // Before there are any threads: it takes from itself what they would need.
        let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
        let why_not = std::io::stderr();
        let limits = crate::app::CompileLimits { memory_bytes, cpu_seconds, code_bytes };
        let code = crate::app::compile_process(limits, async_world, scarce, input, output, why_not);
        return Exit::Compiler(code);
    }
    spare_addresses();
    let runtime = match start_threads() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::Start(format!("can't start threads: {error}")),
    };
    let result = runtime.block_on(async {
        take_full_files_as_errors()?;
        match cli.command {
            Command::Serve(command) => command.run(settings.unwrap_or_default()).await,
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
            Command::Check(command) => command.run(),
            Command::Completions(command) => command.run(),
        }
    });
    // Not waiting for threads that read a terminal or a slow disk.
    runtime.shutdown_background();
    match result {
        Ok(()) => Exit::Ok,
        Err(exit) => exit,
    }
}

/// The same error with the usage that it has where no variables are set: what they say would be shown as if it had to be
/// given.
fn explained(error: clap::Error) -> clap::Error {
    let without_variables =
        |command: clap::Command| command.mut_args(|arg| arg.env(Resettable::<OsStr>::Reset));
    match Cli::command().mut_subcommands(without_variables).try_get_matches() {
        // What a variable says is the error.
        Ok(_) => error,
        Err(_) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => error,
        Err(plain) => plain,
    }
}

/// Has a write fail at which a file would exceed a limit of its size (`ulimit -f`), which
/// otherwise ends the process without a word.
fn take_full_files_as_errors() -> Result<(), Exit> {
    // Not ignored but handled, and the handler stays when this stream goes: a program that is started has the
    // default again, and the host's compiler is to end by it.
    let full = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    signal(full).map(drop).map_err(|error| Exit::Start(format!("can't listen for signals: {error}")))
}
