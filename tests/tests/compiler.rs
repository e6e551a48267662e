//! What keeps a host from compiling, and is nothing of the file: it is told as such, and passes.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::{Value, json};
use streamtask_host::model::Version;
use streamtask_tests::optional::skip;
use streamtask_tests::{Api, ChildHost, Folders, PATIENCE, Said, child, eventually, guests};

const SETTINGS: [&str; 2] = ["--durability", "normal"];

/// Sets the soft limit of open files of a living host; none: as much as it may have.
fn limit_files(host: &ChildHost, to: Option<u64>) {
    let id = Pid::from_raw(i32::try_from(host.id()).unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(id, Resource::Nofile, Rlimit { current: to.or(maximum), maximum }).unwrap();
}

async fn readiness(api: &Api) -> (u16, String) {
    let answer = api.get("/readyz").await;
    (answer.status.as_u16(), answer.json()["reasons"].to_string())
}

async fn problem(api: &Api, path: &str) -> String {
    let list = api.get("/api/tasks").await.json();
    let task = list["tasks"].as_array().unwrap().iter().find(|task| task["path"] == path).cloned();
    task.unwrap_or(Value::Null)["problem"]["message"].as_str().unwrap_or_default().to_owned()
}

async fn serves(api: &Api, task: &str, wasm: &[u8]) {
    let version = Version::of(wasm).to_string();
    eventually("the file is tried again, untouched", || async {
        api.get(&format!("/api/tasks/{task}")).await.json()["version"] == version
    })
    .await;
}

/// How many files a host has open that does nothing: the fewest of many looks, for one can fall into a look at the
/// tasks folder, or into the end of a connection.
async fn open_files(host: &ChildHost) -> u64 {
    let mut fewest = u64::MAX;
    for _ in 0..100 {
        let open = fs::read_dir(format!("/proc/{}/fd", host.id())).unwrap().count() as u64;
        fewest = fewest.min(open);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fewest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_that_cannot_be_started_is_tried_again() {
    let folders = Folders::new();
    let host = folders.start(&SETTINGS);
    assert_eq!(readiness(&host).await.0, 200);
    // Enough to read a file and to answer a client, and not for the pipes to a compiler.
    let open = open_files(&host).await;
    limit_files(&host, Some(open + 4));
    let wasm = guests::ticker("new");
    guests::install(&folders.tasks(), "test/ticker.wasm", &wasm);
    eventually("the host says so", || async { readiness(&host).await.0 == 503 }).await;
    let (_, reasons) = readiness(&host).await;
    assert!(reasons.contains("test/ticker.wasm can't be loaded now, and will be tried again: "), "{reasons}");
    let said = problem(&host, "test/ticker.wasm").await;
    assert!(said.contains("can't") && said.contains("Too many open files"), "{said}");
    assert!(!said.contains("valid component"), "{said}");
    assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed", "what is loaded serves on");

    limit_files(&host, None);
    serves(&host, "test/ticker", &wasm).await;
    eventually("ready again", || async { readiness(&host).await.0 == 200 }).await;
    let said = host.logged();
    let told = said.iter().filter(|line| line.contains("task file not loaded")).count();
    assert!((1..=3).contains(&told), "not at each try: {said:?}");
}

/// The processes that each thread of one has started.
fn children(process: u32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Kills the next compiler of a host.
fn kill_compiler(host: u32) {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        for compiler in children(host) {
            // It may end just now.
            if kill_process(Pid::from_raw(compiler).unwrap(), Signal::KILL).is_ok() {
                return;
            }
        }
    }
    panic!("stuck: no compiler");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_that_is_killed_is_tried_again() {
    let folders = Folders::new();
    let host = folders.start(&SETTINGS);
    let killing = tokio::task::spawn_blocking({
        let host = host.id();
        move || kill_compiler(host)
    });
    let wasm = guests::marked(&guests::probe(), "changed");
    guests::install(&folders.tasks(), "test/other.wasm", &wasm);
    killing.await.unwrap();
    let mut said = Vec::new();
    eventually("the log says so", || {
        said.extend(host.logged());
        let told = said.iter().any(|line| line.contains("the compiler was killed"));
        async move { told }
    })
    .await;
    serves(&host, "test/other", &wasm).await;
}

/// The same host, by way of another program that calls it.
fn by_way_of(program: &str, arguments: &[&str], command: &Command) -> Command {
    let mut other = Command::new(program);
    other.args(arguments).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

fn serve(folders: &Folders) -> Command {
    child::serve(&folders.tasks(), &folders.data(), &SETTINGS)
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_limits_below_the_compilers_own_are_kept_to() {
    let folders = Folders::new();
    let limits = ["--data=2147483648", "--cpu=100", "--fsize=134217728"];
    let command = by_way_of("prlimit", &limits, &serve(&folders));
    let host = ChildHost::spawn(command).unwrap_or_else(|said| panic!("{said:?}")).ready();
    assert_eq!(problem(&host, "test/probe.wasm").await, "");
    assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_may_become_is_a_setting_and_the_error_names_it() {
    let folders = Folders::new();
    let host = folders.start(&[&SETTINGS[..], &["--compile-code", "4KiB"]].concat());
    let said = problem(&host, "test/probe.wasm").await;
    assert!(
        said.contains("it becomes more than 4 KiB of code; the host's --compile-code can allow more"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_memory_of_a_compiler_is_enough_for_a_small_task_and_less_is_refused() {
    let folders = Folders::new();
    let host = folders.start(&[&SETTINGS[..], &["--compile-memory", "256MiB"]].concat());
    assert_eq!(problem(&host, "test/probe.wasm").await, "");
    drop(host);
    let mut less = serve(&folders);
    less.args(["--compile-memory", "255MiB"]);
    Said::of(&mut less).refused(2, "compile-memory must be at least 256.0 MiB");
}

/// A namespace of its own, in which nothing is mounted on /proc.
fn without_proc(command: &Command) -> Command {
    let script = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
    let root = rustix::process::geteuid().is_root();
    let own = if root { &["--mount"][..] } else { &["--map-root-user", "--mount"] };
    by_way_of("unshare", &[own, &["sh", "-c", script]].concat(), command)
}

fn can_be_without_proc() -> bool {
    let tried = without_proc(&Command::new("true")).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_load_without_proc() {
    if !can_be_without_proc() {
        return skip("tasks_load_without_proc", "`unshare --mount` (root, or user namespaces)");
    }
    for kept in [true, false] {
        let folders = Folders::new();
        guests::install(&folders.tasks(), "test/ticker.wasm", &guests::ticker("whole"));
        guests::install(&folders.tasks(), "test/program.wasm", &guests::program());
        if !kept {
            // So that compiled code has no name.
            fs::create_dir_all(folders.data()).unwrap();
            fs::write(folders.data().join("cache"), "a file where the folder should be").unwrap();
        }
        let host = ChildHost::spawn(without_proc(&serve(&folders))).unwrap_or_else(|said| panic!("{said:?}"));
        let host = host.ready();
        for path in ["test/probe.wasm", "test/ticker.wasm", "test/program.wasm"] {
            assert_eq!(problem(&host, path).await, "");
        }
        let run = host.start_run("test/ticker", json!(0)).await;
        assert_eq!(host.finished(&run).await["final_value"], "whole");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_find_its_own_program_says_so() {
    if !can_be_without_proc() {
        return skip("a_host_that_cannot_find_its_own_program_says_so", "`unshare --mount`");
    }
    let folders = Folders::new();
    let mut nameless = serve(&folders);
    nameless = {
        // Called by a name that leads nowhere.
        let script = "mount -t tmpfs none /proc && exec -a nowhere \"$0\" \"$@\"";
        let root = rustix::process::geteuid().is_root();
        let own = if root { &["--mount"][..] } else { &["--map-root-user", "--mount"] };
        by_way_of("unshare", &[own, &["bash", "-c", script]].concat(), &nameless)
    };
    let host = ChildHost::spawn(nameless).unwrap_or_else(|said| panic!("{said:?}"));
    eventually("the file is tried", || async { !problem(&host, "test/probe.wasm").await.is_empty() }).await;
    let said = problem(&host, "test/probe.wasm").await;
    assert!(said.starts_with("can't start the compiler: it is this host's own executable"), "{said}");
    assert!(said.contains("mount /proc"), "{said}");
    assert_eq!(readiness(&host).await.0, 503);
}

/// The compiler itself, with no thread to be had besides its own.
fn compile_on_one_thread(program: &Path, wasm: &[u8]) -> std::process::Output {
    let mut command = Command::new("prlimit");
    if rustix::process::geteuid().is_root() {
        // Root may have as many as it likes.
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "prlimit"]);
    }
    command
        .arg("--nproc=1")
        .arg(program)
        .args(["compile", "4294967296", "120", "268435456"])
        .current_dir("/");
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut compiler = command.spawn().unwrap();
    compiler.stdin.take().unwrap().write_all(wasm).unwrap();
    compiler.wait_with_output().unwrap()
}

#[test]
fn a_compiler_without_threads_compiles_on_one() {
    // Where who has no rights can execute it.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("streamtask");
    fs::copy(child::binary(), &program).unwrap();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), readable).unwrap();
    let began = Instant::now();
    let output = compile_on_one_thread(&program, &guests::ticker("whole"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} after {:?}: {said}", output.status, began.elapsed());
    assert!(output.stdout.len() > 1_000, "{said}");
    assert!(began.elapsed() < Duration::from_secs(30));
}
