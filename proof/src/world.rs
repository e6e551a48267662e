//! Requests to a host that may be killed at any moment, and the record of what clients
//! received.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Method;
use parking_lot::Mutex;
use serde_json::Value;
use streamtask_tests::Connection;

use crate::history::{History, Sight, Told};

/// Pause before a request to an unreachable host is repeated.
const PAUSE: Duration = Duration::from_millis(15);
/// Timeout of a response; generous, because other processes on the same cores can slow
/// down the host.
const ANSWER: Duration = Duration::from_secs(30);

/// The same with several hosts: one may be stopped, and another answers meanwhile.
const ANSWER_OF_MANY: Duration = Duration::from_secs(8);

/// The state that all clients share.
pub(crate) struct World {
    /// Where the hosts listen; a client takes the next one for each connection.
    addresses: Vec<SocketAddr>,
    turn: AtomicUsize,
    /// Longest time for a response.
    answer: Duration,
    starting: AtomicBool,
    next_nth: AtomicU64,
    lost_answers: AtomicU64,
    /// All received lines, deduplicated.
    lines: Mutex<HashMap<(String, u64), Arc<str>>>,
    sights: Mutex<Vec<Sight>>,
    told: Mutex<Vec<Told>>,
}

/// A response.
pub(crate) struct Answer {
    /// How many earlier requests got no response.
    pub(crate) repeated: u64,
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl World {
    pub(crate) fn new(addresses: Vec<SocketAddr>) -> Arc<Self> {
        Arc::new(Self {
            answer: if addresses.len() > 1 { ANSWER_OF_MANY } else { ANSWER },
            addresses,
            turn: AtomicUsize::new(0),
            starting: AtomicBool::new(true),
            next_nth: AtomicU64::new(1),
            lost_answers: AtomicU64::new(0),
            lines: Mutex::default(),
            sights: Mutex::default(),
            told: Mutex::default(),
        })
    }

    /// Whether clients should start more runs.
    pub(crate) fn starts(&self) -> bool {
        self.starting.load(Ordering::Relaxed)
    }

    /// Whether there are several hosts.
    pub(crate) fn has_many(&self) -> bool {
        self.addresses.len() > 1
    }

    pub(crate) fn stop_starting(&self) {
        self.starting.store(false, Ordering::Relaxed);
    }

    /// A unique number for a run.
    pub(crate) fn next_nth(&self) -> u64 {
        self.next_nth.fetch_add(1, Ordering::Relaxed)
    }

    /// Connects as soon as the host listens.
    pub(crate) async fn connect(&self) -> Connection {
        loop {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let address = self.addresses[turn % self.addresses.len()];
            if let Some(connection) = Connection::try_open(address).await {
                return connection;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Repeats a request until the response is not 503, which means that nothing was
    /// done.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut repeated = 0;
        loop {
            if let Some(answer) = self.ask_once(method.clone(), path, headers, body).await {
                return Answer { repeated, ..answer };
            }
            repeated += 1;
        }
    }

    /// Repeats a request until it gets a response or loses it, in which case its effect
    /// is unknown.
    pub(crate) async fn ask_once(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<Answer> {
        loop {
            let mut connection = self.connect().await;
            let asked = async {
                let response = connection.try_send(&method, path, headers, body.to_owned()).await.ok()?;
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.ok()?.to_bytes();
                Some(Answer { repeated: 0, status, body: serde_json::from_slice(&body).unwrap_or_default() })
            };
            match tokio::time::timeout(self.answer, asked).await {
                Ok(Some(answer)) if answer.status == 503 => tokio::time::sleep(PAUSE).await,
                Ok(Some(answer)) => return Some(answer),
                Ok(None) | Err(_) => {
                    self.lost_answers.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
            }
        }
    }

    /// Returns the stored copy of an equal line, if there is one.
    pub(crate) fn seen(&self, run: &str, seq: u64, line: String) -> Arc<str> {
        let mut lines = self.lines.lock();
        let first = lines.entry((run.to_owned(), seq)).or_insert_with(|| Arc::from(line.as_str()));
        if **first == *line { Arc::clone(first) } else { Arc::from(line) }
    }

    pub(crate) fn note(&self, sight: Sight) {
        self.sights.lock().push(sight);
    }

    pub(crate) fn note_told(&self, told: Told) {
        self.told.lock().push(told);
    }

    /// IDs and paths of the known runs that clients have finished with.
    pub(crate) fn known(&self) -> Vec<String> {
        let told = self.told.lock();
        told.iter().filter_map(|told| told.ids.first().cloned()).collect()
    }

    /// Everything that was recorded.
    pub(crate) fn into_history(self) -> History {
        History {
            told: self.told.into_inner(),
            sights: self.sights.into_inner(),
            lost_answers: self.lost_answers.into_inner(),
            ..History::default()
        }
    }
}
