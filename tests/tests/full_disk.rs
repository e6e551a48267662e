//! A disk that is really full, and a limit of file size: a host starts all the same, what is stored can be read and
//! removed, and everything goes on when there is room.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};
use streamtask_tests::optional::skip;
use streamtask_tests::{Api, ChildHost, Folders, child, eventually, soon};

const SETTINGS: [&str; 4] = ["--durability", "normal", "--drain-grace", "100ms"];
/// The data folder of a test that has a disk of its own; it is called again by itself there.
const DISK: &str = "STREAMTASK_TEST_DISK";
/// Room for a database, its log, compiled code and what is set aside.
const DISK_BYTES: u64 = 128 << 20;
/// What a host sets aside.
const RESERVE_BYTES: u64 = 20 << 20;

/// Makes the test `name` with a data folder that is a disk of its own, a small one; in a process that no one
/// else sees the disk of.
fn on_a_small_disk(name: &str, test: impl AsyncFnOnce(Folders)) {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if env::var_os(DISK).is_some() {
        let folders = Folders::new();
        fs::create_dir(folders.data()).unwrap();
        let size = format!("size={DISK_BYTES}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folders.data()).status();
        assert!(mounted.unwrap().success());
        return runtime().block_on(test(folders));
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--mount"]).stdin(Stdio::null());
    let works = unshare.arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !works {
        return skip(
            name,
            "a file system of its own: `unshare --map-root-user --mount`, and a kernel that lets it",
        );
    }
    // Before: in there it would be made in another place.
    child::binary();
    let mut again = Command::new("unshare");
    again.args(["--map-root-user", "--mount"]).arg(env::current_exe().unwrap());
    let status = again.args(["--exact", name, "--nocapture"]).env(DISK, "1").status().unwrap();
    assert!(status.success(), "{status}");
}

fn serve(folders: &Folders) -> ChildHost {
    let serve = child::serve(&folders.tasks(), &folders.data(), &SETTINGS);
    ChildHost::spawn(serve).unwrap_or_else(|said| panic!("{said:?}"))
}

fn filler(folders: &Folders) -> PathBuf {
    folders.data().join("filler")
}

/// Leaves no byte.
fn fill(folders: &Folders) {
    let mut file = File::options().create(true).append(true).open(filler(folders)).unwrap();
    for size in [1 << 20, 4096, 1] {
        let bytes = vec![b'x'; size];
        while file.write_all(&bytes).is_ok() {}
    }
}

async fn readiness(host: &Api) -> (u16, String) {
    let answer = host.get("/readyz").await;
    (answer.status.as_u16(), answer.json()["reasons"].to_string())
}

async fn becomes_ready(host: &Api) {
    eventually("the host takes work again", || async { readiness(host).await.0 == 200 }).await;
}

/// What a host does that can read and not write.
async fn reads_and_refuses(host: &Api, ended: &Value, events: usize) {
    eventually("the tasks are loaded", || async {
        !host.get("/api/tasks/test/probe").await.json()["version"].is_null()
    })
    .await;
    let (status, reason) = readiness(host).await;
    assert!(status == 503 && reason.contains("the disk is full"), "{reason}");
    assert_eq!(host.get("/api/runs").await.status, 200);
    assert_eq!(host.follow(ended).await.rest().await.len(), events);
    let refused = host.post("/api/tasks/test/probe/runs", "{}").await.problem(503, "storage-unavailable");
    assert!(refused["detail"].as_str().unwrap().contains("the disk is full"), "{refused}");
}

fn reserve(folders: &Folders) -> u64 {
    fs::metadata(folders.data().join("streamtask.reserve")).map_or(0, |file| file.len())
}

/// Some 25 MB.
const MANY: u64 = 100_000;

fn flood() -> Value {
    json!({ "do": "flood", "events": MANY, "bytes": 200 })
}

/// A data folder with a run of many events, and one that goes on from its checkpoint.
async fn killed_in_the_middle(folders: &Folders) -> (Value, Value) {
    let host = serve(folders).ready();
    let ended = host.run(flood()).await;
    let saving = host.probe(json!({ "do": "work", "steps": 100, "ms": 20, "burst": 3, "save": true })).await;
    host.follow(&saving).await.until("saved").await;
    host.kill();
    // A log that is there has room of its own, in which a host could go on for a while.
    let db = rusqlite::Connection::open(folders.data().join("streamtask.db")).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    (ended, saving)
}

async fn goes_on(host: &Api, saving: &Value) {
    let events = soon("the run goes on", host.follow(saving).await.rest()).await;
    assert_eq!(events.last().unwrap().name, "run.completed", "{:?}", events.last());
    assert_eq!(host.read_run(saving).await["attempt"], 2);
}

#[test]
fn a_host_starts_on_a_full_disk_and_goes_on_after_something_was_removed() {
    let name = "a_host_starts_on_a_full_disk_and_goes_on_after_something_was_removed";
    on_a_small_disk(name, async |folders| {
        let (ended, saving) = killed_in_the_middle(&folders).await;
        fill(&folders);
        let host = serve(&folders);
        reads_and_refuses(&host, &ended, MANY as usize + 2).await;
        assert_eq!(host.read_run(&saving).await["status"], "running", "not settled yet");
        let pruned = host.post("/api/prune?keep=0", "").await;
        assert_eq!(pruned.status, 200, "{:?}", pruned.body);
        assert_eq!(pruned.json()["events"], MANY + 2);
        // Nobody made room but that.
        becomes_ready(&host).await;
        assert_eq!(reserve(&folders), RESERVE_BYTES, "it is set aside again");
        goes_on(&host, &saving).await;
        assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed");
    });
}

#[test]
fn a_host_starts_on_a_full_disk_and_goes_on_when_there_is_room() {
    let name = "a_host_starts_on_a_full_disk_and_goes_on_when_there_is_room";
    on_a_small_disk(name, async |folders| {
        let (ended, saving) = killed_in_the_middle(&folders).await;
        // With nothing set aside too, as an earlier version leaves it.
        for set_aside in [true, false] {
            if !set_aside {
                fs::remove_file(folders.data().join("streamtask.reserve")).unwrap();
            }
            fill(&folders);
            let host = serve(&folders);
            reads_and_refuses(&host, &ended, MANY as usize + 2).await;
            fs::remove_file(filler(&folders)).unwrap();
            becomes_ready(&host).await;
            goes_on(&host, &saving).await;
            let (status, said) = host.terminate();
            assert_eq!(status.code(), Some(0), "{said:?}");
        }
    });
}

#[test]
fn runs_are_removed_from_a_full_disk_while_others_wait_for_room() {
    let name = "runs_are_removed_from_a_full_disk_while_others_wait_for_room";
    on_a_small_disk(name, async |folders| {
        let host = serve(&folders).ready();
        let ended = [host.run(flood()).await, host.run(json!({ "do": "echo" })).await];
        // More than the log has room for that is there.
        let more =
            host.probe(json!({ "do": "flood", "events": 2 * MANY, "bytes": 200, "pause_ms": 1 })).await;
        host.follow(&more).await.until("flood").await;
        fill(&folders);
        eventually("the disk is full", || async { readiness(&host).await.0 == 503 }).await;
        let one = format!("/api/runs/{}", ended[1]["id"].as_str().unwrap());
        let deleted = host.request(&hyper::Method::DELETE, &one, &[], "").await;
        assert_eq!((deleted.status.as_u16(), &deleted.json()["runs"]), (200, &json!(1)));
        assert_eq!(host.get(&one).await.status, 404);
        assert_eq!(host.post("/api/prune?keep=0", "").await.json()["events"], MANY + 2);
        fs::remove_file(filler(&folders)).unwrap();
        let ended = soon("the run goes on", host.finished(&more)).await;
        assert_eq!((&ended["status"], &ended["attempt"]), (&json!("completed"), &json!(1)));
        becomes_ready(&host).await;
        assert_eq!(reserve(&folders), RESERVE_BYTES);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_may_write_no_file_starts_reads_and_goes_on() {
    let folders = Folders::new();
    let (ended, saving) = killed_in_the_middle(&folders).await;
    let mut shell = Command::new("sh");
    let serve = child::serve(&folders.tasks(), &folders.data(), &SETTINGS);
    shell.args(["-c", r#"ulimit -S -f 0; exec "$0" "$@""#]).arg(serve.get_program()).args(serve.get_args());
    for (variable, _) in serve.get_envs() {
        shell.env_remove(variable);
    }
    let host = ChildHost::spawn(shell).unwrap_or_else(|said| panic!("{said:?}"));
    reads_and_refuses(&host, &ended, MANY as usize + 2).await;
    let id = Pid::from_raw(i32::try_from(host.id()).unwrap());
    let maximum = getrlimit(Resource::Fsize).maximum;
    prlimit(id, Resource::Fsize, Rlimit { current: maximum, maximum }).unwrap();
    becomes_ready(&host).await;
    goes_on(&host, &saving).await;
    let (status, said) = host.terminate();
    assert_eq!(status.code(), Some(0), "{said:?}");
    whole(&folders.data());
    goes_on(&folders.start(&SETTINGS), &saving).await;
}

fn whole(data: &Path) {
    let db = rusqlite::Connection::open(data.join("streamtask.db")).unwrap();
    let whole: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}
