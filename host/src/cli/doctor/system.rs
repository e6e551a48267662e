//! The kernel and the limits of this process.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::finding::Finding;
use super::groups;
use crate::app::{Bound, LaunchError, Room, room};
use crate::config::Config;
use crate::process::{ADVISED_DESCRIPTORS, RESERVED_DESCRIPTORS};

/// Threads that a host should be able to start: its own, and a compiler's for each core.
const THREADS: u64 = 200;
/// The kernel from which the memory of a guest is reset by what it wrote (`PAGEMAP_SCAN`).
const FAST_RESET: (u32, u32) = (6, 7);
/// The check of the number of runs.
const RUNS: &str = "concurrent runs";
/// The value of `vm.overcommit_memory` that forbids to reserve more than there is.
const STRICT_OVERCOMMIT: &str = "2";

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let descriptors = getrlimit(Resource::Nofile).maximum;
    let mut findings = vec![kernel(), of_descriptors(descriptors), threads(threads_allowed())];
    findings.extend(runs(config));
    findings.push(address_space(getrlimit(Resource::As).current));
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
        Some(limit) if limit < 2 * RESERVED_DESCRIPTORS => Finding::problem(
            NAME,
            format!("the limit is {limit}, too few for runs and clients"),
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
        Err(error) => {
            let remedy = match error {
                LaunchError::Memory(_) => "ulimit -v unlimited; ulimit -d unlimited",
                _ => "raise the limits of memory and threads (ulimit -v, ulimit -u)",
            };
            return vec![Finding::problem(RUNS, error.to_string(), remedy)];
        }
    };
    let mappings = setting("/proc/sys/vm/max_map_count").unwrap_or_else(|| "unknown".to_owned());
    of_room(room, config.max_running, &mappings)
}

/// `mappings`: the value of `vm.max_map_count`.
fn of_room(room: Room, wanted: u32, mappings: &str) -> Vec<Finding> {
    let Room { runs, bound, no_pool } = room;
    let mut findings = vec![match bound {
        Some(Bound::Mappings) => Finding::warning(
            RUNS,
            format!("{runs} of {wanted}, because vm.max_map_count is {mappings}"),
            "sudo sysctl -w vm.max_map_count=1048576",
        ),
        Some(Bound::AddressSpace) => Finding::warning(
            RUNS,
            format!("{runs} of {wanted}, because the address space is limited"),
            "ulimit -v unlimited",
        ),
        None => Finding::ok(RUNS, format!("{wanted}; vm.max_map_count is {mappings}")),
    }];
    if let Some(reason) = no_pool {
        findings.push(Finding::warning(
            "memory pool",
            format!("none, so each run starts a little slower: {reason}"),
            "ulimit -v unlimited",
        ));
    }
    findings
}

fn address_space(limit: Option<u64>) -> Finding {
    const NAME: &str = "address space";
    match limit {
        None => Finding::ok(NAME, "no limit"),
        Some(limit) => Finding::warning(
            NAME,
            format!("limited to {} MiB, of which each run reserves some", limit >> 20),
            "ulimit -v unlimited",
        ),
    }
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
        assert_eq!((level, &*fix), (Level::Warning, "ulimit -v unlimited"));
        assert!(!found.contains("max_map_count"), "{found}");
        assert_eq!(remedy(None).0, Level::Ok);
    }

    #[test]
    fn low_limits_are_found_and_sufficient_ones_are_not() {
        let levels: Vec<Level> =
            [Some(256), Some(1024), Some(65_536), None].map(|limit| of_descriptors(limit).level).into();
        assert_eq!(levels, [Level::Problem, Level::Warning, Level::Ok, Level::Ok]);
        assert_eq!(threads(Some((50, "x"))).level, Level::Warning);
        assert_eq!(threads(Some((4096, "x"))).level, Level::Ok);
        assert_eq!(threads(None).level, Level::Ok);
        assert_eq!(address_space(Some(1 << 30)).level, Level::Warning);
        assert_eq!(overcommit(Some("2")).level, Level::Warning);
        assert_eq!(overcommit(Some("0")).level, Level::Ok);
    }
}
