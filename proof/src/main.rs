//! `cargo xtask proof`: kills the host repeatedly, and checks that nothing is lost.

#![allow(clippy::print_stdout, reason = "a command-line tool")]

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
        time: cli.minutes.map(|minutes| Duration::from_secs(60 * u64::from(minutes))),
        seed: cli.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        actors: cli.clients,
    };
    let runtime = tokio::runtime::Runtime::new().expect("the system has room for threads");
    let report = runtime.block_on(prove(options));
    print!("{report}");
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
