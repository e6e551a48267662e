//! Limits of the patterns in a schema. A pattern of ten characters can be compiled to megabytes, which are kept while the
//! task is loaded, and the time of a search is proportional to that size.

use std::collections::HashMap;

use jsonschema::PatternOptions;

use super::error::SchemaError;

/// Largest compiled pattern in KiB. `^\p{L}+$` takes some 50.
const MAX_KIB: u32 = 512;
/// Largest total size of the compiled patterns of one schema in KiB.
const MAX_TOTAL_KIB: u32 = 2048;
/// Least size that a pattern counts as, which limits their number.
const MIN_KIB: u32 = 8;
/// Longest pattern. The limits above do not cover its parsed form.
const MAX_TEXT_BYTES: usize = 4 << 10;
/// Memory that one search of one pattern may use for speed.
const SEARCH_BYTES: usize = 64 << 10;
/// Characters of a pattern that messages quote.
const MAX_QUOTED: usize = 80;

/// The engine for all patterns. Only one with linear time, because patterns come from guests and inputs from clients.
pub(super) fn engine() -> PatternOptions<jsonschema::Regex> {
    engine_of(MAX_KIB)
}

fn engine_of(kib: u32) -> PatternOptions<jsonschema::Regex> {
    PatternOptions::regex().size_limit(kib as usize * 1024).dfa_size_limit(SEARCH_BYTES)
}

/// The patterns of one schema. Each is compiled once, however often it is used.
#[derive(Default)]
pub(super) struct Patterns {
    kib: HashMap<String, u32>,
    total_kib: u32,
}

impl Patterns {
    /// Size of a compiled pattern in KiB, up to a factor of two. Fails if it is too large, alone or together with the others.
    pub(super) fn size(&mut self, pattern: &str) -> Result<u32, SchemaError> {
        if let Some(kib) = self.kib.get(pattern) {
            return Ok(*kib);
        }
        let kib = measure(pattern)?;
        self.total_kib += kib;
        if self.total_kib > MAX_TOTAL_KIB {
            return Err(SchemaError::Patterns { max_kib: MAX_TOTAL_KIB });
        }
        self.kib.insert(pattern.to_owned(), kib);
        Ok(kib)
    }

    /// Size of all patterns.
    pub(super) fn total_kib(&self) -> usize {
        self.total_kib as usize
    }
}

/// The library does not report sizes, only whether a size is below a limit.
fn measure(pattern: &str) -> Result<u32, SchemaError> {
    if pattern.len() > MAX_TEXT_BYTES {
        return Err(SchemaError::LongPattern { bytes: pattern.len(), max_bytes: MAX_TEXT_BYTES });
    }
    let schema = serde_json::json!({ "pattern": pattern });
    let fits = |kib: &u32| jsonschema::options().with_pattern_options(engine_of(*kib)).build(&schema).is_ok();
    let sizes = std::iter::successors(Some(MIN_KIB), |kib| (*kib < MAX_KIB).then_some(kib * 2));
    sizes.into_iter().find(fits).ok_or_else(|| SchemaError::Pattern {
        quoted: pattern.chars().take(MAX_QUOTED).collect(),
        max_kib: MAX_KIB,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_patterns_are_small_and_large_ones_are_refused() {
        let mut patterns = Patterns::default();
        assert_eq!(patterns.size("^[a-z0-9-]+$").unwrap(), MIN_KIB);
        assert!(patterns.size(r"^\p{L}[\p{L}\p{N} ]*$").unwrap() <= 256);
        for refused in [r"\p{L}{150}0", r"(x{1000}){1000}", r"(?<=a)b", "("] {
            assert!(
                patterns.size(refused).is_err_and(|error| error.to_string().contains("compiled")),
                "{refused}"
            );
        }
        assert!(
            patterns.size(&"x".repeat(5000)).is_err_and(|error| error.to_string().contains("5000 bytes"))
        );
    }

    #[test]
    fn there_is_an_end_to_all_patterns_together() {
        let mut patterns = Patterns::default();
        let refused = (0..10_000).find(|nth| patterns.size(&format!("^{nth}[a-z]*$")).is_err()).unwrap();
        assert_eq!(refused, MAX_TOTAL_KIB / MIN_KIB);
        assert_eq!(patterns.size("^1[a-z]*$").unwrap(), MIN_KIB, "a known pattern may be used again");
    }
}
