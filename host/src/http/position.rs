//! Where a reader wants to begin.

use hyper::header::HeaderMap;

use super::problem::Problem;
use super::request::{Query, invalid};
use crate::event_log::Position;

/// Query parameter for clients that cannot set the `Last-Event-ID` header.
pub(super) const LAST_EVENT_ID: &str = "lastEventId";

/// A reader's wish, before it is compared with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A position by the reader's own words.
    At(Position),
    /// What the reader's machinery sent back after a lost connection. It is
    /// resumed if it can be; a position that the log never had is told apart.
    Resume(String),
}

/// The position that the reader's machinery sent back, in the header or, where it can't set that, in the query. An
/// empty one is what an `EventSource` has before the first event that has an id.
pub(super) fn last_event_id(headers: &HeaderMap, query: &Query) -> Option<String> {
    let header = headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()));
    let sent = |id: &&str| !id.trim().is_empty();
    header.as_deref().filter(sent).or(query.get(LAST_EVENT_ID).filter(sent)).map(str::to_owned)
}

impl Wish {
    /// The header wins: it is what an `EventSource` sends when it comes back to an
    /// address that names another position.
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

    /// The position in a log whose newest event is `head`. An error says what the
    /// reader sent that the log never had.
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

    fn wish(header: Option<&str>, query: &str) -> Result<Wish, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("last-event-id", header.parse().unwrap());
        }
        Wish::of(&headers, &Query::of(&format!("/?{query}").parse().unwrap())?)
    }

    #[test]
    fn a_query_is_taken_at_its_word() {
        assert_eq!(wish(None, "").unwrap(), Wish::At(Position::After(0)));
        assert_eq!(wish(None, "after=12").unwrap(), Wish::At(Position::After(12)));
        assert_eq!(wish(None, "tail=3").unwrap(), Wish::At(Position::Tail(3)));
        assert_eq!(wish(None, "from=now").unwrap(), Wish::At(Position::Now));
        assert_eq!(wish(None, "from=latest").unwrap(), Wish::At(Position::Tail(1)));
        for bad in ["after=-1", "after=x", "after=99999999999999999999", "tail=-1", "from=yesterday"] {
            assert!(wish(None, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_position_may_come_in_the_query_and_an_empty_one_is_none() {
        let resumed = |id: &str| Wish::Resume(id.to_owned());
        assert_eq!(wish(None, "lastEventId=4&from=now").unwrap(), resumed("4"));
        assert_eq!(wish(Some("5"), "lastEventId=4").unwrap(), resumed("5"));
        for blank in ["", "  "] {
            assert_eq!(wish(Some(blank), "lastEventId=&after=&from=now").unwrap(), Wish::At(Position::Now));
            assert_eq!(wish(Some(blank), "lastEventId=4").unwrap(), resumed("4"));
        }
    }

    #[test]
    fn the_header_wins_and_an_unknown_position_is_told() {
        let resume = |id: &str| wish(Some(id), "from=now").unwrap().resolve(10);
        assert_eq!(resume("7"), Ok(Position::After(7)));
        assert_eq!(resume("10"), Ok(Position::After(10)));
        assert_eq!(resume("0"), Ok(Position::After(0)));
        for unknown in ["11", "-1", "abc", "1.5", "99999999999999999999"] {
            assert_eq!(resume(unknown), Err(unknown.to_owned()));
        }
    }
}
