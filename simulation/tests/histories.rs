//! Many histories, as many as there is time for; `cargo xtask simulate` plays more.

use std::env;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use streamtask_simulation::{Plan, describe, shorten};

/// Steps of each history.
const STEPS: usize = 300;
/// Seeds from here on, so that they are the same ones for everybody.
const FIRST_SEED: u64 = 1;
/// Most histories.
const SEEDS: u64 = 2_000;

/// Time for them: in CI, and where somebody waits.
fn time() -> Duration {
    Duration::from_secs(if env::var_os("CI").is_some() { 180 } else { 30 })
}

/// Scripts panic on purpose, and the host catches it.
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
    keep_quiet();
    let (began, next) = (Instant::now(), AtomicU64::new(FIRST_SEED));
    // A history is one thread's alone, so there can be one on each core.
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while began.elapsed() < time() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= FIRST_SEED + SEEDS {
                        return;
                    }
                    let plan = Plan::new(seed, STEPS);
                    let outcome = plan.play();
                    if let Some(violation) = outcome.violation {
                        let shorter = describe(&shorten(&plan, outcome.steps, &violation));
                        panic!("seed {seed}, step {}: {violation}\n{shorter}", outcome.steps);
                    }
                }
            });
        }
    });
    assert!(next.into_inner() > FIRST_SEED + 10, "so few histories show nothing");
}

#[test]
fn a_seed_is_one_history() {
    keep_quiet();
    for seed in 1_001..1_009 {
        let plan = Plan::new(seed, 100);
        assert_eq!(plan.play().digest, plan.play().digest, "seed {seed} went another way the second time");
    }
}
