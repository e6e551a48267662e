//! The control groups of this process, of version 1 or 2.

use std::fs;
use std::path::Path;

/// Where groups are, as folders.
const ROOT: &str = "/sys/fs/cgroup";
/// The groups of this process: a line for each hierarchy of version 1, and one for version 2.
const OWN: &str = "/proc/self/cgroup";

/// Most processes and threads in the groups of this process, which count those of all groups within. None if there is no
/// limit, or there are no groups.
pub(super) fn max_threads() -> Option<u64> {
    limit(Path::new(ROOT), &fs::read_to_string(OWN).unwrap_or_default(), "pids", "pids.max")
}

/// The lowest limit of a controller in these groups and in those around them.
fn limit(root: &Path, groups: &str, controller: &str, file: &str) -> Option<u64> {
    let hierarchies = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        match controllers {
            // Version 2 has no names.
            "" => Some((root.to_owned(), group)),
            names => names.split(',').any(|name| name == controller).then(|| (root.join(names), group)),
        }
    });
    let limits = hierarchies.flat_map(|(hierarchy, group)| {
        // In a container the path may be that outside, of which only the root is to be seen.
        let around = Path::new(group.trim_start_matches('/')).ancestors();
        around.map(move |group| hierarchy.join(group).join(file)).collect::<Vec<_>>()
    });
    // The file has the word `max` if there is no limit.
    limits.filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes groups, each with a limit.
    fn groups(limits: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (group, value) in limits {
            let folder = root.path().join(group);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("pids.max"), format!("{value}\n")).unwrap();
        }
        root
    }

    #[test]
    fn the_lowest_limit_counts_whatever_the_version_of_groups() {
        let two = groups(&[("user.slice", "500"), ("user.slice/session", "max")]);
        let of = |root: &tempfile::TempDir, own: &str| limit(root.path(), own, "pids", "pids.max");
        assert_eq!(of(&two, "0::/user.slice/session\n"), Some(500));
        assert_eq!(of(&two, "0::/other\n"), None);
        // As in a container that sees its own group as the root.
        let container = groups(&[("", "100")]);
        assert_eq!(of(&container, "0::/\n"), Some(100));
        assert_eq!(of(&container, "0::/../../docker/0123\n"), Some(100));
        let one = groups(&[("pids/docker/0123", "64"), ("cpu,cpuacct", "7")]);
        assert_eq!(of(&one, "3:cpu,cpuacct:/\n2:pids:/docker/0123\n1:name=systemd:/\n0::/\n"), Some(64));
        for none in ["", "0::", "nonsense", "2:pids"] {
            assert_eq!(of(&one, none), None, "{none:?}");
        }
    }
}
