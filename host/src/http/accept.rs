//! Which of the offered media types a client wants most.

/// The best of `offers` (in the host's order of preference) for an `Accept`
/// header; none if nothing offered is accepted. No header accepts everything.
pub(super) fn best<'a>(accept: Option<&str>, offers: &[&'a str]) -> Option<&'a str> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return offers.first().copied();
    };
    let ranges: Vec<Range<'_>> = accept.split(',').filter_map(Range::parse).collect();
    let quality = |offer: &str| {
        // The most specific range that matches decides, not the one with the highest quality; of those, the best.
        ranges.iter().filter_map(|range| range.matches(offer).map(|rank| (rank, range.quality))).max()
    };
    let mut best: Option<(u16, &'a str)> = None;
    for &offer in offers {
        if let Some((_, quality)) = quality(offer)
            && quality > best.map_or(0, |(quality, _)| quality)
        {
            best = Some((quality, offer));
        }
    }
    best.map(|(_, offer)| offer)
}

/// One entry of the header, such as `text/*;q=0.5`.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let quality = quality.map_or(Some(1.0), |quality| quality.trim().parse::<f32>().ok())?;
        Some(Self { kind, subtype, quality: (quality.clamp(0.0, 1.0) * 1000.0) as u16 })
    }

    /// How specifically the range matches, if it does.
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
    fn the_first_offer_wins_without_a_wish() {
        for accept in [None, Some(""), Some("*/*"), Some("text/html, */*;q=0.1")] {
            assert_eq!(best(accept, &OFFERS), Some("text/event-stream"), "{accept:?}");
        }
    }

    #[test]
    fn a_wish_is_followed() {
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
    fn nothing_acceptable_is_nothing() {
        for accept in ["text/html", "image/*", "application/json;q=0", "nonsense", "a/b;q=x"] {
            assert_eq!(best(Some(accept), &OFFERS), None, "{accept}");
        }
    }
}
