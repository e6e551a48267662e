//! Readers of all runs, one at each host, which come back to that host with the cursor of their last event.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use parking_lot::Mutex;
use serde_json::Value;
use streamtask_tests::{Connection, EventStream};
use tokio::task::JoinSet;

use crate::history::{TAIL_TYPES, Tail};

/// Pause before a reader connects again.
const PAUSE: Duration = Duration::from_millis(100);
/// Time without an event after which it connects again.
const QUIET: Duration = Duration::from_secs(10);
/// Interval in which the number of seen ends is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The readers.
pub(super) struct Tails {
    readers: JoinSet<()>,
    seen: Vec<Arc<Mutex<Tail>>>,
}

/// Starts a reader at each host.
pub(super) fn start(hosts: &[SocketAddr]) -> Tails {
    let mut readers = JoinSet::new();
    let seen: Vec<Arc<Mutex<Tail>>> =
        (0..hosts.len()).map(|host| Arc::new(Mutex::new(Tail { host, seen: HashMap::new() }))).collect();
    for (&address, tail) in hosts.iter().zip(&seen) {
        readers.spawn(follow(address, Arc::clone(tail)));
    }
    Tails { readers, seen }
}

impl Tails {
    /// Waits until every reader knows as many runs, and ends them.
    pub(super) async fn finish(mut self, runs: usize, patience: Duration) -> Vec<Tail> {
        let all_seen = async {
            while self.seen.iter().any(|tail| tail.lock().seen.len() < runs) {
                tokio::time::sleep(LOOK).await;
            }
            // The ends of the last ones.
            tokio::time::sleep(20 * LOOK).await;
        };
        // What is missing is for the checker.
        let _ = tokio::time::timeout(patience, all_seen).await;
        self.readers.shutdown().await;
        self.seen.iter().map(|tail| tail.lock().clone()).collect()
    }
}

async fn follow(address: SocketAddr, tail: Arc<Mutex<Tail>>) {
    let mut cursor = String::new();
    let path = format!("/api/events?types={}", TAIL_TYPES.join(","));
    loop {
        read(address, &path, &mut cursor, &tail).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read(address: SocketAddr, path: &str, cursor: &mut String, tail: &Mutex<Tail>) -> Option<()> {
    let mut connection = Connection::try_open(address).await?;
    let mut headers = vec![("accept", "text/event-stream")];
    if !cursor.is_empty() {
        headers.push(("last-event-id", cursor.as_str()));
    }
    let asked = connection.try_send(&Method::GET, path, &headers, "");
    let response = tokio::time::timeout(QUIET, asked).await.ok()?.ok()?;
    if response.status() != 200 {
        return None;
    }
    let mut stream = EventStream::of(response);
    while let Ok(Ok(Some(event))) = tokio::time::timeout(QUIET, stream.try_next()).await {
        let line: Value = serde_json::from_str(&event.data).unwrap_or_default();
        if !event.id.is_empty() {
            event.id.clone_into(cursor);
        }
        if let (Some(run), Some(seq)) = (line["_task_id"].as_str(), line["seq"].as_u64()) {
            tail.lock().seen.entry(run.to_owned()).or_default().push(seq);
        }
    }
    Some(())
}
