//! The cursor of a stream of several runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::MAX_OPEN_RUNS;

/// Longest cursor in bytes: two decimal numbers for each run.
const MAX_CURSOR_BYTES: usize = 32 * (MAX_OPEN_RUNS + 1);

/// The position in the logs of several runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The number of the newest run that was opened. Older ones that are not in `open` were read to their end.
    pub(super) newest: i64,
    /// The last event of each run that was not read to its end, by run number.
    pub(super) open: BTreeMap<i64, u64>,
}

impl Cursor {
    /// Parse `NEWEST`, followed by `-RUN.SEQ` for each open run.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_CURSOR_BYTES {
            return None;
        }
        let mut parts = text.split('-');
        let newest = parts.next()?.parse().ok().filter(|newest| *newest >= 0)?;
        let mut open = BTreeMap::new();
        for part in parts {
            let (run, seq) = part.split_once('.')?;
            let run = run.parse().ok().filter(|run| (1..=newest).contains(run))?;
            open.insert(run, seq.parse().ok()?);
        }
        (open.len() <= MAX_OPEN_RUNS).then_some(Self { newest, open })
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.newest.to_string();
        for (run, seq) in &self.open {
            write!(text, "-{run}.{seq}").expect("writing to memory can't fail");
        }
        text
    }
}

/// Check the cursors of a request, for the fuzzer.
#[cfg(feature = "fuzzing")]
pub(in crate::http) fn check_cursors(
    headers: &hyper::header::HeaderMap,
    query: &crate::http::request::Query,
) {
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    for text in header.into_iter().chain(query.all("after")) {
        if let Some(cursor) = Cursor::parse(text) {
            assert!(
                cursor.open.len() <= MAX_OPEN_RUNS && cursor.open.keys().all(|run| *run <= cursor.newest)
            );
            assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_parsed_as_it_was_written() {
        let open = BTreeMap::from([(3, 0), (7, u64::MAX)]);
        for cursor in
            [Cursor::default(), Cursor { newest: 9, open }, Cursor { newest: i64::MAX, ..Cursor::default() }]
        {
            assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        }
    }

    #[test]
    fn an_invalid_cursor_is_rejected() {
        let long = "9".to_owned() + &"-1.1".repeat(2000);
        for text in
            ["", "-", "x", "-1", "5-", "5-6.1", "5-0.1", "5-1", "5-1.-1", "5-1.1.1", "5-1.x", "5 -1.1", &long]
        {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
