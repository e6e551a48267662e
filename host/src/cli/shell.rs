//! Commands that a user can paste into a shell.

use std::path::Path;

/// A path as an argument in a shell.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_harmless = |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    match !text.is_empty() && text.chars().all(is_harmless) {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_argument_of_a_shell() {
        assert_eq!(quoted(Path::new("/srv/tasks")), "/srv/tasks");
        assert_eq!(quoted(Path::new("it's")), r"'it'\''s'");
        assert_eq!(quoted(Path::new("")), "''");
    }
}
