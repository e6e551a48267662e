//! Programs from outside of this repository: build.sh downloads their source from Debian, and
//! builds NAME.wasm with Go.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Example, Problem, go};
use crate::process::{ask, run_quietly};

/// Results also depend on this file.
pub(super) const RECIPE: &str = include_str!("debian.rs");

const TOOL: &str = "Debian's or Ubuntu's packages of source in Go, as `apt-get update` lists them";

pub(super) fn build(example: &Example, component: &Path) -> Result<(), Problem> {
    let script = example.folder.join("build.sh");
    let text = fs::read_to_string(&script)?;
    // Prints where they are, if they are known.
    let mut list = Command::new("apt-get");
    if ask(list.args(["download", "--print-uris"]).args(packages(&text))).is_none() {
        return Err(Problem::Missing(TOOL));
    }
    let go = go::go()?;
    let own = Path::new(go.get_program()).parent().map(Path::to_owned);
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(own.into_iter().chain(env::split_paths(&path)))
        .map_err(|error| format!("the PATH has a folder that it can't have: {error}"))?;
    eprintln!("{}: fetching and compiling", example.title);
    // It writes its result to the current directory.
    let folder = component.parent().unwrap_or(component);
    let mut build = Command::new("sh");
    build.arg(&script).current_dir(folder).env("PATH", path).env_remove("GOFLAGS");
    if let Some((_, Some(cache))) = go.get_envs().find(|(name, _)| *name == "GOCACHE") {
        build.env("GOCACHE", cache);
    }
    run_quietly(&mut build)?;
    Ok(fs::rename(folder.join(format!("{}.wasm", example.name)), component)?)
}

/// The suffix of Go source packages, which a script downloads.
fn packages(script: &str) -> impl Iterator<Item = &str> {
    script.split_whitespace().filter(|word| word.starts_with("golang-") && word.ends_with("-dev"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_of_an_example_are_those_of_its_script() {
        let script = include_str!("../../../example-tasks/gojq/build.sh");
        let found: Vec<&str> = packages(script).collect();
        assert!(found.contains(&"golang-github-itchyny-gojq-dev") && found.len() == 7, "{found:?}");
    }
}
