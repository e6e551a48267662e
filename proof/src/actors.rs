//! Clients that start runs and act on them, one after the other.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use hyper::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::Options;
use crate::history::Told;
use crate::load::{self, Plan};
use crate::readers::{self, Form};
use crate::world::{Answer, World};

/// Interval in which a waiting client polls.
const LOOK_AGAIN: Duration = Duration::from_millis(40);

/// Starts the clients; each ends when no more runs are to be started and its last run has
/// ended.
pub(crate) fn start(world: &Arc<World>, options: &Options) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for nth in 0..options.actors {
        let rng = Rng::with_seed(options.seed.wrapping_mul(1000).wrapping_add(u64::from(nth)));
        let world = Arc::clone(world);
        clients.spawn(async move {
            let mut rng = rng;
            while world.starts() {
                Actor::begin(&world, &mut rng).await;
            }
        });
    }
    clients
}

/// One client and its run.
struct Actor<'a> {
    world: &'a Arc<World>,
    rng: &'a mut Rng,
    task: &'static str,
    id: String,
    told: Told,
}

impl<'a> Actor<'a> {
    /// One run, from its start to its end.
    async fn begin(world: &'a Arc<World>, rng: &'a mut Rng) {
        let (task, work, plan) = load::any(rng, world.next_nth(), world.has_many());
        let (key, own_id) = names(rng, work.nth);
        let told = Told { work, key, own_id, ..Told::default() };
        let mut actor = Actor { world, rng, task, id: String::new(), told };
        if !actor.start().await {
            return actor.world.note_told(actor.told);
        }
        let mut readers = actor.readers();
        match plan {
            Plan::Leave => {}
            Plan::Cancel => actor.cancel().await,
            Plan::Hold => actor.hold().await,
            Plan::Talk => actor.talk().await,
        }
        actor.see_it_end().await;
        while let Some(read) = readers.join_next().await {
            if let Err(error) = read {
                actor.told.faults.push(format!("a client could not continue to read: {error}"));
            }
        }
        // A request that is repeated much later still has the same key.
        if actor.rng.bool() {
            actor.start().await;
        }
        actor.world.note_told(actor.told);
    }

    /// Starts the run, repeating the request until it gets a response, and sometimes
    /// after that.
    async fn start(&mut self) -> bool {
        let path = match &self.told.own_id {
            Some(id) => format!("/api/tasks/test/{}/runs?id={id}", self.task),
            None => format!("/api/tasks/test/{}/runs", self.task),
        };
        let headers: Vec<(&str, &str)> =
            self.told.key.iter().map(|key| ("idempotency-key", key.as_str())).collect();
        let input = self.told.work.input().to_string();
        for _ in 0..self.rng.u8(1..=2) {
            let answer = self.world.ask(Method::POST, &path, &headers, &input).await;
            match (answer.status, answer.body["id"].as_str()) {
                (202, Some(id)) => self.told.ids.push(id.to_owned()),
                (status, _) => {
                    self.told.faults.push(format!("start answered {status}: {}", answer.body));
                    return false;
                }
            }
        }
        self.id.clone_from(&self.told.ids[0]);
        true
    }

    /// Starts further clients that read the run's stream.
    fn readers(&mut self) -> JoinSet<()> {
        let mut readers = JoinSet::new();
        for form in [Form::Sse, Form::Ndjson] {
            let (world, run, task) = (Arc::clone(self.world), self.id.clone(), self.task.to_owned());
            readers.spawn(readers::follow(world, run, task, form, self.rng.fork()));
        }
        let (world, run, task, mut rng) =
            (Arc::clone(self.world), self.id.clone(), self.task, self.rng.fork());
        readers.spawn(async move {
            for _ in 0..rng.u8(..3) {
                tokio::time::sleep(Duration::from_millis(rng.u64(..1500))).await;
                let form = if rng.bool() { Form::Sse } else { Form::Ndjson };
                let patience = rng.usize(1..2000);
                readers::replay(&world, &run, task, form, patience).await;
            }
        });
        readers
    }

    async fn pause(&mut self, most_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.rng.u64(..most_ms))).await;
    }

    /// Sends a request for the run until it gets a response. Returns false if the run has
    /// ended.
    async fn tell(&mut self, method: Method, what: &str, body: &str) -> bool {
        let path = format!("/api/runs/{}/{what}", self.id);
        let answer = self.world.ask(method, &path, &[], body).await;
        let told = self.was_told(what, &answer);
        let note = match what {
            "pause" => "run.paused",
            "resume" => "run.resumed",
            "cancel" => "run.cancelled",
            _ => "run.parameter",
        };
        *self.told.sent.entry(note).or_default() += 1 + answer.repeated;
        if what == "parameters/level" && answer.repeated > 0 {
            self.told.repeated_levels.extend(body.parse::<u64>());
        }
        // A repeated request may not be in the log: the host may have died after it had
        // paused the run and before it wrote the event. The repeated request then had no
        // effect.
        match what {
            "pause" => self.told.pauses += u64::from(told && answer.repeated == 0),
            "resume" => self.told.resumes += u64::from(told && answer.repeated == 0),
            _ => {}
        }
        told
    }

    fn was_told(&mut self, what: &str, answer: &Answer) -> bool {
        if !matches!(answer.status, 200 | 202 | 409) {
            self.told.faults.push(format!("{what} answered {}: {}", answer.status, answer.body));
        }
        matches!(answer.status, 200 | 202)
    }

    /// The current state of the run, which must exist once it was started.
    async fn look(&mut self) -> Value {
        let answer = self.world.ask(Method::GET, &format!("/api/runs/{}", self.id), &[], "").await;
        if answer.status != 200 {
            self.told.faults.push(format!("the run answered {}: {}", answer.status, answer.body));
        }
        answer.body
    }

    async fn cancel(&mut self) {
        self.pause(1500).await;
        self.told.cancel = Some(false);
        let acknowledged = self.tell(Method::POST, "cancel", "").await;
        self.told.cancel = Some(acknowledged);
    }

    /// Pauses the run for a while, during which the host may be killed, and pauses it
    /// again.
    async fn hold(&mut self) {
        for _ in 0..self.rng.u8(1..=3) {
            self.pause(600).await;
            if !self.tell(Method::POST, "pause", "").await {
                return;
            }
            let mut attempt = None;
            for _ in 0..self.rng.u32(1..40) {
                let run = self.look().await;
                // A run without a checkpoint can't continue after a crash.
                if run["status"] == "failed" {
                    return;
                }
                let first = attempt.get_or_insert_with(|| run["attempt"].clone());
                if run["status"] != "paused" || run["attempt"] != *first {
                    self.told.faults.push(format!("paused in attempt {first}, and then {run}"));
                    break;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            if !self.tell(Method::POST, "resume", "").await {
                return;
            }
        }
        self.pause(300).await;
        self.told.stopped = self.tell(Method::PUT, "parameters/stop", "true").await;
    }

    /// Sends signals and parameters, each with a unique number. A signal without a
    /// response is not repeated, because the run may have received it.
    async fn talk(&mut self) {
        for number in 1..=self.rng.u64(1..25) {
            self.pause(120).await;
            let (signal, value) = (format!("/api/runs/{}/signals/note", self.id), number.to_string());
            let answer = self.world.ask_once(Method::POST, &signal, &[], &value).await;
            let acknowledged = answer.is_some_and(|answer| self.was_told("signal", &answer));
            *self.told.sent.entry("run.signal").or_default() += 1;
            self.told.signals.push((number, acknowledged));
            if self.rng.u8(..3) == 0 {
                let acknowledged = self.tell(Method::PUT, "parameters/level", &value).await;
                self.told.levels.push((number, acknowledged));
            }
        }
        self.told.stopped = self.tell(Method::PUT, "parameters/stop", "true").await;
    }

    async fn see_it_end(&mut self) {
        while self.look().await["finished_at"].is_null() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// An idempotency key, an ID, or both: without them, a repeated request would start
/// another run.
fn names(rng: &mut Rng, nth: u64) -> (Option<String>, Option<String>) {
    let (key, own) = match rng.u8(..3) {
        0 => (true, false),
        1 => (false, true),
        _ => (true, true),
    };
    (key.then(|| format!("key-{nth}")), own.then(|| format!("own-{nth}")))
}
