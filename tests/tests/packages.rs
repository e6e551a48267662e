//! What `cargo xtask package` makes, from the binary of this test run: each package is installed into a
//! folder of its own, and the program in it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use streamtask_tests::{child, clients, optional, root};
use tempfile::TempDir;

/// Packages of one kind, and room to install them in.
struct Packages(TempDir);

impl Packages {
    /// Makes them; `None` and a note if a tool is missing. Each kind also takes `strip` and Python.
    fn make(kind: &str, tools: &[&str]) -> Option<Self> {
        let missing = tools.iter().chain(&["strip", "python3"]).find(|tool| !is_installed(tool));
        if let Some(tool) = missing {
            optional::skip(&format!("the package {kind}"), &format!("`{tool}`"));
            return None;
        }
        let packages = Self(tempfile::tempdir().unwrap());
        let mut xtask = child::cargo();
        xtask.args(["run", "--quiet", "--package", "xtask", "--", "package", kind]);
        xtask.arg("--binary").arg(child::binary()).arg("--to").arg(packages.path("made"));
        // A binary with debug information is large, and nobody downloads this one.
        xtask.env("DPKG_DEB_COMPRESSOR_TYPE", "none");
        output(xtask.current_dir(root()));
        Some(packages)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Their files, in order.
    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.path("made")).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<PathBuf> = files.collect();
        files.sort();
        files
    }
}

fn is_installed(tool: &str) -> bool {
    let asked = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// What a program prints, which has to succeed.
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn runs(program: &Path) {
    let version = output(Command::new(program).arg("--version"));
    assert!(version.starts_with(concat!("streamtask ", env!("CARGO_PKG_VERSION"))), "{version}");
}

#[test]
fn the_archive_has_the_program_its_licences_and_completions() {
    let Some(packages) = Packages::make("archive", &["tar", "gzip"]) else { return };
    let files = packages.files();
    let [archive] = &*files else { panic!("{files:?}") };
    fs::create_dir(packages.path("here")).unwrap();
    output(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(packages.path("here")));
    let name = archive.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz");
    let folder = packages.path("here").join(name);
    runs(&folder.join("streamtask"));
    for file in ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "completions/bash/streamtask"] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    let bundled = fs::read_to_string(folder.join("LICENSES-BUNDLED.txt")).unwrap();
    for library in ["\nwasmtime ", "\ntokio ", "\nrusqlite "] {
        assert!(bundled.contains(library), "{library}");
    }
}

#[test]
fn the_package_for_debian_has_the_program_and_a_valid_configuration() {
    let Some(packages) = Packages::make("deb", &["dpkg-deb", "gzip"]) else { return };
    let files = packages.files();
    let [deb] = &*files else { panic!("{files:?}") };
    let installed = packages.path("root");
    output(Command::new("dpkg-deb").arg("--extract").arg(deb).arg(&installed));
    let program = installed.join("usr/bin/streamtask");
    runs(&program);
    output(Command::new(&program).arg("check").arg(installed.join("etc/streamtask/streamtask.toml")));
    assert!(installed.join("usr/lib/systemd/system/streamtask.service").is_file());
    let depends = output(Command::new("dpkg-deb").arg("--field").arg(deb).arg("Depends"));
    assert!(depends.contains("libc6 (>= 2."), "{depends}");
}

#[test]
fn the_wheel_puts_the_program_among_the_scripts_of_an_environment() {
    let python = match clients::system_python() {
        Ok(python) => python,
        Err(missing) => return optional::skip("the package wheel", &missing),
    };
    let Some(packages) = Packages::make("wheel", &[]) else { return };
    let files = packages.files();
    let [wheel] = &*files else { panic!("{files:?}") };
    let environment = packages.path("environment");
    output(Command::new(python).args(["-m", "venv"]).arg(&environment));
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]);
    output(pip.arg(wheel));
    runs(&environment.join("bin/streamtask"));
}

#[test]
fn the_packages_for_npm_start_the_program_and_pass_on_its_exit_code() {
    let Some(packages) = Packages::make("npm", &["npm", "node"]) else { return };
    let files = packages.files();
    assert_eq!(files.len(), 2, "{files:?}");
    let prefix = packages.path("prefix");
    fs::create_dir(&prefix).unwrap();
    let mut npm = Command::new("npm");
    npm.args(["install", "--offline", "--no-audit", "--no-fund", "--prefix"]).arg(&prefix).args(&files);
    output(&mut npm);
    let program = prefix.join("node_modules/.bin/streamtask");
    runs(&program);
    let refused = Command::new(&program).arg("--no-such-flag").output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}
