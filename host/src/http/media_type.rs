//! Media types of files, by the extension of the name.

use std::borrow::Cow;

use hyper::header::HeaderValue;

/// The type of files with an unknown extension.
const UNKNOWN: &str = "application/octet-stream";
/// Types that differ from those in `mime_guess`. It does not know NDJSON, and a type that is not `text/…` leaves it to the
/// XML or YAML itself in which character set it is.
const OTHERS: &[(&str, &str)] = &[
    ("jsonl", "application/x-ndjson"),
    ("ndjson", "application/x-ndjson"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
];

/// The media type of the file with this name or path. Text counts as UTF-8.
pub(super) fn of_file(name: &str) -> Cow<'static, str> {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let other = OTHERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
    let media_type = other.map(|(_, media_type)| *media_type);
    match media_type.or_else(|| mime_guess::from_ext(extension).first_raw()).unwrap_or(UNKNOWN) {
        text if text.starts_with("text/") => Cow::Owned(format!("{text}; charset=utf-8")),
        media_type => Cow::Borrowed(media_type),
    }
}

/// The same as a header.
pub(super) fn header_of_file(name: &str) -> HeaderValue {
    HeaderValue::try_from(&*of_file(name)).expect("media types are visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_type_of_its_extension_and_text_is_utf_8() {
        for (name, media_type) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.c/main.js", "text/javascript; charset=utf-8"),
            ("base.css", "text/css; charset=utf-8"),
            ("table.CSV", "text/csv; charset=utf-8"),
            ("run.log", "text/plain; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
            ("picture.jpeg", "image/jpeg"),
            ("sound.wav", "audio/wav"),
            ("result.json", "application/json"),
            ("events.ndjson", "application/x-ndjson"),
            ("events.JSONL", "application/x-ndjson"),
            ("feed.xml", "application/xml"),
            ("settings.yml", "application/yaml"),
            ("all.tar.gz", "application/gzip"),
            ("table.parquet", "application/vnd.apache.parquet"),
            ("table.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            ("README", "application/octet-stream"),
            ("data.unknown", "application/octet-stream"),
            ("v1.0/data", "application/octet-stream"),
        ] {
            assert_eq!(of_file(name), media_type, "{name}");
            assert_eq!(header_of_file(name), media_type);
        }
    }
}
