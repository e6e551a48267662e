//! `cargo xtask proof`: kills the host repeatedly, and checks that nothing is lost.

#![allow(clippy::print_stdout, reason = "a command-line tool")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use streamtask_proof::{Options, prove};

/// Kills the host repeatedly under load, and checks that nothing is lost.
#[derive(Parser)]
#[command(name = "cargo xtask proof")]
struct Cli {
    /// The number of kills
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// Kill the host for this many minutes instead
    #[arg(long, value_name = "M")]
    minutes: Option<u32>,
    /// Kill the host for this many seconds at most, with several hosts
    #[arg(long, value_name = "S", conflicts_with = "minutes")]
    seconds: Option<u64>,
    /// The number of hosts; several share one PostgreSQL
    #[arg(long, value_name = "N", default_value_t = 1)]
    hosts: u32,
    /// With several hosts: how often one is stopped for longer than its lease
    #[arg(long, value_name = "N", default_value_t = 40)]
    stops: u32,
    /// A program of the host to use instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// With several hosts: SQL that breaks the functions of the database, to see that it is found
    #[arg(long, value_name = "FILE")]
    sabotage: Option<PathBuf>,
    /// Determines the actions of clients and the times of kills [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The number of clients, each with one run at a time
    #[arg(long, default_value_t = 24)]
    clients: u32,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let options = Options {
        kills: cli.kills,
        time: cli.minutes.map(|minutes| 60 * u64::from(minutes)).or(cli.seconds).map(Duration::from_secs),
        seed: cli.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        actors: cli.clients,
        hosts: cli.hosts,
        stops: cli.stops,
        binary: cli.binary,
        sabotage: cli.sabotage,
    };
    let runtime = tokio::runtime::Runtime::new().expect("the system has room for threads");
    let report = runtime.block_on(prove(options));
    print!("{report}");
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
