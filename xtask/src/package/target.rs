//! The systems that packages are made for. The host runs on no others (`host/build.rs`).

use std::env::consts::ARCH;

/// A system, by the names that each kind of package has for it.
#[derive(Debug)]
pub(super) struct Target {
    /// Cargo's name.
    pub(super) triple: &'static str,
    /// Rust's and the kernel's name of the processor, and Python's.
    pub(super) processor: &'static str,
    pub(super) deb: &'static str,
    /// That of Node.js (`process.arch`).
    pub(super) npm: &'static str,
    /// What the head of a program says (`e_machine` in elf(5)).
    pub(super) machine: u16,
    /// The start of the names of its linker and its `strip`, elsewhere than on such a machine.
    pub(super) tools: &'static str,
}

const TARGETS: [Target; 2] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        processor: "x86_64",
        deb: "amd64",
        npm: "x64",
        machine: 62,
        tools: "x86_64-linux-gnu-",
    },
    Target {
        triple: "aarch64-unknown-linux-gnu",
        processor: "aarch64",
        deb: "arm64",
        npm: "arm64",
        machine: 183,
        tools: "aarch64-linux-gnu-",
    },
];

impl Target {
    pub(super) fn named(triple: &str) -> Result<&'static Self, String> {
        TARGETS.iter().find(|target| target.triple == triple).ok_or_else(|| {
            let known: Vec<&str> = TARGETS.iter().map(|target| target.triple).collect();
            format!("packages are made for {}, not for {triple:?}", known.join(" and "))
        })
    }

    /// That of this machine, or the first one where there is none.
    pub(super) fn of_this_machine() -> &'static Self {
        TARGETS.iter().find(|target| target.is_here()).unwrap_or(&TARGETS[0])
    }

    /// Whether its programs run on this machine.
    pub(super) fn is_here(&self) -> bool {
        cfg!(target_os = "linux") && self.processor == ARCH
    }

    pub(super) fn all() -> &'static [Self] {
        &TARGETS
    }
}
