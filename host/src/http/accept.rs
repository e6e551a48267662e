//! Quality values of `Accept` and `Accept-Encoding` headers (RFC 9110, section 12.4.2).
//!
//! The parser of both is here, because no library has one. `headers` knows neither header; `mime` and `mediatype` know
//! media types without qualities. `headers-accept` knows `Accept` only: it rejects all of a header for one invalid entry,
//! takes an invalid quality for the highest, and lets the client's order break a tie, where the host's preference should.

/// Parse a list with quality values, such as `gzip;q=0.5, br`. Returns each entry without its parameters and with its
/// quality in thousandths. Entries with an invalid quality are left out.
pub(super) fn weighted(list: &str) -> impl Iterator<Item = (&str, u16)> {
    list.split(',').filter_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next()?;
        let parameters = parts.filter_map(|part| part.split_once('='));
        let mut qualities = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        let quality = qualities.next().map_or(Some(1000), |(_, value)| thousandths(value.trim()))?;
        Some((name, quality))
    })
}

/// Parse a quality from 0 to 1. Larger values count as 1.
fn thousandths(text: &str) -> Option<u16> {
    // `f32` would also accept `inf`, `nan` and `1e3`.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let quality: f32 = text.parse().ok().filter(|_| plain)?;
    Some((quality.clamp(0.0, 1.0) * 1000.0) as u16)
}

/// Select the best of `offers`, which are in the host's order of preference, for an `Accept` header. `None` if the client
/// accepts none of them. Without a header, it accepts all. Of two with the same quality, one that the header names wins
/// over one that only matches `*/*`.
pub(super) fn best<'a>(accept: Option<&str>, offers: &[&'a str]) -> Option<&'a str> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return offers.first().copied();
    };
    let ranges: Vec<Range<'_>> = weighted(accept).filter_map(Range::of).collect();
    let preference = |offer: &str| {
        // The most specific matching range decides; of several, the one with the highest quality.
        let deciding = ranges.iter().filter_map(|range| Some((range.matches(offer)?, range.quality))).max();
        deciding.map(|(rank, quality)| (quality, rank)).filter(|(quality, _)| *quality > 0)
    };
    let mut best: Option<((u16, u8), &'a str)> = None;
    for &offer in offers {
        if let Some(preference) = preference(offer)
            && best.is_none_or(|(most, _)| preference > most)
        {
            best = Some((preference, offer));
        }
    }
    best.map(|(_, offer)| offer)
}

/// A media range of the header, such as `text/*;q=0.5`.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn of((name, quality): (&'a str, u16)) -> Option<Self> {
        let (kind, subtype) = name.split_once('/')?;
        Some(Self { kind, subtype, quality })
    }

    /// How specifically the range matches. `None` if it does not match.
    fn matches(&self, offer: &str) -> Option<u8> {
        let (kind, subtype) = offer.split_once('/')?;
        if self.kind == "*" && self.subtype == "*" {
            return Some(0);
        }
        if !self.kind.eq_ignore_ascii_case(kind) {
            return None;
        }
        match self.subtype {
            "*" => Some(1),
            own => own.eq_ignore_ascii_case(subtype).then_some(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERS: [&str; 3] = ["text/event-stream", "application/x-ndjson", "application/json"];

    #[test]
    fn the_first_offer_wins_without_a_preference() {
        for accept in [None, Some(""), Some("*/*"), Some("text/html, */*;q=0.1")] {
            assert_eq!(best(accept, &OFFERS), Some("text/event-stream"), "{accept:?}");
        }
    }

    #[test]
    fn a_preference_is_followed() {
        assert_eq!(best(Some("application/json"), &OFFERS), Some("application/json"));
        assert_eq!(best(Some("application/*"), &OFFERS), Some("application/x-ndjson"));
        assert_eq!(
            best(Some("application/json;q=0.2, application/x-ndjson"), &OFFERS),
            Some("application/x-ndjson")
        );
        assert_eq!(best(Some("text/event-stream;q=0, */*"), &OFFERS), Some("application/x-ndjson"));
        let twice = "application/json, application/json;q=0.1, application/x-ndjson;q=0.5";
        assert_eq!(best(Some(twice), &OFFERS), Some("application/json"), "in any order");
        assert_eq!(best(Some("APPLICATION/JSON; charset=utf-8"), &OFFERS), Some("application/json"));
    }

    #[test]
    fn a_named_type_wins_over_one_that_matches_a_wildcard() {
        let json_first = ["application/json", "text/event-stream", "application/x-ndjson"];
        for (accept, expected) in [
            ("text/event-stream, */*", "text/event-stream"),
            ("*/*, application/x-ndjson", "application/x-ndjson"),
            ("text/event-stream, application/*", "text/event-stream"),
            ("text/event-stream;q=0.9, */*", "application/json"),
            ("application/json, text/event-stream", "application/json"),
            ("*/*", "application/json"),
        ] {
            assert_eq!(best(Some(accept), &json_first), Some(expected), "{accept}");
        }
        assert_eq!(best(Some("application/x-ndjson, */*"), &OFFERS), Some("application/x-ndjson"));
    }

    #[test]
    fn a_quality_is_parsed_in_either_case_and_only_if_valid() {
        let read = |list| weighted(list).collect::<Vec<_>>();
        assert_eq!(read("gzip;Q=0, br ; q=0.25"), [("gzip", 0), ("br", 250)]);
        assert_eq!(read("a/b;level=1;q=1.000, c/d;q=7"), [("a/b", 1000), ("c/d", 1000)]);
        assert_eq!(read("a;q=x, b;q=nan, c;q=inf, d;q=-1, e;q=1e1, f;q=, g"), [("g", 1000)]);
    }

    #[test]
    fn an_offer_that_is_not_accepted_is_not_selected() {
        for accept in ["text/html", "image/*", "application/json;q=0", "nonsense", "a/b;q=x"] {
            assert_eq!(best(Some(accept), &OFFERS), None, "{accept}");
        }
    }
}
