//! The fuzz targets, by name. Each receives untrusted bytes and panics only if the host has a bug.
//!
//! Each has `corpus/NAME` with the initial inputs, optionally `regressions/NAME` with inputs that
//! once found bugs, and `dictionaries/NAME.dict` with useful words.

use streamtask_host::fuzzing;

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 6] = [
    ("manifests", fuzzing::manifests),
    ("inputs", fuzzing::inputs),
    ("requests", fuzzing::requests),
    ("streams", fuzzing::streams),
    ("components", fuzzing::components),
    ("schedules", fuzzing::schedules),
];

/// The target with this name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(own, _)| *own == name).map(|(_, target)| *target)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn entries(folder: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut entries: Vec<PathBuf> =
            fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    }

    /// A panic describes the bug; the name of the file is printed before it.
    fn replay(kind: &str) {
        for (name, target) in TARGETS {
            for file in entries(&format!("{kind}/{name}")) {
                eprintln!("{}", file.display());
                target(&fs::read(&file).unwrap());
            }
        }
    }

    #[test]
    fn what_once_was_a_fault_is_none() {
        replay("regressions");
    }

    #[test]
    fn the_fuzzer_begins_with_good_inputs() {
        replay("corpus");
    }

    #[test]
    fn every_target_has_inputs_and_every_file_a_target() {
        let names: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        for (name, _) in TARGETS {
            assert!(!entries(&format!("corpus/{name}")).is_empty(), "{name} has an empty corpus");
        }
        for file in ["corpus", "regressions", "dictionaries"].into_iter().flat_map(entries) {
            let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap();
            assert!(names.contains(stem), "{} belongs to no target", file.display());
        }
    }
}
