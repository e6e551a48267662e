//! The start position of a stream.

use hyper::header::HeaderMap;

use super::problem::Problem;
use super::request::{Query, invalid};
use crate::event_log::Position;

/// Query parameter for clients that cannot set the `Last-Event-ID` header.
pub(super) const LAST_EVENT_ID: &str = "lastEventId";

/// The start position that a client requests, before it is compared with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StartPosition {
    /// A position given in the query.
    At(Position),
    /// The last event id that the client's library sent after a lost connection. If the log never had it, the client
    /// gets a notice.
    Resume(String),
}

/// The last event id that the client's library sent, in the header or in the query. An empty one counts as none: an
/// `EventSource` sends it before the first event with an id.
pub(super) fn last_event_id(headers: &HeaderMap, query: &Query) -> Option<String> {
    let header = headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()));
    let sent = |id: &&str| !id.trim().is_empty();
    header.as_deref().filter(sent).or(query.get(LAST_EVENT_ID).filter(sent)).map(str::to_owned)
}

impl StartPosition {
    /// Parse a request. The last event id wins, because an `EventSource` reconnects to a URL that still names the first
    /// position.
    pub(super) fn of(headers: &HeaderMap, query: &Query) -> Result<Self, Problem> {
        if let Some(id) = last_event_id(headers, query) {
            return Ok(Self::Resume(id));
        }
        let has_after = query.get("after").is_some_and(|after| !after.is_empty());
        if has_after && let Some(after) = query.parse("after", "the `seq` of an event, or 0")? {
            return Ok(Self::At(Position::After(after)));
        }
        if let Some(count) = query.parse("tail", "how many of the newest events to begin with")? {
            return Ok(Self::At(Position::Tail(count)));
        }
        match query.get("from") {
            None | Some("start") => Ok(Self::At(Position::After(0))),
            Some("now") => Ok(Self::At(Position::Now)),
            Some("latest") => Ok(Self::At(Position::Tail(1))),
            Some(other) => Err(invalid("from", other, "`start`, `now` or `latest`")),
        }
    }

    /// The position in a log whose newest event is `head`. The error is a last event id that the log never had.
    pub(super) fn resolve(&self, head: u64) -> Result<Position, String> {
        match self {
            Self::At(position) => Ok(*position),
            Self::Resume(id) => match id.trim().parse() {
                Ok(seq) if seq <= head => Ok(Position::After(seq)),
                _ => Err(id.clone()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(header: Option<&str>, query: &str) -> Result<StartPosition, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("last-event-id", header.parse().unwrap());
        }
        StartPosition::of(&headers, &Query::of(&format!("/?{query}").parse().unwrap())?)
    }

    #[test]
    fn a_position_in_the_query_is_parsed() {
        assert_eq!(requested(None, "").unwrap(), StartPosition::At(Position::After(0)));
        assert_eq!(requested(None, "after=12").unwrap(), StartPosition::At(Position::After(12)));
        assert_eq!(requested(None, "tail=3").unwrap(), StartPosition::At(Position::Tail(3)));
        assert_eq!(requested(None, "from=now").unwrap(), StartPosition::At(Position::Now));
        assert_eq!(requested(None, "from=latest").unwrap(), StartPosition::At(Position::Tail(1)));
        for bad in ["after=-1", "after=x", "after=99999999999999999999", "tail=-1", "from=yesterday"] {
            assert!(requested(None, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_last_event_id_may_be_in_the_query_and_an_empty_one_is_ignored() {
        let resumed = |id: &str| StartPosition::Resume(id.to_owned());
        assert_eq!(requested(None, "lastEventId=4&from=now").unwrap(), resumed("4"));
        assert_eq!(requested(Some("5"), "lastEventId=4").unwrap(), resumed("5"));
        for blank in ["", "  "] {
            assert_eq!(
                requested(Some(blank), "lastEventId=&after=&from=now").unwrap(),
                StartPosition::At(Position::Now)
            );
            assert_eq!(requested(Some(blank), "lastEventId=4").unwrap(), resumed("4"));
        }
    }

    #[test]
    fn the_header_wins_and_an_unknown_position_is_an_error() {
        let resume = |id: &str| requested(Some(id), "from=now").unwrap().resolve(10);
        assert_eq!(resume("7"), Ok(Position::After(7)));
        assert_eq!(resume("10"), Ok(Position::After(10)));
        assert_eq!(resume("0"), Ok(Position::After(0)));
        for unknown in ["11", "-1", "abc", "1.5", "99999999999999999999"] {
            assert_eq!(resume(unknown), Err(unknown.to_owned()));
        }
    }
}
