//! The tools that build tasks. A host needs none of them.

use rustix::process::{Resource, getrlimit};

use super::finding::Finding;
use crate::cli::project::{missing_tool, toolchains};

pub(super) fn check() -> Vec<Finding> {
    let is_limited = [Resource::As, Resource::Data].iter().any(|limit| getrlimit(*limit).current.is_some());
    toolchains().map(|(name, tool)| of(name, missing_tool(tool), is_limited)).collect()
}

/// The message of a missing tool is `what is missing: how to install it`. `is_limited`: whether the tools run with little
/// memory, as this process does.
fn of(name: &'static str, missing: Option<String>, is_limited: bool) -> Finding {
    match missing {
        None => Finding::ok(name, "`streamtask new` projects build"),
        Some(message) if is_limited => {
            let what = message.split_once(": ").map_or(&*message, |(what, _)| what);
            let found = format!("{what}, or does not run within the limit of memory");
            Finding::warning(name, found, "streamtask doctor without that limit tells which")
        }
        Some(message) => match message.split_once(": ") {
            Some((what, remedy)) => Finding::warning(name, what, remedy),
            None => Finding::warning(
                name,
                message,
                format!("streamtask new hello --lang {name}, then streamtask build hello"),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_missing_tool_is_a_warning_with_the_way_to_install_it() {
        let missing = || Some("cargo is missing: install Rust from https://rustup.rs".to_owned());
        let finding = of("rust", missing(), false);
        assert_eq!((finding.level, finding.found.as_str()), (Level::Warning, "cargo is missing"));
        assert_eq!(finding.remedy.as_deref(), Some("install Rust from https://rustup.rs"));
        assert_eq!(of("rust", None, false).level, Level::Ok);
        // Node.js does not start in little address space, however it is installed.
        let finding = of("rust", missing(), true);
        assert!(finding.found.contains("does not run within the limit"), "{finding:?}");
        assert!(!finding.remedy.unwrap().contains("install"));
    }
}
