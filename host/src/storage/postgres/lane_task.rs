//! The task of one lane.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_postgres::types::ToSql;

use super::group::{Command, Plain};
use super::lane_queue::{LaneQueue, Next};
use super::lane_state::{GATED_LANES, LaneState};
use super::log_group::Gate;
use super::statement::{Group, answer_submits};
use crate::model::HostId;
use crate::postgres::{Connection, Connector, Error, ErrorClass, Session, SessionSettings};
use crate::storage::StorageError;

/// Pause before a statement is retried that the server can't carry out now.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Most pause before a statement is sent again that lost against another transaction. At random, so that the two do not
/// meet again.
const CONFLICT_PAUSE: Duration = Duration::from_millis(20);
/// Times in a row that a statement may lose before callers are told that it can't be carried out.
const MAX_CONFLICTS: u32 = 5;
pub(super) struct LaneTask {
    lane: usize,
    connection: Connection,
    connector: Connector,
    commands: mpsc::UnboundedReceiver<Command>,
    /// What has arrived and is not carried out yet.
    queue: LaneQueue,
    /// The number of the last statement of each host.
    done: HashMap<i64, i64>,
    state: Arc<LaneState>,
    closing: bool,
}

/// What became of a group.
enum Sent {
    /// It was carried out, now or before, with this answer.
    Done(String),
    /// The host was declared dead. Nothing was written.
    Fenced,
    /// The server refuses it, and would again. Nothing was written.
    Rejected(Error),
    /// The server can't carry it out now. Nothing was written.
    NotNow(Error),
    /// The storage is closed while the database is away. Whether it was carried out is not known.
    Closed,
}

/// What the row of the gate says.
enum Look {
    /// What became of the statement.
    Found(Sent),
    /// It was not carried out, because it needs this number.
    Renumber(i64),
}

impl LaneTask {
    pub(super) fn new(
        lane: usize,
        connector: &Connector,
        settings: SessionSettings,
        commands: mpsc::UnboundedReceiver<Command>,
        state: Arc<LaneState>,
    ) -> Self {
        Self {
            lane,
            connection: Connection::open(connector, settings),
            connector: connector.clone(),
            commands,
            queue: LaneQueue::default(),
            done: HashMap::new(),
            state,
            closing: false,
        }
    }

    /// Carries out commands until it is closed.
    pub(super) async fn run(mut self) {
        loop {
            self.gather();
            if self.queue.is_empty() {
                if self.closing {
                    break;
                }
                if self.lane > 0 {
                    // What could not be written is not waited for any more. The queue's lane always has a next statement.
                    self.state.note_health(self.lane, None);
                }
                match self.commands.recv().await {
                    Some(command) => self.take(command),
                    None => break,
                }
                continue;
            }
            // Before commands are taken from the queue, so that callers get their error while the database is away.
            if self.session().await.is_none() {
                break;
            }
            match self.queue.next() {
                Some(Next::Group(group)) => self.carry_out(group).await,
                Some(Next::Plain(plain)) => self.carry_out_plain(plain).await,
                None => {}
            }
        }
        self.refuse_the_rest();
    }

    /// Takes all commands that have arrived.
    fn gather(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.take(command);
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Close => {
                self.closing = true;
                self.commands.close();
            }
            command => self.queue.push(command),
        }
    }

    /// A session. While the database is away, callers that can come again get an error. None if it is closed meanwhile.
    async fn session(&mut self) -> Option<Arc<Session>> {
        loop {
            self.gather();
            if !self.connection.is_connected()
                && let Some(outage) = self.connector.outage()
            {
                let error = StorageError::Unavailable(outage.error);
                self.queue.refuse_what_can_come_again(&error, self.closing);
                if self.closing {
                    return None;
                }
            }
            tokio::select! {
                biased;
                session = self.connection.session() => {
                    self.note_connected(true);
                    return Some(session);
                }
                command = self.commands.recv(), if !self.closing => match command {
                    Some(command) => self.take(command),
                    // Nobody can wait for an answer any more.
                    None => return None,
                },
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        }
    }

    fn refuse_the_rest(mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.queue.push(command);
        }
        self.queue.refuse_all(&StorageError::Closed);
    }

    /// Sends a statement without a gate.
    async fn carry_out_plain(&mut self, plain: Plain) {
        let mut conflicts = 0;
        let error = loop {
            let Some(session) = self.session().await else {
                return Command::Plain(plain).refuse(&StorageError::Closed);
            };
            let parameters: Vec<&(dyn ToSql + Sync)> =
                plain.parameters.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
            match session.query(plain.sql, &parameters).await {
                Ok(rows) => {
                    self.state.note_health(self.lane, None);
                    // The caller may be gone.
                    let _ = plain.answer.send(Ok(rows));
                    return;
                }
                Err(error) if error.class() == ErrorClass::Conflict && conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                    tokio::time::sleep(CONFLICT_PAUSE.mul_f64(fastrand::f64())).await;
                }
                Err(error) => break error,
            }
        };
        match error.class() {
            ErrorClass::Rejected => {
                tracing::error!(%error, "one statement failed and is rejected");
                let _ = plain.answer.send(Err(unavailable(&error)));
            }
            ErrorClass::Disconnected => {
                self.lost_connection();
                self.queue.push_front(Command::Plain(plain));
            }
            ErrorClass::Conflict | ErrorClass::Unavailable => {
                self.queue.push_front(Command::Plain(plain));
                self.wait_for_the_server(&error).await;
            }
        }
    }

    /// Sends a group, and the results to its callers.
    async fn carry_out(&mut self, group: Group) {
        match self.send(&group).await {
            Sent::Done(answer) => {
                self.state.note_health(self.lane, None);
                match group {
                    Group::Log(group) => {
                        for again in group.complete(&answer, self.queue.seqs()).into_iter().rev() {
                            self.queue.push_front(again);
                        }
                    }
                    Group::Submits(submits) => answer_submits(submits, &answer),
                    // The caller may be gone; the write stands.
                    Group::Call(call) => drop(call.answer.send(Ok(answer))),
                }
            }
            Sent::Fenced if group.host().is_none() => {
                // The host of this process was declared dead, but the caller needs none.
                self.state.set_writer(None);
                self.queue.put_back(group);
            }
            Sent::Fenced => {
                self.queue.forget_seqs();
                group.refuse(&StorageError::Fenced);
            }
            Sent::Rejected(error) if group.len() > 1 => {
                tracing::debug!(%error, "a group was refused; its commands are sent one by one");
                self.queue.put_back_alone(group);
            }
            Sent::Rejected(error) => {
                // A fault of the host in one command must not block all others for ever.
                tracing::error!(%error, "one write failed and is rejected");
                self.queue.forget_seqs();
                group.refuse(&unavailable(&error));
            }
            Sent::NotNow(error) => self.not_now(group, &error).await,
            Sent::Closed => group.refuse(&StorageError::Closed),
        }
    }

    /// Rejects what callers can repeat themselves, and keeps the rest for later.
    async fn not_now(&mut self, group: Group, error: &Error) {
        if error.class() == ErrorClass::Conflict {
            // It is the group that waits for another transaction, and not what came after it.
            for command in group.into_commands().into_iter().rev() {
                match command.must_be_done() && !self.closing {
                    true => self.queue.push_front(command),
                    false => command.refuse(&unavailable(error)),
                }
            }
            self.queue.forget_seqs();
            return;
        }
        match error.code() {
            // Too much for one statement, perhaps.
            Some("57014") => self.queue.put_back_alone(group),
            _ => self.queue.put_back(group),
        }
        self.wait_for_the_server(error).await;
    }

    /// Rejects what callers can repeat themselves, and waits before the rest is tried again.
    async fn wait_for_the_server(&mut self, error: &Error) {
        self.state.note_health(self.lane, Some(error.to_string()));
        self.queue.refuse_what_can_come_again(&unavailable(error), self.closing);
        if !self.queue.is_empty() {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Forgets what was known of the database: another host may have written meanwhile.
    fn lost_connection(&mut self) {
        self.queue.forget_seqs();
        self.note_connected(false);
    }

    fn note_connected(&self, is_connected: bool) {
        if self.lane == 0 {
            self.state.set_connected(is_connected);
        }
    }

    /// Sends the statement of a group until it is known what became of it.
    async fn send(&mut self, group: &Group) -> Sent {
        let host = match group.host() {
            Some(host) => host,
            None => match self.writer().await {
                Ok(host) => host,
                Err(sent) => return sent,
            },
        };
        let n = match self.number(host).await {
            Ok(n) => n,
            Err(sent) => return sent,
        };
        let mut gate = Gate { host, lane: self.lane as i32, n };
        let (mut conflicts, mut may_be_done) = (0, false);
        loop {
            let Some(session) = self.session().await else { return Sent::Closed };
            let error = match group.send(&session, gate).await {
                Ok(Some(answer)) => {
                    self.done.insert(host, gate.n);
                    return Sent::Done(answer);
                }
                Ok(None) => match self.look(&session, gate, may_be_done).await {
                    Ok(Look::Found(sent)) => return sent,
                    Ok(Look::Renumber(n)) => {
                        gate.n = n;
                        continue;
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            match error.class() {
                // Behind the gate. So an earlier send was not carried out.
                ErrorClass::Rejected => return Sent::Rejected(error),
                ErrorClass::Disconnected => {
                    self.lost_connection();
                    may_be_done = true;
                }
                ErrorClass::Conflict if conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                    tokio::time::sleep(CONFLICT_PAUSE.mul_f64(fastrand::f64())).await;
                }
                // An earlier send may still be under way, and nothing else may have its number.
                ErrorClass::Conflict | ErrorClass::Unavailable if may_be_done => {
                    // Who comes meanwhile gets an answer, and a host that stops does not wait for a server that refuses.
                    while let Ok(command) = self.commands.try_recv() {
                        self.take(command);
                    }
                    self.wait_for_the_server(&error).await;
                    if self.closing {
                        return Sent::Closed;
                    }
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                ErrorClass::Conflict | ErrorClass::Unavailable => return Sent::NotNow(error),
            }
        }
    }

    /// Why the gate was closed.
    async fn look(&mut self, session: &Session, gate: Gate, may_be_done: bool) -> Result<Look, Error> {
        self.done.remove(&gate.host);
        let sql = "SELECT done, fenced, answer FROM lanes WHERE host = $1 AND lane = $2";
        let Some(row) = session.query_opt(sql, &[&gate.host, &(gate.lane as i16)]).await? else {
            return Ok(Look::Found(Sent::Fenced));
        };
        let (done, is_fenced): (i64, bool) = (row.get(0), row.get(1));
        if done == gate.n && may_be_done {
            // It was carried out before its connection was lost, even if the host was declared dead since.
            self.done.insert(gate.host, gate.n);
            let answer = row.get::<_, Option<String>>(2).unwrap_or_default();
            return Ok(Look::Found(Sent::Done(answer)));
        }
        if is_fenced {
            return Ok(Look::Found(Sent::Fenced));
        }
        tracing::error!(gate.host, gate.lane, "another process writes in the name of this host");
        // What was sent once and answered was not carried out. Of what may have been, the marker is lost.
        Ok(if may_be_done { Look::Found(Sent::Fenced) } else { Look::Renumber(done + 1) })
    }

    /// The number of the next statement of the host.
    async fn number(&mut self, host: i64) -> Result<i64, Sent> {
        if let Some(done) = self.done.get(&host) {
            return Ok(done + 1);
        }
        loop {
            let Some(session) = self.session().await else { return Err(Sent::Closed) };
            let sql = "SELECT done FROM lanes WHERE host = $1 AND lane = $2 AND NOT fenced";
            match session.query_opt(sql, &[&host, &(self.lane as i16)]).await {
                Ok(Some(row)) => {
                    let done: i64 = row.get(0);
                    self.done.insert(host, done);
                    return Ok(done + 1);
                }
                Ok(None) => return Err(Sent::Fenced),
                Err(error) if error.class() == ErrorClass::Disconnected => self.lost_connection(),
                Err(error) => return Err(Sent::NotNow(error)),
            }
        }
    }

    /// The number under which writes pass the gate that no host has to be alive for. Without a host in this process, it is
    /// a new one, which has no lease and owns no runs.
    async fn writer(&mut self) -> Result<i64, Sent> {
        let id = HostId::new();
        loop {
            if let Some(writer) = self.state.writer() {
                return Ok(writer);
            }
            let Some(session) = self.session().await else { return Err(Sent::Closed) };
            let row =
                session.query_one("SELECT host_no_1($1, false, $2)", &[&id.as_str(), &GATED_LANES]).await;
            match row {
                Ok(row) => self.state.set_writer(row.get(0)),
                Err(error) if error.class() == ErrorClass::Disconnected => self.lost_connection(),
                Err(error) => return Err(Sent::NotNow(error)),
            }
        }
    }
}

fn unavailable(error: &Error) -> StorageError {
    StorageError::Unavailable(error.to_string())
}
