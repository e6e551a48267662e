//! A package for Debian and Ubuntu, with a service that systemd starts under a user of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::binary::SHELLS;
use super::files::{self, PLAIN, PROGRAM};
use super::{Job, MAINTAINER, NAME, REPOSITORY, VERSION};
use crate::process::{ask, run_quietly};
use crate::root;

/// The revision of the package, which counts from 1 for each version.
const REVISION: u32 = 1;

/// Files as they are in `packaging/`, and where they go.
const FILES: [(&str, &str); 4] = [
    ("streamtask.service", "usr/lib/systemd/system/streamtask.service"),
    ("deb/streamtask.toml", "etc/streamtask/streamtask.toml"),
    ("deb/copyright", "usr/share/doc/streamtask/copyright"),
    ("deb/lintian-overrides", "usr/share/lintian/overrides/streamtask"),
];

/// Where packages have the completions of each shell.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions"),
    ("zsh", "usr/share/zsh/vendor-completions"),
    ("fish", "usr/share/fish/vendor_completions.d"),
];

pub(super) fn make(job: &Job) -> Result<Vec<PathBuf>, String> {
    let folder = job.fresh("deb")?;
    let source = root().join("packaging");
    files::copy(&job.binary.path, &folder.join("usr/bin").join(NAME), PROGRAM)?;
    for (from, to) in FILES {
        files::copy(&source.join(from), &folder.join(to), PLAIN)?;
    }
    for (shell, script) in &job.binary.completions {
        let place = COMPLETIONS.iter().zip(SHELLS).find(|((name, _), _)| name == shell);
        if let Some(((_, to), (_, file))) = place {
            files::put(&folder.join(to).join(file), script, PLAIN)?;
        }
    }
    let documents = folder.join("usr/share/doc").join(NAME);
    compress(&source.join("streamtask.1"), &folder.join("usr/share/man/man1/streamtask.1"))?;
    compress(&root().join("CHANGELOG.md"), &documents.join("changelog"))?;
    compress(&job.binary.notices, &documents.join("third-party.txt"))?;
    let changes = job.staging.join("changelog.Debian");
    files::put(&changes, changelog(job.time)?, PLAIN)?;
    compress(&changes, &documents.join("changelog.Debian"))?;
    control(job, &source.join("deb"), &folder)?;
    build(job, &folder)
}

/// The files that are for dpkg.
fn control(job: &Job, source: &Path, folder: &Path) -> Result<(), String> {
    let installed = files::list(folder)?;
    let mut bytes = 0;
    for file in &installed {
        bytes += super::size(&folder.join(file))?;
    }
    let mut sums = Command::new("md5sum");
    let sums = ask(sums.args(installed.iter().filter(|file| !file.starts_with("etc"))).current_dir(folder));
    let sums = sums.ok_or("`md5sum` failed")? + "\n";
    let into = folder.join("DEBIAN");
    files::put(&into.join("md5sums"), sums, PLAIN)?;
    files::put(&into.join("conffiles"), "/etc/streamtask/streamtask.toml\n", PLAIN)?;
    for script in ["postinst", "prerm", "postrm"] {
        files::copy(&source.join(script), &into.join(script), PROGRAM)?;
    }
    let template = files::read_text(&source.join("control.in"))?;
    let values = [
        ("VERSION", version()),
        ("ARCHITECTURE", job.target.deb.to_owned()),
        ("MAINTAINER", MAINTAINER.to_owned()),
        ("INSTALLED_SIZE", bytes.div_ceil(1024).to_string()),
        ("GLIBC", format!("2.{}", job.binary.glibc)),
        ("REPOSITORY", REPOSITORY.to_owned()),
    ];
    files::put(&into.join("control"), fill(&template, &values), PLAIN)
}

fn build(job: &Job, folder: &Path) -> Result<Vec<PathBuf>, String> {
    let package = job.to.join(format!("{NAME}_{}_{}.deb", version(), job.target.deb));
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.arg("--root-owner-group");
    // Smaller than with the default of Ubuntu. The variable is dpkg's own.
    if std::env::var_os("DPKG_DEB_COMPRESSOR_TYPE").is_none() {
        dpkg.arg("-Zxz");
    }
    dpkg.env("SOURCE_DATE_EPOCH", job.time.to_string()).arg("--build").arg(folder).arg(&package);
    run_quietly(&mut dpkg)?;
    Ok(vec![package])
}

fn version() -> String {
    format!("{VERSION}-{REVISION}")
}

fn fill(template: &str, values: &[(&str, String)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value))
}

/// The history of the package, in the form that Debian asks for.
fn changelog(time: u64) -> Result<String, String> {
    let mut date = Command::new("date");
    date.args(["-u", "-R", "-d"]).arg(format!("@{time}")).env("LC_ALL", "C");
    let date = ask(&mut date).ok_or("`date` failed")?;
    let version = version();
    Ok(format!(
        "{NAME} ({version}) stable; urgency=medium\n\n  * Version {VERSION}.\n\n -- {MAINTAINER}  {date}\n"
    ))
}

/// Writes a file with `.gz` after its name, without the time.
fn compress(from: &Path, to: &Path) -> Result<(), String> {
    files::copy(from, to, PLAIN)?;
    run_quietly(Command::new("gzip").arg("-9n").arg(to))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_place_in_the_control_file_is_filled() {
        let template = fs::read_to_string(root().join("packaging/deb/control.in")).unwrap();
        let names = ["VERSION", "ARCHITECTURE", "MAINTAINER", "INSTALLED_SIZE", "GLIBC", "REPOSITORY"];
        let values: Vec<(&str, String)> = names.iter().map(|name| (*name, "1".to_owned())).collect();
        assert!(values.iter().all(|(name, _)| template.contains(&format!("@{name}@"))), "{template}");
        let without_address = fill(&template, &values);
        assert!(!without_address.contains('@'), "{without_address}");
    }

    #[test]
    fn the_service_is_started_with_the_configuration_that_is_installed() {
        let unit = fs::read_to_string(root().join("packaging/streamtask.service")).unwrap();
        assert!(
            unit.contains("ExecStart=/usr/bin/streamtask serve --config /etc/streamtask/streamtask.toml\n")
        );
        let settings = fs::read_to_string(root().join("packaging/deb/streamtask.toml")).unwrap();
        // The rest of the file system is read-only for the service.
        for folder in ["tasks = \"/var/lib/streamtask/tasks\"", "data = \"/var/lib/streamtask/data\""] {
            assert!(settings.lines().any(|line| line == folder), "{settings}");
        }
        assert!(unit.contains("StateDirectory=streamtask\n"));
    }
}
