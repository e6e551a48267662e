//! A real host whose clock is stepped while it serves.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use streamtask_tests::optional::skip;
use streamtask_tests::{Api, ChildHost, Folders, child, eventually, soon};

const EVERY_SECOND: &str = "[[schedule]]\nname = \"s\"\ncron = \"* * * * * *\"\ninput = { do = \"echo\" }\n";
const SETTINGS: [&str; 6] = ["--durability", "normal", "--drain-grace", "100ms", "--retention-delay", "0s"];

/// The time of day of a host: the machine's, and so many seconds more. Only that one is another; the clock that
/// measures durations goes on as it is.
struct Clock {
    library: PathBuf,
    ahead: PathBuf,
}

impl Clock {
    /// None, and the test `what` is skipped, without the library that gives programs another time.
    fn new(what: &str, folders: &Folders) -> Option<Self> {
        let Some(library) = library() else {
            skip(what, "libfaketime: the package `faketime`");
            return None;
        };
        let clock = Self { library, ahead: folders.data().with_file_name("clock") };
        clock.set(0);
        Some(clock)
    }

    /// Steps it to so many seconds ahead.
    fn set(&self, ahead: i64) {
        let next = self.ahead.with_extension("next");
        fs::write(&next, format!("{ahead:+}\n")).unwrap();
        fs::rename(next, &self.ahead).unwrap();
    }

    fn serve(&self, folders: &Folders) -> ChildHost {
        let mut serve = child::serve(&folders.tasks(), &folders.data(), &SETTINGS);
        serve
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.ahead)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            // Times of files stay what they are.
            .env("NO_FAKE_STAT", "1");
        ChildHost::spawn(serve).unwrap_or_else(|said| panic!("{said:?}")).ready()
    }
}

/// Where distributions put it.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let folders = folders.chain(["/usr/lib".into(), "/usr/lib64".into()]);
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

async fn runs(host: &Api) -> Vec<Value> {
    host.get("/api/runs?task=test/probe&limit=1000").await.json()["runs"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_and_delays_follow_a_clock_that_is_set_back() {
    let folders = Folders::new();
    let Some(clock) = Clock::new("a clock that is set back", &folders) else { return };
    fs::write(folders.tasks().join("test/probe.toml"), EVERY_SECOND).unwrap();
    let host = clock.serve(&folders);
    eventually("starts by the schedule", || async { runs(&host).await.len() >= 2 }).await;
    let answer = host.post("/api/tasks/test/probe/runs?delay=3s", r#"{"do":"echo"}"#).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    let delayed = answer.json();

    clock.set(-3600);
    let before = runs(&host).await.len();
    host.says("the clock was set back").await;
    soon("the delayed run", async { host.finished(&delayed).await }).await;
    eventually("starts by the schedule, by the new time", || async { runs(&host).await.len() >= before + 2 })
        .await;
    let next = host.get("/api/tasks/test/probe").await.json()["schedules"][0]["next"].clone();
    let newest = runs(&host).await[0]["created_at"].clone();
    assert!(next.as_str().unwrap() > newest.as_str().unwrap(), "{next} after {newest}, both by the new time");

    // A host that starts with such a clock follows it too.
    clock.set(0);
    let before = runs(&host).await.len();
    eventually("starts by the first time again", || async { runs(&host).await.len() > before }).await;
    host.kill();
    clock.set(-7200);
    let host = clock.serve(&folders);
    let before = runs(&host).await.len();
    eventually("starts by an older time", || async { runs(&host).await.len() >= before + 2 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_month_ahead_for_a_moment_removes_nothing() {
    let folders = Folders::new();
    let Some(clock) = Clock::new("a clock that is a month ahead", &folders) else { return };
    // Each change of a task has a sweep follow.
    let save = |text: &str| {
        let manifest = format!("description = \"{text}\"\n[retention]\nmax-age = \"30d\"\n");
        fs::write(folders.tasks().join("test/probe.toml"), manifest).unwrap();
    };
    save("first");
    let host = clock.serve(&folders);
    for _ in 0..3 {
        let run = host.probe(json!({ "do": "echo" })).await;
        host.finished(&run).await;
    }
    clock.set(31 * 24 * 3600);
    save("ahead");
    let line = host.says("no run is removed for its age until").await;
    assert!(line.contains("ahead of what was expected"), "{line}");
    assert_eq!(runs(&host).await.len(), 3);
    clock.set(0);
    save("as before");
    host.says("the clock is trusted").await;
    assert_eq!(runs(&host).await.len(), 3);

    // One that is right after all can be confirmed: an operator asks for it.
    clock.set(31 * 24 * 3600);
    save("ahead again");
    host.says("no run is removed for its age until").await;
    let prune = "/api/prune?older_than=30d";
    assert_eq!(host.post(prune, "").await.status, 409);
    let pruned = host.post(&format!("{prune}&confirm_clock=true"), "").await;
    assert_eq!(pruned.json()["runs"], 3, "{:?}", pruned.body);
}
