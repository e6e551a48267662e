//! Suggestions for misspelt names.

/// Longest name that is compared; the time grows with the length.
const MAX_COMPARED_BYTES: usize = 64;

/// The known name that was probably meant; none if none is similar.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    if name.len() > MAX_COMPARED_BYTES {
        return None;
    }
    // `dryRun`, `dry-run` and `DRY_RUN` are the same word.
    let plain = |name: &str| -> Vec<char> {
        name.chars().filter(|c| !matches!(c, '_' | '-' | '[' | ']')).flat_map(char::to_lowercase).collect()
    };
    let name = plain(name);
    let near = known.iter().map(|known| (distance(&name, &plain(known)), *known));
    near.min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
        .map(|(_, known)| known)
}

/// Edit distance: insertions, deletions, replacements, and swaps of neighbours.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut now = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let replaced = last[column] + usize::from(a != b);
            let mut least = replaced.min(last[column + 1] + 1).min(now[column] + 1);
            if row > 0 && column > 0 && *a == to[column - 1] && from[row - 1] == *b {
                least = least.min(before[column - 1] + 1);
            }
            now.push(least);
        }
        before = std::mem::replace(&mut last, now);
    }
    last[to.len()]
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
