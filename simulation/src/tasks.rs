//! The tasks in the simulated folder, with the variants of their manifests.

use crate::script::{Op, Script};

/// A task, with the variants of its manifest; the first is the initial one.
pub(crate) struct Kind {
    /// Its name.
    pub(crate) name: &'static str,
    /// The variants; an empty text means no manifest.
    pub(crate) manifests: &'static [&'static str],
}

/// Every task.
pub(crate) const TASKS: &[Kind] = &[
    Kind { name: "plain", manifests: &[""] },
    Kind {
        name: "one",
        manifests: &["[concurrency]\nmax-running = 1\n", "", "[concurrency]\nmax-running = 2\n"],
    },
    Kind {
        name: "keyed",
        manifests: &[
            "[concurrency]\nkey = \"/key\"\nmax-running-per-key = 1\n",
            "[concurrency]\nkey = \"/key\"\nmax-running-per-key = 2\n",
        ],
    },
    Kind { name: "locker", manifests: &["[concurrency]\nresources = [\"/lock\"]\n"] },
    Kind { name: "printer", manifests: &["[concurrency]\nresources = [\"printer\"]\n"] },
    Kind {
        name: "both",
        manifests: &["[concurrency]\nkey = \"/key\"\nresources = [\"printer\", \"/lock\"]\n"],
    },
    Kind {
        name: "retry",
        manifests: &[
            "[retry]\nattempts = 3\nbackoff = \"1s\"\n",
            "on-interrupt = \"rerun\"\n[retry]\nattempts = 2\nbackoff = \"30s\"\non = [\"failure\"]\n",
        ],
    },
    Kind {
        name: "breaker",
        manifests: &["[circuit-breaker]\nfailures = 2\nwindow = \"1m\"\npause = \"10s\"\n"],
    },
    Kind { name: "timed", manifests: &["[limits]\ndeadline = \"20s\"\n"] },
    Kind {
        name: "kept",
        manifests: &[
            "[retention]\nmax-runs = 20\n",
            "[retention]\nmax-runs = 1\n",
            "[retention]\nmax-age = \"1h\"\n",
            "",
        ],
    },
    Kind {
        name: "cron",
        manifests: &[
            "[[schedule]]\nname = \"s\"\ncron = \"*/2 * * * *\"\nmisfire = \"skip\"\n",
            "[[schedule]]\nname = \"s\"\ncron = \"*/2 * * * *\"\nmisfire = \"once\"\n",
            "[[schedule]]\nname = \"s\"\ncron = \"*/2 * * * *\"\nmisfire = \"all\"\n",
            "",
        ],
    },
    Kind {
        name: "busy",
        manifests: &[
            "[concurrency]\nresources = [\"busy\"]\nif-busy = \"fail\"\n[[schedule]]\nname = \"s\"\n\
             cron = \"* * * * *\"\ninput = { ops = [{ sleep = 100000 }] }\n",
        ],
    },
];

/// Index of the first task with retention rules or schedules; these are the last ones.
pub(crate) const WITH_RULES: usize = 9;

/// The tasks for random runs: those without a schedule.
const STARTABLE: usize = 10;

/// A random task for a run.
pub(crate) fn any(rng: &mut fastrand::Rng) -> &'static str {
    TASKS[rng.usize(..STARTABLE)].name
}

/// The script of a random run of the task. `depth` limits nested children.
pub(crate) fn script(task: &str, depth: u32, rng: &mut fastrand::Rng) -> Script {
    let mut script = Script {
        key: rng.bool().then(|| letter(rng)),
        lock: rng.bool().then(|| letter(rng)),
        ops: Vec::new(),
    };
    if task == "timed" {
        // Much shorter than its deadline, so that only a bug exceeds it; with operations left after
        // a freeze.
        script.ops = vec![Op::Sleep(rng.u64(..2_000)), Op::Send(1), Op::Sleep(rng.u64(..2_000)), Op::Send(1)];
        return script;
    }
    for _ in 0..rng.u32(0..5) {
        script.ops.push(op(depth, rng));
    }
    if depth > 0 && rng.u32(..3) == 0 {
        for _ in 0..rng.u32(1..=2) {
            script.ops.push(child(depth, rng));
        }
        script.ops.push(if rng.u32(..4) == 0 { Op::AwaitAny } else { Op::AwaitAll });
    }
    script
}

fn op(depth: u32, rng: &mut fastrand::Rng) -> Op {
    match rng.u32(..24) {
        0..6 => Op::Send(rng.u32(1..20)),
        6..13 => Op::Sleep(match rng.u32(..4) {
            0 => rng.u64(..60_000),
            _ => rng.u64(..2_000),
        }),
        13 | 14 => Op::Signal(rng.u64(..30_000)),
        15 => Op::Checkpoint,
        16 => Op::FailRetryable,
        17 => Op::FailOnce,
        18 => Op::Fail,
        19 => Op::IgnoreCancel,
        20 => Op::Panic,
        21 | 22 if depth > 0 => child(depth, rng),
        _ => Op::Sleep(1),
    }
}

fn child(depth: u32, rng: &mut fastrand::Rng) -> Op {
    let task = any(rng);
    Op::Child(Box::new(crate::script::Child {
        task: task.to_owned(),
        script: script(task, depth - 1, rng),
        key: (rng.u32(..3) == 0).then(|| letter(rng)),
        detached: rng.u32(..5) == 0,
    }))
}

/// One of a few names, so that runs conflict.
pub(crate) fn letter(rng: &mut fastrand::Rng) -> String {
    ["a", "b"][rng.usize(..2)].to_owned()
}
