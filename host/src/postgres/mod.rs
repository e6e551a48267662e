//! Connections to PostgreSQL: where it is, whom to trust, how long to wait, and when to try again.
//!
//! ```text
//! DatabaseUrl ──▶ Connector ──▶ Session       one connection: `query`, `query_opt`, `query_one`, `execute`, `batch`
//!                     │
//!                     ├──────▶ Connection     keeps one session, for a lane or a listener: `session().await` waits for it
//!                     └──────▶ Pool           keeps several, for reads: `session().await` gives one to one caller
//! ```
//!
//! - **A session is never repaired.** After an error of the class [`ErrorClass::Disconnected`] it closes, and whoever needs
//!   one takes the next from the [`Connection`] or the [`Pool`]. Whether the statement was carried out is for the caller to
//!   find out.
//! - **A statement ends within a bound.** The server ends it after [`STATEMENT_TIMEOUT`], a wait for a lock after
//!   [`LOCK_TIMEOUT`]; a server that says nothing is given up [`ANSWER_MARGIN`] later. A dropped future leaves the session
//!   usable: the answer is skipped when it comes. That holds because no caller opens a transaction: each statement is one.
//! - **Text of statements is the key of prepared statements**, so it has no values in it.
//! - **When the database is away, one connection of the process tries**, after a pause of 0.1 to 5 s that is drawn at random
//!   (or all hosts would come back at one moment), and the others follow when it succeeds. [`Connector::outage`] has the
//!   reason meanwhile.
//! - **Only a server that accepts writes is used**, also for reads, of which the host expects its own writes. If a server
//!   reports that it has become read-only (SQLSTATE 25006), all sessions are closed.
//! - **No encryption is never a fallback** (`url`). The password is in no log line, error or `Debug` text.
//!
//! Session settings: `search_path` is the schema of the host and nothing else, `lock_timeout`, `statement_timeout`,
//! `idle_in_transaction_session_timeout`, and what [`SessionSettings`] has. They are set by a statement and not in the first
//! message, because poolers refuse that.
//!
//! Knows nothing of tables, nor of what is stored.

mod certificate;
mod connection;
mod connector;
mod error;
mod pool;
mod session;
mod tls;
mod url;

#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use connector::{Connector, Outage, SchemaName, SetupError};
pub use error::{Error, ErrorClass};
pub use pool::{Pool, PooledSession};
pub use session::{ANSWER_MARGIN, LOCK_TIMEOUT, OnNotification, STATEMENT_TIMEOUT, Session, SessionSettings};
pub use url::{DatabaseUrl, InvalidUrl};

/// Result of a statement or of an attempt to connect.
pub type Result<T, E = Error> = std::result::Result<T, E>;
