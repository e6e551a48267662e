//! A package for pip, uv and pipx, which puts the program among the scripts of an environment.
//!
//! A script of the standard library writes it. `maturin` would build the program again, in its own way;
//! this packages the one that is built, stripped and tested, and needs nothing from PyPI.

use std::path::PathBuf;
use std::process::Command;

use super::{DESCRIPTION, Job, NAME, REPOSITORY, VERSION};
use crate::process::run_quietly;
use crate::root;

pub(super) fn make(job: &Job) -> Result<Vec<PathBuf>, String> {
    let wheel = job.to.join(format!("{NAME}-{VERSION}-{}.whl", tag(job.binary.glibc, job.target.processor)));
    let mut python = Command::new("python3");
    python.arg(root().join("packaging/python/wheel.py"));
    python.args(["--name", NAME, "--version", VERSION, "--summary", DESCRIPTION, "--repository", REPOSITORY]);
    python.arg("--tag").arg(tag(job.binary.glibc, job.target.processor));
    python.arg("--time").arg(job.time.to_string());
    python.arg("--program").arg(&job.binary.path);
    python.arg("--readme").arg(root().join("packaging/python/README.md"));
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        python.arg("--licence").arg(root().join(licence));
    }
    python.arg("--licence").arg(&job.binary.notices).arg(&wheel);
    run_quietly(&mut python)?;
    Ok(vec![wheel])
}

/// Any Python 3, and a glibc that is not older (PEP 600).
fn tag(glibc: u32, processor: &str) -> String {
    format!("py3-none-manylinux_2_{glibc}_{processor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_names_the_glibc_and_the_processor() {
        assert_eq!(tag(34, "aarch64"), "py3-none-manylinux_2_34_aarch64");
    }
}
