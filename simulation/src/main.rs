//! `cargo xtask simulate`: executes many histories, each from a seed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use streamtask_simulation::{Plan, describe, shorten};

/// Runs the host's rooms through many sequences of events, and checks invariants after each step.
#[derive(Parser)]
#[command(name = "cargo xtask simulate")]
struct Options {
    /// How many histories
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed; each seed determines a history
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps of each history
    #[arg(long, default_value_t = 300)]
    steps: usize,
    /// How many hosts share the database, each with faults of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    hosts: u8,
    /// Start no more histories after this many minutes
    #[arg(long)]
    minutes: Option<f64>,
    /// Continue after a history has failed
    #[arg(long)]
    keep_going: bool,
    /// Do not search for a shorter list of steps that fails, too
    #[arg(long)]
    no_shorten: bool,
    /// Execute each history twice, and compare the results
    #[arg(long)]
    twice: bool,
    /// Do not change the tasks folder
    #[arg(long)]
    no_files: bool,
    /// Print the host's log
    #[arg(long)]
    log: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.log {
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(std::io::stderr).init();
    }
    // Scripts panic on purpose, and the host catches the panics.
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        if !text.contains("of the simulation") {
            eprintln!("{text}");
        }
    }));
    let began = Instant::now();
    let (mut passed, mut failed, mut steps, mut runs) = (0u64, 0u64, 0, 0);
    for seed in options.seed..options.seed + options.seeds {
        if options.minutes.is_some_and(|minutes| began.elapsed() > Duration::from_secs_f64(minutes * 60.0)) {
            break;
        }
        let mut plan = Plan::new(seed, options.steps).with_hosts(options.hosts.into());
        if options.no_files {
            plan = plan.without_files();
        }
        let outcome = plan.play();
        steps += outcome.steps;
        runs += outcome.runs;
        if options.twice && plan.play().digest != outcome.digest {
            println!("seed {seed}: executed twice with different results");
            failed += 1;
            continue;
        }
        let Some(violation) = outcome.violation else {
            passed += 1;
            continue;
        };
        failed += 1;
        println!("seed {seed}, step {}: {violation}", outcome.steps);
        if !options.no_shorten {
            println!("{}", describe(&shorten(&plan, outcome.steps, &violation)));
        }
        let (steps, hosts) = (options.steps, options.hosts);
        println!("to repeat: cargo xtask simulate --seeds 1 --seed {seed} --steps {steps} --hosts {hosts}");
        if !options.keep_going {
            break;
        }
    }
    println!("{steps} steps, {runs} runs, {:.1} s", began.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
