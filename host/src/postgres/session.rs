//! One connection, from its start to its end.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Row, SimpleQueryMessage, Statement};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Result;
use super::error::{Error, ErrorClass};
use super::tls::Encrypted;

/// Longest time for a statement: a group of 4,000 events takes 30 ms, and what takes this long holds up others.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a lock. Shorter than [`STATEMENT_TIMEOUT`], so that the error says which it was.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may be silent after it should have ended a statement: for an answer that is on its way.
pub const ANSWER_MARGIN: Duration = Duration::from_secs(5);
/// How long the server waits for the next statement of an open transaction. The host never opens one; this is for the case
/// that a pooler or a later change does.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Settings of the planner. Every statement of the host is meant to walk an index, in its order, and to look other rows up by
/// key. Which plan is cheaper than that depends on statistics, which are older than the tables, and on their size at the
/// moment in which a plan is made, which a session then keeps: these make all other plans the last resort.
const PLANNER: &str = "SET jit TO off; SET enable_seqscan TO off; SET enable_bitmapscan TO off; SET enable_sort TO off;\
                       SET enable_hashjoin TO off; SET enable_mergejoin TO off; SET enable_material TO off;";
/// Time for the last message of a session that is dropped.
const GOODBYE_TIME: Duration = Duration::from_secs(2);
/// Oldest version of PostgreSQL: it has `idle_session_timeout`, and its predecessor is no longer maintained.
const OLDEST_VERSION: u32 = 14;
/// Most prepared statements of a session. Texts are constants, or of a few forms, so more than this is a fault, and must
/// not fill the server's memory.
const MAX_STATEMENTS: usize = 512;

/// What receives the notifications of a session: the channel and the payload. Must not block.
pub type OnNotification = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// Settings of a session.
#[derive(Clone)]
pub struct SessionSettings {
    /// What the session is for. `pg_stat_activity` shows it after the name of the application.
    pub name: String,
    /// Refuses writes.
    pub read_only: bool,
    /// Whether a commit waits for the disk.
    pub synchronous_commit: bool,
    /// None: no limit, for migrations.
    pub statement_timeout: Option<Duration>,
    /// What receives notifications.
    pub on_notification: Option<OnNotification>,
}

impl SessionSettings {
    /// For writes that are on the disk when they are acknowledged.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            read_only: false,
            synchronous_commit: true,
            statement_timeout: Some(STATEMENT_TIMEOUT),
            on_notification: None,
        }
    }

    /// For reads alone.
    pub fn reader(name: impl Into<String>) -> Self {
        Self { read_only: true, ..Self::new(name) }
    }

    /// The statements that prepare a session, and the question whether the server accepts writes, which has to come first:
    /// afterwards the answer would be that of the settings.
    fn statements(&self, schema: &str) -> String {
        let mut sql = format!(
            "SELECT pg_is_in_recovery(), current_setting('transaction_read_only');\
             SET search_path TO \"{schema}\";\
             SET lock_timeout TO {};\
             SET idle_in_transaction_session_timeout TO {};\
             SET idle_session_timeout TO 0;\
             SET client_min_messages TO warning;\
             SET default_transaction_isolation TO 'read committed';\
             SET statement_timeout TO {};",
            LOCK_TIMEOUT.as_millis(),
            IDLE_IN_TRANSACTION_TIMEOUT.as_millis(),
            self.statement_timeout.unwrap_or_default().as_millis(),
        );
        // Else what the server or the database have as their default, which may be stricter than `on`.
        if !self.synchronous_commit {
            sql.push_str("SET synchronous_commit TO off;");
        }
        let _ = write!(sql, "{PLANNER} SET default_transaction_read_only TO {};", self.read_only);
        sql
    }
}

/// One connection. It closes when it is dropped, when it is lost, and after an error of the class
/// [`ErrorClass::Disconnected`].
pub struct Session {
    client: Client,
    /// Prepared statements by their text.
    statements: Mutex<HashMap<Box<str>, Statement>>,
    /// Where it is connected to.
    address: String,
    read_only: bool,
    /// None: no limit.
    answer_timeout: Option<Duration>,
    /// Cancelled when the connection is closed, or is to be.
    over: CancellationToken,
    /// Changed when the server accepts no more writes.
    read_only_servers: watch::Sender<u64>,
    /// Ends the driver, after its last message.
    _dropped: DropGuard,
}

type Driven = tokio_postgres::Connection<tokio_postgres::Socket, Encrypted<tokio_postgres::Socket>>;

impl Session {
    /// Starts to use a connection.
    pub(super) async fn start(
        client: Client,
        connection: Driven,
        address: String,
        schema: &str,
        settings: &SessionSettings,
        read_only_servers: watch::Sender<u64>,
    ) -> Result<Self> {
        let version = connection.parameter("server_version").map(str::to_owned);
        let (over, dropped) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(drive(connection, over.clone(), dropped.clone(), settings.on_notification.clone()));
        let session = Self {
            client,
            statements: Mutex::default(),
            address,
            read_only: settings.read_only,
            answer_timeout: settings.statement_timeout.map(|timeout| timeout + ANSWER_MARGIN),
            over,
            read_only_servers,
            _dropped: dropped.drop_guard(),
        };
        check_version(version.as_deref().unwrap_or_default())?;
        let answer = session.answered(session.client.simple_query(&settings.statements(schema))).await?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((row.get(0), row.get(1))),
            _ => None,
        });
        match row {
            Some((Some("f"), Some("off"))) => Ok(session),
            Some((Some("t"), _)) => Err(disconnected("the server is a replica, which accepts no writes")),
            _ => Err(disconnected("the server accepts no writes (default_transaction_read_only)")),
        }
    }

    /// Where it is connected to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it can't be used any more.
    pub fn is_closed(&self) -> bool {
        self.over.is_cancelled() || self.client.is_closed()
    }

    /// Waits until it can't be used any more.
    pub async fn closed(&self) {
        self.over.cancelled().await;
    }

    /// Closes it. Statements under way fail with [`ErrorClass::Disconnected`].
    pub fn close(&self) {
        self.over.cancel();
    }

    /// All rows of a statement, which is prepared when it is first used.
    pub async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let work = async { self.client.query(&self.prepared(sql).await?, parameters).await };
        self.answered(work).await
    }

    /// The row of a statement with at most one. More are an error.
    pub async fn query_opt(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>> {
        let work = async { self.client.query_opt(&self.prepared(sql).await?, parameters).await };
        self.answered(work).await
    }

    /// The row of a statement with one.
    pub async fn query_one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        let work = async { self.client.query_one(&self.prepared(sql).await?, parameters).await };
        self.answered(work).await
    }

    /// Number of rows that a statement changed.
    pub async fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        let work = async { self.client.execute(&self.prepared(sql).await?, parameters).await };
        self.answered(work).await
    }

    /// Carries out several statements without parameters, in one transaction.
    pub async fn batch(&self, sql: &str) -> Result<()> {
        self.answered(self.client.batch_execute(sql)).await
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        let mut statements = self.statements.lock();
        if statements.len() >= MAX_STATEMENTS {
            statements.clear();
        }
        statements.insert(sql.into(), statement.clone());
        Ok(statement)
    }

    /// Waits for an answer, and closes the session if there is none or if it says that the session is of no use.
    async fn answered<T>(&self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T> {
        if self.is_closed() {
            return Err(disconnected("the connection was closed"));
        }
        let answer = match self.answer_timeout {
            Some(timeout) => tokio::time::timeout(timeout, work).await,
            None => Ok(work.await),
        };
        let error = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Error::from(error),
            Err(_) => {
                let timeout = self.answer_timeout.unwrap_or_default();
                disconnected(format!("the server did not answer for {} s", timeout.as_secs()))
            }
        };
        if let Some(error) = error.of_server() {
            tracing::debug!(?error, address = self.address, "a statement failed");
        }
        if error.class() == ErrorClass::Disconnected {
            self.over.cancel();
        }
        if error.code() == Some("25006") && !self.read_only {
            self.read_only_servers.send_modify(|times| *times += 1);
        }
        Err(error)
    }
}

fn disconnected(message: impl Into<String>) -> Error {
    Error::new(ErrorClass::Disconnected, message)
}

/// Reads the version at the beginning of `15.18 (Debian …)`.
fn check_version(version: &str) -> Result<()> {
    let digits = version.split(|at: char| !at.is_ascii_digit()).next().unwrap_or_default();
    match digits.parse::<u32>() {
        Ok(major) if major < OLDEST_VERSION => Err(disconnected(format!(
            "the server is PostgreSQL {version}; {OLDEST_VERSION} or newer is needed"
        ))),
        // A pooler may send what it likes.
        _ => Ok(()),
    }
}

/// Sends and receives until the connection is closed, or is to be.
async fn drive(
    mut connection: Driven,
    over: CancellationToken,
    dropped: CancellationToken,
    on_notification: Option<OnNotification>,
) {
    let messages = async {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    if let Some(receive) = &on_notification {
                        receive(notification.channel(), notification.payload());
                    }
                }
                Some(Ok(AsyncMessage::Notice(notice))) => {
                    tracing::warn!(notice = notice.message(), "PostgreSQL warns");
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => break Some(Error::from(error)),
                None => break None,
            }
        }
    };
    let goodbye = async {
        dropped.cancelled().await;
        // The library sends its last message after the answers that are still due.
        tokio::time::sleep(GOODBYE_TIME).await;
    };
    tokio::select! {
        error = messages => {
            if let Some(error) = error {
                tracing::debug!(%error, "a connection to the database has ended");
            }
        }
        () = over.cancelled() => {}
        () = goodbye => {}
    }
    over.cancel();
}
