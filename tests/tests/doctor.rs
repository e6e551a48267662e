//! `streamtask doctor`: what it finds on a machine, also on one that gives little, and how it exits.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use streamtask_tests::limits::after;
use streamtask_tests::optional::skip;
use streamtask_tests::{ChildHost, Said, child, guests};
use tempfile::TempDir;

fn command(folder: &Path, listen: &str, arguments: &[&str]) -> Command {
    let mut command = child::command();
    command.arg("doctor").args(["--listen", listen]).args(arguments);
    command.arg("--tasks").arg(folder.join("tasks")).arg("--data").arg(folder.join("data"));
    command
}

fn doctor(folder: &Path, listen: &str, arguments: &[&str]) -> Said {
    Said::of(&mut command(folder, listen, arguments))
}

/// A folder with a tasks folder and an empty data folder.
fn folders() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["tasks", "data"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    folder
}

/// The same as JSON, after a shell has done `prelude`.
fn after_doing(prelude: &str, folder: &Path) -> Said {
    Said::of(&mut after(prelude, &command(folder, "127.0.0.1:0", &["--json"])))
}

/// The check of that name in what `doctor --json` printed.
fn check(said: &Said, name: &str) -> Value {
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report}")).clone()
}

#[test]
fn the_doctor_names_each_problem_with_its_fix() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = doctor(folder.path(), &address, &[]);
    assert_eq!(said.code, 1, "{said:?}");
    let line = |name: &str| said.out.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("tasks folder").starts_with("problem "), "{said:?}");
    assert!(line("tasks folder").contains("fix: mkdir -p "), "{said:?}");
    assert!(line("port").contains("another program listens on"), "{said:?}");
    assert!(line("data folder").starts_with("ok "), "{said:?}");
    assert!(!folder.path().join("data").exists(), "it creates nothing");
    assert!(said.err.ends_with("problems keep a host from working here\n"), "{said:?}");
}

#[test]
fn the_doctor_recognises_a_running_host_and_leaves_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    guests::install(&tasks, "ticker.wasm", &guests::ticker("top"));
    let host = ChildHost::start(&tasks, &data, &["--durability", "normal"]);
    let said = doctor(folder.path(), &host.address.to_string(), &["--json"]);
    for name in ["port", "database", "tasks folder", "data folder", "disk", "concurrent runs"] {
        assert_ne!(check(&said, name)["level"], "problem", "{name}: {said:?}");
    }
    assert!(check(&said, "port")["found"].as_str().unwrap().contains("a streamtask host ("), "{said:?}");
    assert_eq!(check(&said, "database")["found"], "a running host has it open");
    for language in ["rust", "python", "javascript", "typescript", "go", "c", "cpp"] {
        assert_ne!(check(&said, language)["level"], "problem", "a host needs no tools: {said:?}");
    }
    // After its end, the database can be opened.
    host.kill();
    let found = check(&doctor(folder.path(), "127.0.0.1:0", &["--json"]), "database");
    assert_eq!(found["level"], "ok", "{found}");
    fs::write(data.join("streamtask.db-wal"), "").unwrap();
    fs::write(data.join("streamtask.db"), "something else, and not a database at all").unwrap();
    let found = check(&doctor(folder.path(), "127.0.0.1:0", &["--json"]), "database");
    assert_eq!(found["level"], "problem", "{found}");
}

#[test]
fn low_limits_of_the_process_are_told_apart() {
    let folders = folders();
    for (limit, level, code) in [(32, "problem", 1), (256, "warning", 0)] {
        let said = after_doing(&format!("ulimit -n {limit}"), folders.path());
        let found = check(&said, "open files");
        assert_eq!((&found["level"], said.code), (&level.into(), code), "{said:?}");
        assert!(found["remedy"].as_str().unwrap().contains("ulimit -Hn"), "{found}");
    }

    // A memory takes 4 GiB of it, as long as there is a pool.
    for kib in [40_000_000, 400_000] {
        let said = after_doing(&format!("ulimit -v {kib}"), folders.path());
        let found = check(&said, "concurrent runs");
        assert_eq!((&found["level"], said.code), (&"warning".into(), 0), "{said:?}");
        assert!(found["remedy"].as_str().unwrap().starts_with("ulimit -v unlimited"), "{found}");
        assert_eq!(check(&said, "address space")["level"], "warning");
        for tool in ["rust", "javascript"] {
            let remedy = check(&said, tool)["remedy"].as_str().unwrap_or_default().to_owned();
            assert!(!remedy.contains("install"), "{tool} may be there: {remedy}");
        }
    }
    for limit in ["ulimit -v 200000", "ulimit -d 200000"] {
        let said = after_doing(limit, folders.path());
        let found = check(&said, "concurrent runs");
        assert_eq!((&found["level"], said.code), (&"problem".into(), 1), "{said:?}");
        assert!(found["found"].as_str().unwrap().contains("MiB of address space are free"), "{found}");
    }
}

/// Does `prelude` in a mount namespace of its own, then asks the doctor. None if there can be none.
fn with_mounts(test: &str, prelude: &str, folder: &Path) -> Option<Said> {
    let mut works = Command::new("unshare");
    works.args(["--map-root-user", "--mount", "true"]).stdin(Stdio::null()).stderr(Stdio::null());
    if !works.status().is_ok_and(|status| status.success()) {
        skip(test, "a file system of its own: `unshare --map-root-user --mount`, and a kernel that lets it");
        return None;
    }
    Some(Said::of(&mut in_namespace(prelude, &command(folder, "127.0.0.1:0", &["--json"]))))
}

/// The same command, after `prelude` in a mount namespace of its own.
fn in_namespace(prelude: &str, command: &Command) -> Command {
    let within = after(prelude, command);
    let mut unshared = Command::new("unshare");
    unshared.args(["--map-root-user", "--mount"]).arg(within.get_program()).args(within.get_args());
    for (name, value) in within.get_envs() {
        match value {
            Some(value) => unshared.env(name, value),
            None => unshared.env_remove(name),
        };
    }
    unshared
}

#[test]
fn a_small_disk_and_a_read_only_one_are_problems_with_their_own_remedies() {
    const NAME: &str = "a_small_disk_and_a_read_only_one_are_problems_with_their_own_remedies";
    let folders = folders();
    let data = folders.path().join("data");
    let mount = |options: &str| format!("mount -t tmpfs -o {options} tmpfs '{}'", data.display());
    let Some(said) = with_mounts(NAME, &mount("size=1m,mode=700"), folders.path()) else { return };
    let found = check(&said, "disk");
    assert_eq!((&found["level"], said.code), (&"problem".into(), 1), "{said:?}");
    assert!(found["remedy"].as_str().unwrap().starts_with("free some space"), "{found}");

    let said = with_mounts(NAME, &mount("ro,mode=700"), folders.path()).unwrap();
    let found = check(&said, "data folder");
    assert_eq!((&found["level"], said.code), (&"problem".into(), 1), "{said:?}");
    assert!(
        found["found"].as_str().unwrap().ends_with("is on a file system that is mounted read-only"),
        "{found}"
    );
    assert!(!found["remedy"].as_str().unwrap().contains("chown"), "{found}");
    let serve = child::serve(&folders.path().join("tasks"), &data, &[]);
    let said = Said::of(&mut in_namespace(&mount("ro,mode=700"), &serve));
    said.refused(6, "Read-only file system (os error 30); --data names another folder");
}

#[test]
fn a_kernel_with_few_mappings_and_one_without_control_groups_are_judged_by_what_they_have() {
    const NAME: &str =
        "a_kernel_with_few_mappings_and_one_without_control_groups_are_judged_by_what_they_have";
    let folders = folders();
    let (few, none) = (folders.path().join("few"), folders.path().join("none"));
    fs::write(&few, "9000\n").unwrap();
    fs::create_dir(&none).unwrap();
    let prelude = format!(
        "mount --bind '{}' /proc/sys/vm/max_map_count && mount --bind '{}' /sys/fs/cgroup",
        few.display(),
        none.display()
    );
    let Some(said) = with_mounts(NAME, &prelude, folders.path()) else { return };
    let found = check(&said, "concurrent runs");
    assert_eq!((&found["level"], said.code), (&"warning".into(), 0), "{said:?}");
    assert!(found["found"].as_str().unwrap().ends_with("because vm.max_map_count is 9000"), "{found}");
    assert_eq!(found["remedy"], "sudo sysctl -w vm.max_map_count=1048576");
    assert_ne!(check(&said, "threads")["level"], "problem");
}
