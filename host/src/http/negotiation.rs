//! Content negotiation: the media type of a response, by `?format=` or `Accept`.

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};

use super::accept;
use super::format::{FORMATS, FormatInfo, JSON};
use super::problem::Problem;
use super::request::{Query, header_list, invalid};

/// The media types of all formats, in the host's order of preference.
pub(super) fn all_formats() -> Vec<&'static str> {
    FORMATS.iter().map(|info| info.media_type).collect()
}

/// The media types of all formats, with the run as JSON first.
pub(super) fn all_formats_json_first() -> Vec<&'static str> {
    let (mut first, rest): (Vec<_>, Vec<_>) =
        all_formats().into_iter().partition(|media_type| *media_type == JSON);
    first.extend(rest);
    first
}

/// Select one of `offers`, which are in the host's order of preference. The result is one of these or an alias. `what`
/// names the resource in errors.
pub(super) fn media_type(
    headers: &HeaderMap,
    query: &Query,
    offers: &[&'static str],
    what: &str,
) -> Result<&'static str, Problem> {
    if let Some(name) = query.get("format") {
        return by_name(name, offers);
    }
    let accepted = header_list(headers, header::ACCEPT);
    accept::best(accepted.as_deref(), &with_aliases(offers)).ok_or_else(|| {
        let detail = format!("the available formats of {what} are {}", offers.join(", "));
        Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", detail)
    })
}

fn by_name(name: &str, offers: &[&'static str]) -> Result<&'static str, Problem> {
    let offered: Vec<&FormatInfo> = FORMATS.iter().filter(|info| offers.contains(&info.media_type)).collect();
    match offered.iter().find(|info| info.name == name) {
        Some(info) => Ok(info.media_type),
        None => {
            let names: Vec<String> = offered.iter().map(|info| format!("`{}`", info.name)).collect();
            Err(invalid("format", name, &format!("one of {}", names.join(", "))))
        }
    }
}

/// The offers, each followed by its aliases.
fn with_aliases(offers: &[&'static str]) -> Vec<&'static str> {
    let mut all = Vec::new();
    for offer in offers {
        all.push(*offer);
        let info = FORMATS.iter().find(|info| info.media_type == *offer);
        all.extend(info.map_or(&[][..], |info| info.aliases));
    }
    all
}
