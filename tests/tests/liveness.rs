//! What `/healthz` says of a host that can't serve, and how such a host still ends.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::json;
use streamtask_tests::limits::after;
use streamtask_tests::optional::skip_here;
use streamtask_tests::stall::Stalled;
use streamtask_tests::{ChildHost, Folders, child, eventually, soon};
use tokio::time::Instant;

/// After which a loop counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

fn start(folders: &Folders) -> ChildHost {
    folders.start(&["--durability", "normal", "--drain-grace", "100ms"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_writer_is_stuck_is_not_healthy_and_still_ends() {
    let folders = Folders::new();
    let host = start(&folders);
    assert_eq!(host.get("/healthz").await.status, 200);
    let sleeping = host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    host.follow(&sleeping).await.until("run.started").await;
    let (what, needs) = ("a_host_whose_writer_is_stuck_is_not_healthy_and_still_ends", "ptrace of a child");
    let Some(stalled) = Stalled::thread(host.id(), "storage-writer") else { return skip_here(what, needs) };
    // It is noticed by what it does not begin with.
    let start = tokio::spawn({
        let api = *host;
        async move { api.post("/api/tasks/test/probe/runs", "{}").await.status }
    });
    assert_eq!(soon("an answer", host.get("/healthz")).await.status, 200, "not at once");
    assert!(becomes_unhealthy(&host).await);
    let unhealthy = host.get("/healthz").await;
    let problem = unhealthy.problem(503, "stalled");
    assert_eq!(problem["component"], "storage-writer");
    // What needs no writer is served.
    for path in ["/api/tasks", "/api/runs", "/metrics"] {
        assert_eq!(soon("an answer", host.get(path)).await.status, 200, "{path}");
    }
    let began = Instant::now();
    host.signal("TERM");
    let (status, log) = tokio::task::spawn_blocking(|| host.ended()).await.unwrap();
    assert_eq!(status.code(), Some(130), "{log:?}");
    let last = log.last().unwrap();
    assert!(last.starts_with("streamtask: the host has not stopped within"), "{log:?}");
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    drop((stalled, start));

    let host = self::start(&folders);
    assert_eq!(host.finished(&sleeping).await["error"]["kind"], "interrupted");
}

/// Waits until the host is no longer healthy; false if it stays so for long.
async fn becomes_unhealthy(host: &ChildHost) -> bool {
    let until = Instant::now() + STUCK_AFTER + Duration::from_secs(5);
    while Instant::now() < until {
        if soon("an answer", host.get("/healthz")).await.status == 503 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_matter_of_readiness_and_not_of_health() {
    let folders = Folders::new();
    let serve = child::serve(&folders.tasks(), &folders.data(), &["--drain-grace", "100ms"]);
    // A file that may not grow is an error of the write then, and not the end of the process.
    let host =
        ChildHost::spawn(after("trap '' XFSZ", &serve)).unwrap_or_else(|said| panic!("{said:?}")).ready();
    let run = host.probe(json!({ "do": "flood", "events": 10_000_000, "pause_ms": 1 })).await;
    host.follow(&run).await.until("flood").await;
    let id = Pid::from_raw(i32::try_from(host.id()).unwrap());
    let maximum = getrlimit(Resource::Fsize).maximum;
    prlimit(id, Resource::Fsize, Rlimit { current: Some(0), maximum }).unwrap();
    eventually("the host says so", || async { host.get("/readyz").await.status == 503 }).await;
    let until = Instant::now() + STUCK_AFTER + Duration::from_secs(5);
    while Instant::now() < until {
        let healthy = soon("an answer", host.get("/healthz")).await;
        assert_eq!(healthy.status, 200, "{healthy:?}");
        assert_eq!(host.get("/readyz").await.status, 503);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    prlimit(id, Resource::Fsize, Rlimit { current: maximum, maximum }).unwrap();
    eventually("it is ready again", || async { host.get("/readyz").await.status == 200 }).await;
}
