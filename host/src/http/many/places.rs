//! How far each of several runs is read, as one position.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hyper::header::HeaderMap;

use super::MAX_OPEN;
use crate::http::request::Query;

/// Longest position: a number and a place for each run, in decimal.
const MAX_POSITION_BYTES: usize = 32 * (MAX_OPEN + 1);

/// How far each run is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// The newest run that was taken up; older ones that are not open have ended.
    pub(super) taken: i64,
    /// The last event of each run that has not ended.
    pub(super) open: BTreeMap<i64, u64>,
}

impl Places {
    /// `TAKEN`, and `-RUN.SEQ` for each that is open.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_POSITION_BYTES {
            return None;
        }
        let mut parts = text.split('-');
        let taken = parts.next()?.parse().ok().filter(|taken| *taken >= 0)?;
        let mut open = BTreeMap::new();
        for part in parts {
            let (run, seq) = part.split_once('.')?;
            let run = run.parse().ok().filter(|run| (1..=taken).contains(run))?;
            open.insert(run, seq.parse().ok()?);
        }
        (open.len() <= MAX_OPEN).then_some(Self { taken, open })
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.taken.to_string();
        for (run, seq) in &self.open {
            write!(text, "-{run}.{seq}").expect("writing to memory can't fail");
        }
        text
    }
}

/// Positions that clients send, for the fuzzer.
pub(in crate::http) fn positions(headers: &HeaderMap, query: &Query) {
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    for text in header.into_iter().chain(query.all("after")) {
        if let Some(places) = Places::parse(text) {
            assert!(places.open.len() <= MAX_OPEN && places.open.keys().all(|run| *run <= places.taken));
            assert_eq!(Places::parse(&places.text()), Some(places));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let open = BTreeMap::from([(3, 0), (7, u64::MAX)]);
        for places in
            [Places::default(), Places { taken: 9, open }, Places { taken: i64::MAX, ..Places::default() }]
        {
            assert_eq!(Places::parse(&places.text()), Some(places));
        }
    }

    #[test]
    fn what_is_no_position_is_none() {
        let long = "9".to_owned() + &"-1.1".repeat(2000);
        for text in
            ["", "-", "x", "-1", "5-", "5-6.1", "5-0.1", "5-1", "5-1.-1", "5-1.1.1", "5-1.x", "5 -1.1", &long]
        {
            assert_eq!(Places::parse(text), None, "{text}");
        }
    }
}
