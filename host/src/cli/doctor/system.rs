//! The kernel and the limits of this process.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::finding::Finding;
use super::groups;
use crate::app::{Bound, LaunchError, Room, room};
use crate::config::Config;
use crate::process::ADVISED_DESCRIPTORS;

/// Threads that a host should be able to start: its own, and a compiler's for each core.
const THREADS: u64 = 200;
/// Fewest descriptors with which a host was seen to load a task and to serve a client; with half of them it does neither.
const LEAST_DESCRIPTORS: u64 = 64;
/// The kernel from which the memory of a guest is reset by what it wrote (`PAGEMAP_SCAN`).
const FAST_RESET: (u32, u32) = (6, 7);
/// The check of the number of runs.
const RUNS: &str = "concurrent runs";
/// The remedy of a limit of address space.
const MORE_ADDRESSES: &str = "ulimit -v unlimited, or LimitAS=infinity in the service";
/// The value of `vm.overcommit_memory` that forbids to reserve more than there is.
const STRICT_OVERCOMMIT: &str = "2";

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let descriptors = getrlimit(Resource::Nofile).maximum;
    let mut findings = vec![kernel(), of_descriptors(descriptors), threads(threads_allowed())];
    findings.extend(runs(config));
    findings.extend(memory(getrlimit(Resource::As).current, getrlimit(Resource::Data).current));
    findings.push(overcommit(setting("/proc/sys/vm/overcommit_memory").as_deref()));
    findings
}

fn setting(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn kernel() -> Finding {
    let release = setting("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse::<u32>);
    let version = (numbers.next().and_then(Result::ok), numbers.next().and_then(Result::ok));
    match version {
        (Some(major), Some(minor)) if (major, minor) < FAST_RESET => {
            Finding::ok("kernel", format!("{release}; from 6.7 on, runs start a little faster"))
        }
        _ => Finding::ok("kernel", release),
    }
}

/// `limit`: the hard limit; none if there is none. The host raises the soft one to it.
fn of_descriptors(limit: Option<u64>) -> Finding {
    const NAME: &str = "open files";
    match limit {
        Some(limit) if limit < LEAST_DESCRIPTORS => Finding::problem(
            NAME,
            format!("the limit is {limit}, too few to load tasks and serve clients"),
            "ulimit -Hn 65536 as root, or LimitNOFILE=65536 in the service",
        ),
        Some(limit) if limit < ADVISED_DESCRIPTORS => Finding::warning(
            NAME,
            format!("the limit is {limit}, and each client takes one"),
            "ulimit -Hn 65536 as root, or LimitNOFILE=65536 in the service",
        ),
        Some(limit) => Finding::ok(NAME, format!("the limit is {limit}")),
        None => Finding::ok(NAME, "no limit"),
    }
}

/// The lowest of the limits of threads, and its name.
fn threads_allowed() -> Option<(u64, &'static str)> {
    let user = getrlimit(Resource::Nproc).current.map(|limit| (limit, "ulimit -u 4096"));
    let group = groups::max_threads();
    let group = group.map(|limit| (limit, "docker run --pids-limit 4096, or TasksMax=4096 in the service"));
    user.into_iter().chain(group).min_by_key(|(limit, _)| *limit)
}

fn threads(allowed: Option<(u64, &'static str)>) -> Finding {
    const NAME: &str = "threads";
    match allowed {
        Some((limit, remedy)) if limit < THREADS => {
            Finding::warning(NAME, format!("the limit of processes and threads is {limit}"), remedy)
        }
        Some((limit, _)) => Finding::ok(NAME, format!("the limit of processes and threads is {limit}")),
        None => Finding::ok(NAME, "no limit of processes and threads"),
    }
}

/// Sets up the engine of a host for a moment, which shows what no limit does.
fn runs(config: &Config) -> Vec<Finding> {
    let room = match room(config) {
        Ok(room) => room,
        Err(LaunchError::Memory(bytes)) => {
            let found = format!("none: less than {} MiB of address space are free", bytes >> 20);
            return vec![Finding::problem(RUNS, found, "ulimit -v unlimited; ulimit -d unlimited")];
        }
        Err(error) => {
            let remedy = "raise the limits of memory and threads (ulimit -v, ulimit -u)";
            return vec![Finding::problem(RUNS, error.to_string(), remedy)];
        }
    };
    let mappings = setting("/proc/sys/vm/max_map_count").unwrap_or_else(|| "unknown".to_owned());
    of_room(room, config.max_running, &mappings)
}

/// `mappings`: the value of `vm.max_map_count`.
fn of_room(room: Room, wanted: u32, mappings: &str) -> Vec<Finding> {
    let Room { runs, bound, no_pool } = room;
    if let Some(reason) = no_pool {
        let found = format!(
            "as many of {wanted} as get memory one by one, and each starts a little slower: no memory pool: {reason}"
        );
        return vec![Finding::warning(RUNS, found, MORE_ADDRESSES)];
    }
    vec![match bound {
        Some(Bound::Mappings) => Finding::warning(
            RUNS,
            format!("{runs} of {wanted}, because vm.max_map_count is {mappings}"),
            "sudo sysctl -w vm.max_map_count=1048576",
        ),
        Some(Bound::AddressSpace) => Finding::warning(
            RUNS,
            format!("{runs} of {wanted}, because the address space is limited"),
            MORE_ADDRESSES,
        ),
        None => Finding::ok(RUNS, format!("{wanted}; vm.max_map_count is {mappings}")),
    }]
}

/// `addresses`, `data`: the limits of address space and of writable memory, in bytes; none if there is none.
fn memory(addresses: Option<u64>, data: Option<u64>) -> Vec<Finding> {
    const NAME: &str = "address space";
    let mut findings = vec![match addresses {
        None => Finding::ok(NAME, "no limit"),
        Some(limit) => Finding::warning(
            NAME,
            format!("limited to {} MiB, of which each run reserves some", limit >> 20),
            MORE_ADDRESSES,
        ),
    }];
    findings.extend(data.map(|limit| {
        Finding::warning(
            "data segment",
            format!("limited to {} MiB, which the memory of all runs counts to", limit >> 20),
            "ulimit -d unlimited, or LimitDATA=infinity in the service",
        )
    }));
    findings
}

fn overcommit(setting: Option<&str>) -> Finding {
    const NAME: &str = "overcommit";
    match setting {
        Some(STRICT_OVERCOMMIT) => Finding::warning(
            NAME,
            "vm.overcommit_memory is 2, so memory that guests reserve counts as used",
            "sudo sysctl -w vm.overcommit_memory=0",
        ),
        Some(value) => Finding::ok(NAME, format!("vm.overcommit_memory is {value}")),
        None => Finding::ok(NAME, "unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn fewer_runs_than_wanted_have_a_reason_and_its_remedy() {
        let remedy = |bound| {
            let room = Room { runs: 7, bound, no_pool: None };
            let [finding] = &of_room(room, 1000, "8500")[..] else { panic!("one finding") };
            (finding.level, finding.found.clone(), finding.remedy.clone().unwrap_or_default())
        };
        let (level, found, fix) = remedy(Some(Bound::Mappings));
        assert_eq!((level, &*found), (Level::Warning, "7 of 1000, because vm.max_map_count is 8500"));
        assert!(fix.contains("vm.max_map_count"), "{fix}");
        let (level, found, fix) = remedy(Some(Bound::AddressSpace));
        assert_eq!((level, &*fix), (Level::Warning, MORE_ADDRESSES));
        assert!(!found.contains("max_map_count"), "{found}");
        let room = Room { runs: 1000, bound: None, no_pool: Some("no room".to_owned()) };
        let [finding] = &of_room(room, 1000, "8500")[..] else { panic!("one finding") };
        assert!(finding.level == Level::Warning && finding.found.ends_with("no memory pool: no room"));
        assert_eq!(remedy(None).0, Level::Ok);
    }

    #[test]
    fn low_limits_are_found_and_sufficient_ones_are_not() {
        let levels: Vec<Level> =
            [Some(32), Some(256), Some(65_536), None].map(|limit| of_descriptors(limit).level).into();
        assert_eq!(levels, [Level::Problem, Level::Warning, Level::Ok, Level::Ok]);
        assert_eq!(threads(Some((50, "x"))).level, Level::Warning);
        assert_eq!(threads(Some((4096, "x"))).level, Level::Ok);
        assert_eq!(threads(None).level, Level::Ok);
        let levels = |addresses, data| -> Vec<Level> {
            memory(addresses, data).iter().map(|finding| finding.level).collect()
        };
        assert_eq!(levels(None, None), [Level::Ok]);
        assert_eq!(levels(Some(1 << 30), Some(1 << 30)), [Level::Warning; 2]);
        assert_eq!(overcommit(Some("2")).level, Level::Warning);
        assert_eq!(overcommit(Some("0")).level, Level::Ok);
    }
}
