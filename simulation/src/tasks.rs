//! The tasks of the simulated folder, and what their manifests may say.

use crate::script::{Op, Script};

/// A task, and the texts that its manifest may have; the first is the one it begins with.
pub(crate) struct Kind {
    /// Its name.
    pub(crate) name: &'static str,
    /// An empty text is no manifest.
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
            "[[schedule]]\nname = \"s\"\ncron = \"*/2 * * * *\"\nmissed = \"skip\"\n",
            "[[schedule]]\nname = \"s\"\ncron = \"*/2 * * * *\"\nmissed = \"once\"\n",
            "[[schedule]]\nname = \"s\"\ncron = \"*/2 * * * *\"\nmissed = \"all\"\n",
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

/// The first of the tasks with rules of retention or schedules, which are the last ones.
pub(crate) const WITH_RULES: usize = 9;

/// The tasks that a script of a random run may be for: those that do not start by themselves.
const STARTABLE: usize = 10;

/// A random task to start a run of.
pub(crate) fn any(rng: &mut fastrand::Rng) -> &'static str {
    TASKS[rng.usize(..STARTABLE)].name
}

/// What a random run of the task does. `depth` counts down the families.
pub(crate) fn script(task: &str, depth: u32, rng: &mut fastrand::Rng) -> Script {
    let mut script = Script {
        key: rng.bool().then(|| letter(rng)),
        lock: rng.bool().then(|| letter(rng)),
        ops: Vec::new(),
    };
    if task == "timed" {
        // Far from its deadline, so that only a fault lets it be over; and with something left to do after a freeze.
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

/// One of few names, so that runs meet.
pub(crate) fn letter(rng: &mut fastrand::Rng) -> String {
    ["a", "b"][rng.usize(..2)].to_owned()
}
