//! Packages for npm: one for each system with its program, and `streamtask`, whose optional dependencies
//! they are and which starts the one that npm has installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::{self, PLAIN, PROGRAM};
use super::target::Target;
use super::{DESCRIPTION, Job, NAME, REPOSITORY, VERSION};
use crate::process::run_quietly;
use crate::root;

pub(super) fn make(job: &Job) -> Result<Vec<PathBuf>, String> {
    let source = root().join("packaging/npm");
    let starter = job.fresh("npm/streamtask")?;
    files::put(&starter.join("package.json"), starter_json(), PLAIN)?;
    files::copy(&source.join("streamtask.js"), &starter.join("bin/streamtask.js"), PROGRAM)?;
    files::copy(&source.join("README.md"), &starter.join("README.md"), PLAIN)?;

    let platform = job.fresh("npm/platform")?;
    files::put(&platform.join("package.json"), platform_json(job.target), PLAIN)?;
    let readme = format!("The program of [streamtask]({REPOSITORY}) for Linux ({}).\n", job.target.processor);
    files::put(&platform.join("README.md"), readme, PLAIN)?;
    files::copy(&job.binary.path, &platform.join("bin").join(NAME), PROGRAM)?;
    files::copy(&job.binary.notices, &platform.join("LICENSES-BUNDLED.txt"), PLAIN)?;
    Ok(vec![pack(&starter, NAME, &job.to)?, pack(&platform, &platform_name(job.target), &job.to)?])
}

fn pack(folder: &Path, name: &str, to: &Path) -> Result<PathBuf, String> {
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        files::copy(&root().join(licence), &folder.join(licence), PLAIN)?;
    }
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", "--pack-destination"]).arg(to).current_dir(folder);
    run_quietly(&mut npm)?;
    Ok(to.join(format!("{name}-{VERSION}.tgz")))
}

fn platform_name(target: &Target) -> String {
    format!("{NAME}-linux-{}", target.npm)
}

/// What all have in common, up to an open brace.
fn json(name: &str, description: &str) -> String {
    format!(
        r#"{{
  "name": "{name}",
  "version": "{VERSION}",
  "description": "{description}",
  "license": "Apache-2.0 OR MIT",
  "repository": {{ "type": "git", "url": "git+{REPOSITORY}.git" }},
  "homepage": "{REPOSITORY}",
  "os": ["linux"],
"#
    )
}

fn starter_json() -> String {
    let name = |target: &Target| format!("    \"{}\": \"{VERSION}\"", platform_name(target));
    let platforms: Vec<String> = Target::all().iter().map(name).collect();
    let processors: Vec<String> = Target::all().iter().map(|target| format!("{:?}", target.npm)).collect();
    json(NAME, DESCRIPTION)
        + &format!(
            r#"  "cpu": [{}],
  "bin": {{ "{NAME}": "bin/streamtask.js" }},
  "files": ["bin", "LICENSE-*"],
  "engines": {{ "node": ">=18" }},
  "optionalDependencies": {{
{}
  }}
}}
"#,
            processors.join(", "),
            platforms.join(",\n")
        )
}

fn platform_json(target: &Target) -> String {
    let description = format!("The program of streamtask for Linux ({})", target.processor);
    json(&platform_name(target), &description)
        + &format!(
            r#"  "cpu": ["{}"],
  "libc": ["glibc"],
  "files": ["bin", "LICENSE*"]
}}
"#,
            target.npm
        )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_package_depends_on_that_of_each_system_in_the_same_version() {
        let json = starter_json();
        for target in Target::all() {
            let line = format!("\"streamtask-linux-{}\": \"{VERSION}\"", target.npm);
            assert!(json.contains(&line), "{json}");
            assert!(platform_json(target).contains(&format!("\"name\": \"{}\"", platform_name(target))));
        }
    }

    #[test]
    fn the_starter_looks_for_the_packages_that_are_made() {
        let starter = fs::read_to_string(root().join("packaging/npm/streamtask.js")).unwrap();
        assert!(starter.contains("`streamtask-linux-${process.arch}`"), "{starter}");
    }
}
