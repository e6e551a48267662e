//! How clients reach a host that may be gone at any moment, and where they note
//! what they saw.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::Value;
use streamtask_tests::Connection;

use crate::history::{History, Sight, Told};

/// Pause before a host that is gone is asked again.
const PAUSE: Duration = Duration::from_millis(15);
/// Longest time that an answer may take; a host that is held up by others on the
/// same cores is slow, not broken.
const ANSWER: Duration = Duration::from_secs(30);

/// What all clients share.
pub(crate) struct World {
    address: SocketAddr,
    starting: AtomicBool,
    next_nth: AtomicU64,
    lost_answers: AtomicU64,
    /// Every line once, however many clients saw it.
    lines: Mutex<HashMap<(String, u64), Arc<str>>>,
    sights: Mutex<Vec<Sight>>,
    told: Mutex<Vec<Told>>,
}

/// An answer.
pub(crate) struct Answer {
    /// Whether earlier requests got no answer.
    pub(crate) repeated: bool,
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl World {
    pub(crate) fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            address,
            starting: AtomicBool::new(true),
            next_nth: AtomicU64::new(1),
            lost_answers: AtomicU64::new(0),
            lines: Mutex::default(),
            sights: Mutex::default(),
            told: Mutex::default(),
        })
    }

    /// Whether more runs are to be started.
    pub(crate) fn starts(&self) -> bool {
        self.starting.load(Ordering::Relaxed)
    }

    pub(crate) fn stop_starting(&self) {
        self.starting.store(false, Ordering::Relaxed);
    }

    /// A number that no other run has.
    pub(crate) fn next_nth(&self) -> u64 {
        self.next_nth.fetch_add(1, Ordering::Relaxed)
    }

    /// A connection, as soon as somebody listens.
    pub(crate) async fn connect(&self) -> Connection {
        loop {
            if let Some(connection) = Connection::try_open(self.address).await {
                return connection;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks until there is an answer that is no 503: that one says that nothing was
    /// done.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut repeated = false;
        loop {
            if let Some(answer) = self.ask_once(method.clone(), path, headers, body).await {
                return Answer { repeated, ..answer };
            }
            repeated = true;
        }
    }

    /// Asks until an answer comes or is lost; nobody knows then what was done.
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
                Some(Answer {
                    repeated: false,
                    status,
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                })
            };
            match tokio::time::timeout(ANSWER, asked).await {
                Ok(Some(answer)) if answer.status == 503 => tokio::time::sleep(PAUSE).await,
                Ok(Some(answer)) => return Some(answer),
                Ok(None) | Err(_) => {
                    self.lost_answers.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
            }
        }
    }

    /// The line as it was seen first, if this one is the same.
    pub(crate) fn seen(&self, run: &str, seq: u64, line: String) -> Arc<str> {
        let mut lines = self.lines.lock().expect("no panic while held");
        let first = lines.entry((run.to_owned(), seq)).or_insert_with(|| Arc::from(line.as_str()));
        if **first == *line { Arc::clone(first) } else { Arc::from(line) }
    }

    pub(crate) fn note(&self, sight: Sight) {
        self.sights.lock().expect("no panic while held").push(sight);
    }

    pub(crate) fn note_told(&self, told: Told) {
        self.told.lock().expect("no panic while held").push(told);
    }

    /// Ids and paths of the runs that clients know of, and have finished with.
    pub(crate) fn known(&self) -> Vec<String> {
        let told = self.told.lock().expect("no panic while held");
        told.iter().filter_map(|told| told.ids.first().cloned()).collect()
    }

    /// All that was noted.
    pub(crate) fn into_history(self) -> History {
        History {
            told: self.told.into_inner().expect("no panic while held"),
            sights: self.sights.into_inner().expect("no panic while held"),
            lost_answers: self.lost_answers.into_inner(),
        }
    }
}
