//! `cargo xtask package`: packages of the program, one command each. `packaging/` has what goes into
//! them besides the program.
//!
//! - `target`: the systems, and the names that each kind of package has for them
//! - `binary`: builds the program, strips it, and reads what it needs
//! - `files`: writing files with given permissions
//! - `archive`: an archive to unpack anywhere
//! - `deb`: a package for Debian and Ubuntu, with a service
//! - `wheel`: a package for pip and uv
//! - `npm`: packages for npm

mod archive;
mod binary;
mod deb;
mod files;
mod npm;
mod target;
mod wheel;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::binary::Binary;
use self::target::Target;
use crate::process::ask;
use crate::root;

/// The version of all packages.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const NAME: &str = "streamtask";
const DESCRIPTION: &str =
    "Runs WebAssembly tasks, stores every event that they send, and streams the events live";
const REPOSITORY: &str = "https://github.com/streamtask/streamtask";
/// For Debian, which requires one.
const MAINTAINER: &str = "the streamtask authors <streamtask@users.noreply.github.com>";

/// Makes one kind of package; returns the files that it wrote.
type Maker = fn(&Job) -> Result<Vec<PathBuf>, String>;

const KINDS: [(&str, Maker); 4] =
    [("archive", archive::make), ("deb", deb::make), ("wheel", wheel::make), ("npm", npm::make)];

/// What a package is made from, and where.
struct Job {
    target: &'static Target,
    binary: Binary,
    /// The folder for packages.
    to: PathBuf,
    /// A folder for temporary files, of this target.
    staging: PathBuf,
    /// The time of all files, in seconds since 1970: the same sources make the same packages.
    time: u64,
}

impl Job {
    /// An empty folder for temporary files.
    fn fresh(&self, name: &str) -> Result<PathBuf, String> {
        files::fresh(&self.staging.join(name))
    }
}

#[derive(Debug)]
struct Plan {
    target: &'static Target,
    /// A program that is built already.
    binary: Option<PathBuf>,
    to: PathBuf,
    kinds: Vec<&'static str>,
}

pub(crate) fn run(arguments: Vec<OsString>) -> Result<(), String> {
    let plan = Plan::parse(arguments)?;
    let staging = files::fresh(&plan.to.join("staging").join(plan.target.triple))?;
    let program = match &plan.binary {
        Some(program) => program.clone(),
        None => binary::build(plan.target)?,
    };
    let binary = Binary::strip(&program, plan.target, &staging)?;
    let mut report = vec![("the program, stripped".to_owned(), size(&binary.path)?)];
    let job = Job { target: plan.target, binary, to: plan.to, staging, time: time() };
    for (kind, make) in KINDS {
        if plan.kinds.contains(&kind) {
            for file in make(&job).map_err(|problem| format!("{kind}: {problem}"))? {
                report.push((file.display().to_string(), size(&file)?));
            }
        }
    }
    fs::remove_dir_all(&job.staging).map_err(|error| format!("can't clean up: {error}"))?;
    // Unless packages of the other system are being made as well.
    let _ = fs::remove_dir(job.to.join("staging"));
    print!("{}", table(&report));
    Ok(())
}

impl Plan {
    fn parse(arguments: Vec<OsString>) -> Result<Self, String> {
        let mut plan = Self {
            target: Target::of_this_machine(),
            binary: None,
            to: root().join("target/packages"),
            kinds: Vec::new(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument:?} needs a value"));
            match argument.to_str() {
                Some("--target") => plan.target = Target::named(&value()?.to_string_lossy())?,
                Some("--binary") => plan.binary = Some(value()?.into()),
                Some("--to") => plan.to = value()?.into(),
                other => plan.kinds.push(kind(other.unwrap_or_default())?),
            }
        }
        if plan.kinds.is_empty() {
            plan.kinds = KINDS.map(|(name, _)| name).to_vec();
        }
        // Other programs work in other folders.
        plan.to = std::path::absolute(&plan.to).map_err(|error| format!("{:?}: {error}", plan.to))?;
        Ok(plan)
    }
}

fn kind(word: &str) -> Result<&'static str, String> {
    let names = KINDS.map(|(name, _)| name);
    names
        .into_iter()
        .find(|name| *name == word)
        .ok_or_else(|| format!("{word:?} is neither an option nor a kind of package: {}", names.join(", ")))
}

/// `SOURCE_DATE_EPOCH` (reproducible-builds.org), or else the time of the commit.
fn time() -> u64 {
    let set = env::var("SOURCE_DATE_EPOCH").ok();
    let commit = || ask(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()));
    set.or_else(commit).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn size(file: &Path) -> Result<u64, String> {
    Ok(file.metadata().map_err(|error| format!("{}: {error}", file.display()))?.len())
}

fn table(report: &[(String, u64)]) -> String {
    let line = |(name, bytes): &(String, u64)| match *bytes {
        few @ ..100_000 => format!("{:>8.1} kB  {name}\n", few as f64 / 1e3),
        many => format!("{:>8.1} MB  {name}\n", many as f64 / 1e6),
    };
    report.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Plan, String> {
        Plan::parse(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn all_kinds_are_made_unless_some_are_named() {
        assert_eq!(parse(&[]).unwrap().kinds, ["archive", "deb", "wheel", "npm"]);
        let plan = parse(&["--target", "aarch64-unknown-linux-gnu", "deb", "--binary", "/b", "npm"]).unwrap();
        assert_eq!((plan.kinds, plan.target.deb), (vec!["deb", "npm"], "arm64"));
        assert_eq!(plan.binary.as_deref(), Some(Path::new("/b")));
    }

    #[test]
    fn an_unknown_word_is_refused_and_the_known_ones_are_named() {
        for words in [&["rpm"][..], &["--fast"], &["--target", "riscv64gc-unknown-linux-gnu"], &["--to"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
        assert!(parse(&["rpm"]).unwrap_err().ends_with("archive, deb, wheel, npm"));
    }

    #[test]
    fn the_names_in_the_packages_are_those_of_the_repository() {
        let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
        let workspace = read("Cargo.toml");
        assert!(workspace.contains(&format!("repository = \"{REPOSITORY}\"")), "{workspace}");
        let module = read("guest-sdk/go/go.mod");
        let path = REPOSITORY.trim_start_matches("https://");
        assert!(module.starts_with(&format!("module {path}/guest-sdk/go\n")), "{module}");
    }

    #[test]
    fn every_package_has_the_version_of_the_workspace() {
        let files = ["web/client/package.json", "guest-sdk/js/package.json"];
        let python = ["clients/python/pyproject.toml", "guest-sdk/python/pyproject.toml"];
        for (file, line) in files
            .map(|file| (file, format!("\"version\": \"{VERSION}\"")))
            .into_iter()
            .chain(python.map(|file| (file, format!("version = \"{VERSION}\""))))
        {
            assert!(fs::read_to_string(root().join(file)).unwrap().contains(&line), "{file}: {line}");
        }
    }

    #[test]
    fn every_package_of_a_client_or_sdk_has_the_licences() {
        let packages = [
            "clients/python",
            "guest-sdk/go",
            "guest-sdk/js",
            "guest-sdk/python",
            "guest-sdk/rust",
            "guest-sdk/rust/macros",
            "web/client",
        ];
        for package in packages {
            for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
                let copy = fs::read(root().join(package).join(licence));
                assert_eq!(copy.ok(), fs::read(root().join(licence)).ok(), "{package}/{licence}");
            }
        }
    }

    #[test]
    fn the_report_has_sizes_that_people_read() {
        let report = [("a.deb".to_owned(), 12_345_678), ("b.tgz".to_owned(), 1_342)];
        assert_eq!(table(&report), "    12.3 MB  a.deb\n     1.3 kB  b.tgz\n");
    }
}
