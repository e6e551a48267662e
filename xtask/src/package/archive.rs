//! An archive to unpack anywhere. `cargo binstall` installs from it, too (`host/Cargo.toml`).

use std::path::PathBuf;
use std::process::Command;

use super::binary::SHELLS;
use super::files::{self, PLAIN, PROGRAM};
use super::{Job, NAME, VERSION};
use crate::process::run_quietly;
use crate::root;

pub(super) fn make(job: &Job) -> Result<Vec<PathBuf>, String> {
    let name = name(job.target.triple);
    let outer = job.fresh("archive")?;
    let folder = outer.join(&name);
    files::copy(&job.binary.path, &folder.join(NAME), PROGRAM)?;
    for text in ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "CHANGELOG.md"] {
        files::copy(&root().join(text), &folder.join(text), PLAIN)?;
    }
    files::copy(&job.binary.notices, &folder.join("LICENSES-BUNDLED.txt"), PLAIN)?;
    files::copy(&root().join("packaging/streamtask.1"), &folder.join("streamtask.1"), PLAIN)?;
    for (shell, script) in &job.binary.completions {
        let file = SHELLS.iter().find(|(name, _)| name == shell).map_or(*shell, |(_, file)| file);
        files::put(&folder.join("completions").join(shell).join(file), script, PLAIN)?;
    }
    let archive = job.to.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.arg(format!("--mtime=@{}", job.time));
    tar.arg("--use-compress-program=gzip -9n").arg("-cf").arg(&archive).arg("-C").arg(&outer).arg(&name);
    run_quietly(&mut tar)?;
    Ok(vec![archive])
}

/// The name of the archive without `.tar.gz`, and of the folder in it.
fn name(triple: &str) -> String {
    format!("{NAME}-{VERSION}-{triple}")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn cargo_binstall_finds_the_archive_and_the_program_in_it() {
        let manifest = fs::read_to_string(root().join("host/Cargo.toml")).unwrap();
        let value = |key: &str| {
            let line = manifest.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap();
            let value = line.trim_matches('"').replace("{ target }", "T").replace("{ version }", VERSION);
            value
                .replace("{ bin }", NAME)
                .replace("{ binary-ext }", "")
                .replace("{ archive-suffix }", ".tar.gz")
        };
        assert!(value("pkg-url").ends_with(&format!("/releases/download/v{VERSION}/{}.tar.gz", name("T"))));
        assert_eq!(value("bin-dir"), format!("{}/{NAME}", name("T")));
        assert_eq!(value("pkg-fmt"), "tgz");
    }
}
