//! Executes as many histories as time allows; `cargo xtask simulate` executes more.

use std::env;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use streamtask_simulation::{Plan, describe, shorten};

/// Steps of each history.
const STEPS: usize = 300;
/// The first seed, fixed so that all runs of the test use the same ones.
const FIRST_SEED: u64 = 1;
/// Most histories.
const SEEDS: u64 = 2_000;

/// Time limits: in CI, and for interactive use.
fn time() -> Duration {
    Duration::from_secs(if env::var_os("CI").is_some() { 180 } else { 30 })
}

/// Scripts panic on purpose, and the host catches the panics.
fn keep_quiet() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !panic.to_string().contains("of the simulation") {
            usual(panic);
        }
    }));
}

#[test]
fn no_order_of_events_breaks_an_invariant() {
    play_all(|_| 1);
}

#[test]
#[ignore = "fails at seed 21: hosts on one SQLite storage, which only a simulation has, do not report to each other which \
            children their runs wait for, so a deadlock over two hosts is not found, as it is on PostgreSQL"]
fn no_order_of_events_at_several_hosts_breaks_an_invariant() {
    play_all(|seed| 2 + seed as usize % 2);
}

/// Plays histories, with the number of hosts for each seed, until the time is over.
fn play_all(hosts: fn(u64) -> usize) {
    keep_quiet();
    let (began, next) = (Instant::now(), AtomicU64::new(FIRST_SEED));
    // A history uses one thread, so each core can execute one.
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while began.elapsed() < time() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= FIRST_SEED + SEEDS {
                        return;
                    }
                    let hosts = hosts(seed);
                    let plan = Plan::new(seed, STEPS).with_hosts(hosts);
                    let outcome = plan.play();
                    if let Some(violation) = outcome.violation {
                        let shorter = describe(&shorten(&plan, outcome.steps, &violation));
                        panic!("seed {seed}, {hosts} hosts, step {}: {violation}\n{shorter}", outcome.steps);
                    }
                }
            });
        }
    });
    assert!(next.into_inner() > FIRST_SEED + 10, "too few histories");
}

#[test]
fn a_seed_is_one_history() {
    keep_quiet();
    for seed in 1_001..1_009 {
        let plan = Plan::new(seed, 100).with_hosts(1 + seed as usize % 3);
        let (first, second) = (plan.play(), plan.play());
        assert_eq!(first.violation.map(|violation| violation.to_string()), None, "seed {seed}");
        assert_eq!(first.digest, second.digest, "seed {seed} had another result the second time");
    }
}
