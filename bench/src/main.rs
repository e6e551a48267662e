//! Benchmarks of the host.
//!
//! Each figure is compared with a limit or target, measured in the same run on the same machine.
//! Clients and host share the machine's cores, as in the measurements of the bare servers and
//! loops.

mod bare;
mod client;
mod delivery;
mod events;
mod fanout;
mod folder;
mod growth;
mod host;
mod hostile;
mod idle;
mod instantiate;
mod languages;
mod queue;
mod reload;
mod replay;
mod report;
mod sleepers;
mod stalled;
mod start;

use clap::{Parser, ValueEnum};

use self::report::Report;

/// Measures the host. Without names, runs all benchmarks.
#[derive(Parser)]
struct Cli {
    /// The benchmarks to run
    what: Vec<What>,
    /// Use a tenth of the load, to check that the benchmarks work
    #[arg(long)]
    quick: bool,
    /// Internal: serve a file from memory, as the bare server of `fanout`
    #[arg(long, hide = true)]
    serve_bare: Option<std::path::PathBuf>,
    /// Internal: send this many events, one every 10 ms, as the bare server of `delivery`
    #[arg(long, hide = true)]
    tick_bare: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// One run that sends as fast as possible, to one client
    Events,
    /// One run to 100 and to 1,000 clients
    Fanout,
    /// The latency of events to 1,000 clients
    Delivery,
    /// A million stored events to one client
    Replay,
    /// The latency from the request to the first event, and starts per second
    Start,
    /// Instantiation of a small task
    Instantiate,
    /// Latencies and rates with a million stored, finished runs
    Growth,
    /// 100,000 queued runs
    Queue,
    /// 10,000 sleeping runs
    Sleepers,
    /// 10,000 idle clients
    Idle,
    /// 1,000 clients that do not read, and dead ones
    Stalled,
    /// The effect of malicious guests on others
    Hostile,
    /// Start and memory of a task in each language
    Languages,
    /// The time until a changed file of 12 MB is in use
    Reload,
    /// The start of a host with 1,000 and 10,000 tasks
    Folder,
}

fn main() {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("the system has room for threads");
    if let Some(file) = cli.serve_bare {
        runtime.block_on(bare::serve(&file));
        return;
    }
    host::raise_file_limit();
    if let Some(ticks) = cli.tick_bare {
        runtime.block_on(bare::tick(ticks, delivery::WAIT));
        return;
    }
    let scale = if cli.quick { 10 } else { 1 };
    let what = if cli.what.is_empty() { What::value_variants() } else { &cli.what };
    let mut report = Report::default();
    for what in what {
        runtime.block_on(async {
            match what {
                What::Events => events::measure(&mut report, scale).await,
                What::Fanout => fanout::measure(&mut report, scale).await,
                What::Delivery => delivery::measure(&mut report, scale).await,
                What::Replay => replay::measure(&mut report, scale).await,
                What::Start => start::measure(&mut report, scale).await,
                What::Instantiate => instantiate::measure(&mut report, scale).await,
                What::Growth => growth::measure(&mut report, scale).await,
                What::Queue => queue::measure(&mut report, scale).await,
                What::Sleepers => sleepers::measure(&mut report, scale).await,
                What::Idle => idle::measure(&mut report, scale).await,
                What::Stalled => stalled::measure(&mut report, scale).await,
                What::Hostile => hostile::measure(&mut report, scale).await,
                What::Languages => languages::measure(&mut report, scale).await,
                What::Reload => reload::measure(&mut report, scale).await,
                What::Folder => folder::measure(&mut report, scale).await,
            }
        });
    }
    report.print();
}
