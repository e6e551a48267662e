//! `cargo xtask demo`: a host with all examples.

use std::env;
use std::ffi::OsString;

use crate::process::{become_it, cargo, run as run_program};
use crate::{examples, root};

/// Where the host listens unless it is told otherwise.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

/// Has the host take tasks with an async `process` too.
const EXPERIMENT: &str = "STREAMTASK_EXPERIMENTAL_ASYNC";

pub(crate) fn run(serve: Vec<OsString>) -> Result<(), String> {
    // An example that can't be built is named and left out; the others are worth showing.
    let outcome = examples::build(&root().join("tasks/demo"))?;
    eprintln!(
        "{} examples are in tasks/demo; building the host, which takes minutes the first time",
        outcome.built
    );
    let host = ["--release", "--package", "streamtask-host", "--bin", "streamtask"];
    run_program(cargo(root()).arg("build").args(host))?;

    let address = address(&serve, env::var("STREAMTASK_LISTEN").ok());
    eprintln!(
        "\nOnce the host listens, start a run from another terminal and watch it:\n\n  \
         curl -N -H 'Accept: text/event-stream' -d '{{\"steps\":5,\"delay_ms\":500}}' \
         http://{address}/api/tasks/demo/counter/runs\n\n\
         Each folder in example-tasks has such a line in its README. Ctrl-C ends the host.\n"
    );
    let mut host_process = cargo(root());
    host_process.args(["run", "--quiet"]).args(host);
    host_process.args(["--", "serve", "--tasks", "tasks", "--data", "data"]).args(serve);
    // All examples are shown, also the one for the experiment; a flag says otherwise.
    if env::var_os(EXPERIMENT).is_none() {
        host_process.env(EXPERIMENT, "true");
    }
    become_it(host_process)
}

/// Where the host will listen: by its flag, else by its environment.
fn address(serve: &[OsString], environment: Option<String>) -> String {
    let mut words = serve.iter().filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        let value = if word == "--listen" { words.next() } else { word.strip_prefix("--listen=") };
        if let Some(value) = value {
            return value.to_owned();
        }
    }
    environment.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_environment() {
        let serve = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let environment = || Some("[::1]:1".to_owned());
        assert_eq!(address(&serve(&["--open", "--listen", "[::1]:2"]), environment()), "[::1]:2");
        assert_eq!(address(&serve(&["--listen=[::1]:3"]), environment()), "[::1]:3");
        assert_eq!(address(&serve(&["--open"]), environment()), "[::1]:1");
        assert_eq!(address(&serve(&[]), None), DEFAULT_ADDRESS);
    }
}
