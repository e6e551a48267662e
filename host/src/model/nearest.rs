//! Suggestions for misspelt names.

use strsim::osa_distance;

/// Longest name that is compared; the time grows with the length.
const MAX_COMPARED_BYTES: usize = 64;

/// The known name that was probably meant; none if none is similar.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    if name.len() > MAX_COMPARED_BYTES {
        return None;
    }
    // `dryRun`, `dry-run` and `DRY_RUN` are the same word.
    let plain = |name: &str| -> String {
        name.chars().filter(|c| !matches!(c, '_' | '-' | '[' | ']')).flat_map(char::to_lowercase).collect()
    };
    let name = plain(name);
    let near = known.iter().map(|known| (osa_distance(&name, &plain(known)), *known));
    near.min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_near_and_another_word_is_not() {
        let known = ["max-running", "max-queued", "memory"];
        assert_eq!(nearest("MAX_RUNING", &known), Some("max-running"));
        assert_eq!(nearest("meomry", &known), Some("memory"));
        assert_eq!(nearest("service-host", &known), None);
        assert_eq!(nearest(&"x".repeat(1000), &known), None);
    }
}
