//! Errors of statements, classed by what the caller can do about them.

use std::error::Error as StdError;
use std::fmt::{self, Display};
use std::io;

use tokio_postgres::error::{DbError, Severity};

/// What the caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The statement is at fault: a value or a limit (SQLSTATE 22, 23, 54). It would fail again, so what asked for it is
    /// refused, alone.
    Rejected,
    /// It lost against another transaction: a deadlock, a lock that was not free in time (40001, 40P01, 55P03). Nothing was
    /// changed. Send it again.
    Conflict,
    /// The connection is of no use any more, or the server accepts no writes (08, 25006, 57P01 to 57P03, input and output).
    /// It may have been carried out. Take the next session, and find out.
    Disconnected,
    /// The server can't carry it out now: no space, no memory, too slow, a function that the schema lacks. Nothing was
    /// changed. Wait, then send it again.
    Unavailable,
}

/// Error of a connection attempt or of a statement.
#[derive(Debug)]
pub struct Error {
    class: ErrorClass,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Postgres(tokio_postgres::Error),
    /// No answer from the server, or something that its answer tells.
    Ours(String),
}

impl Error {
    pub(super) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, source: Source::Ours(message.into()) }
    }

    /// Error of an attempt to connect: whatever it is, there is no connection.
    pub(super) fn of_connecting(error: tokio_postgres::Error) -> Self {
        Self { class: ErrorClass::Disconnected, source: Source::Postgres(error) }
    }

    /// What the caller can do about it.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// The SQLSTATE, if the server sent the error.
    pub fn code(&self) -> Option<&str> {
        self.of_server().map(|error| error.code().code())
    }

    /// The constraint that was violated, if one was.
    pub fn constraint(&self) -> Option<&str> {
        self.of_server().and_then(DbError::constraint)
    }

    /// What the server sent, with the place in a function of the database.
    pub(super) fn of_server(&self) -> Option<&DbError> {
        match &self.source {
            Source::Postgres(error) => error.as_db_error(),
            Source::Ours(_) => None,
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self { class: class(&error), source: Source::Postgres(error) }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.of_server()) {
            (_, Some(error)) => write!(f, "{} (SQLSTATE {})", error.message(), error.code().code()),
            (Source::Ours(message), None) => f.write_str(message),
            (Source::Postgres(error), None) => match error.source() {
                // The library's own words for it only name the place in the library.
                Some(cause) => write!(f, "{error}: {cause}"),
                None => write!(f, "{error}"),
            },
        }
    }
}

impl StdError for Error {}

fn class(error: &tokio_postgres::Error) -> ErrorClass {
    if let Some(error) = error.as_db_error() {
        // The server ends the connection after these.
        let is_last = matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
        // A prepared statement would return other columns than when it was prepared, because the schema was migrated.
        let is_stale = error.routine() == Some("RevalidateCachedQuery");
        let is_over = is_last || is_stale;
        return if is_over { ErrorClass::Disconnected } else { of_code(error.code().code()) };
    }
    if error.is_closed() {
        return ErrorClass::Disconnected;
    }
    match error.source().and_then(|cause| cause.downcast_ref::<io::Error>()) {
        // A parameter that no message can carry, such as one of more than 2 GiB.
        Some(error) if error.kind() == io::ErrorKind::InvalidInput => ErrorClass::Rejected,
        Some(_) => ErrorClass::Disconnected,
        // The library does not tell kinds of errors apart in another way.
        None if error.to_string().starts_with("unexpected message") => ErrorClass::Disconnected,
        // Parameters or columns of another type: a fault of ours, which would happen again.
        None => ErrorClass::Rejected,
    }
}

fn of_code(code: &str) -> ErrorClass {
    match code {
        "40001" | "40P01" | "55P03" => ErrorClass::Conflict,
        // It has become a replica; it stops; it has lost a prepared statement, which a new session prepares again.
        "25006" | "57P01" | "57P02" | "57P03" | "26000" => ErrorClass::Disconnected,
        _ => match code.get(..2) {
            Some("22" | "23" | "54") => ErrorClass::Rejected,
            Some("08") => ErrorClass::Disconnected,
            _ => ErrorClass::Unavailable,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_what_can_be_done() {
        for (class, codes) in [
            (ErrorClass::Rejected, &["22021", "22P02", "23505", "23514", "54000"][..]),
            (ErrorClass::Conflict, &["40001", "40P01", "55P03"]),
            (ErrorClass::Disconnected, &["08000", "08006", "25006", "57P01", "57P02", "57P03", "26000"]),
            (ErrorClass::Unavailable, &["53100", "53200", "57014", "42P01", "42883", "XX000", "58030", ""]),
        ] {
            for code in codes {
                assert_eq!(of_code(code), class, "{code}");
            }
        }
    }
}
