//! `cargo xtask demo`: starts a host with all examples.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{become_it, cargo, run as run_program};
use crate::{examples, root};

/// The default address of the host.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

/// The command that finishes what the demo started. Not meant for people.
pub(crate) const FOLLOW: &str = "demo-follow";

/// Makes the host accept tasks with an async `process`, too.
const EXPERIMENT: &str = "STREAMTASK_EXPERIMENTAL_ASYNC";

/// The default for the grants that manifests can use.
const GRANTS: &str = "STREAMTASK_GRANTS";
/// The grants of examples that need nothing from this machine: the host's default, and requests. No
/// secrets, because all tasks in the folder could read them.
pub(crate) const DEFAULT_GRANTS: &str = "env,files,http";

/// The profile of the demo's host: without LTO and with few optimisations, so it compiles faster and runs slower.
pub(crate) const HOST: [&str; 6] =
    ["--profile", "demo", "--package", "streamtask-host", "--bin", "streamtask"];

/// Time that the host has for its start before the demo stops waiting for it.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_POLL: Duration = Duration::from_millis(100);

pub(crate) fn run(serve: Vec<OsString>) -> Result<(), String> {
    let grants = told(&serve, "--grants", env::var(GRANTS).ok(), DEFAULT_GRANTS);
    let left_out = leave_out(&grants)?;
    eprintln!("building the host and the examples in Rust: minutes the first time, seconds after that");
    // Compiling the host's last crate leaves a core idle.
    let examples = thread::spawn(examples::compile_rust);
    run_program(cargo(root()).arg("build").args(HOST))?;
    examples.join().map_err(|_| "building the examples panicked".to_owned())??;
    let built = examples::publish_rust(&left_out, &folder())?.built;
    eprintln!("{built} examples are in tasks/demo; those in other languages follow while the host runs");

    let address = told(&serve, "--listen", env::var("STREAMTASK_LISTEN").ok(), DEFAULT_ADDRESS);
    // The host takes the place of this process, so that it gets its signals.
    let mut follow =
        Command::new(env::current_exe().map_err(|error| format!("can't start itself: {error}"))?);
    follow.arg(FOLLOW).arg(address).args(&left_out).stdin(Stdio::null());
    follow.spawn().map_err(|error| format!("can't build the other examples: {error}"))?;

    let mut host_process = cargo(root());
    host_process.args(["run", "--quiet"]).args(HOST);
    host_process.args(["--", "serve", "--tasks", "tasks", "--data", "data"]).args(serve);
    // All examples are included, also the experimental one, unless a flag is set.
    if env::var_os(EXPERIMENT).is_none() {
        host_process.env(EXPERIMENT, "true");
    }
    // A flag overrides this, too.
    host_process.env(GRANTS, grants);
    become_it(host_process)
}

/// `cargo xtask demo-follow`: what remains to do beside the host. Ends with it.
pub(crate) fn follow(arguments: &[OsString]) -> Result<(), String> {
    let arguments: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (address, left_out) = arguments.split_first().ok_or("the address is missing")?;
    let host = parent_id();
    let runs = || parent_id() == host;
    if let Some(address) = with_port(address)
        && wait_until_ready(&address, runs)
    {
        eprintln!(
            "\n  Page    http://{address}/\n  \
             A run   curl -N -H 'Accept: text/event-stream' -d '{{\"steps\":5,\"delay_ms\":500}}' \
             http://{address}/api/tasks/demo/counter/runs\n\n\
             Each folder in example-tasks has such a line in its README. Ctrl-C ends the host.\n"
        );
    }
    let outcome = examples::build_others(left_out, &folder(), runs)?;
    if runs() {
        eprintln!("{} examples in other languages are in tasks/demo, too", outcome.built);
    }
    Ok(())
}

pub(crate) fn folder() -> PathBuf {
    root().join("tasks/demo")
}

/// An address to connect to. `None` if the host chooses the port, and tells it itself.
fn with_port(listen: &str) -> Option<String> {
    let (host, port) = match listen.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, port),
        _ if listen.parse::<u16>().is_ok() => ("", listen),
        _ => (listen, "8080"),
    };
    let host = match host {
        "" | "0.0.0.0" | "localhost" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    (port != "0").then(|| format!("{host}:{port}"))
}

/// Whether the host answers that it is ready, while it runs.
fn wait_until_ready(address: &str, runs: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while runs() && began.elapsed() < START_TIMEOUT {
        if is_ready(address).unwrap_or(false) {
            return true;
        }
        thread::sleep(START_POLL);
    }
    false
}

pub(crate) fn is_ready(address: &str) -> io::Result<bool> {
    let mut host = TcpStream::connect(address)?;
    host.set_read_timeout(Some(START_TIMEOUT))?;
    write!(host, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    host.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}

/// The value of a setting for the host: of its flag, or else of its environment variable.
fn told(serve: &[OsString], flag: &str, environment: Option<String>, default: &str) -> String {
    let mut words = serve.iter().filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        let value = if word == flag { words.next() } else { word.strip_prefix(&format!("{flag}=")) };
        if let Some(value) = value {
            return value.to_owned();
        }
    }
    environment.unwrap_or_else(|| default.to_owned())
}

/// Reports the examples that this host could not load, and what they lack. Removes their files from
/// earlier demos.
pub(crate) fn leave_out(grants: &str) -> Result<Vec<String>, String> {
    let mut left_out = Vec::new();
    for (name, manifest) in examples::manifests()? {
        let Some(lack) = lack(&manifest, grants, |variable| env::var_os(variable).is_some()) else {
            continue;
        };
        eprintln!("{name}: left out; it needs {lack}");
        for file in [format!("{name}.wasm"), format!("{name}.toml")] {
            let file = root().join("tasks/demo").join(file);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(format!("can't remove {}: {error}", file.display()));
                }
                _ => {}
            }
        }
        left_out.push(name);
    }
    Ok(left_out)
}

/// The grants and variables that a manifest needs but the host does not have. Reads only the syntax
/// that the manifests of examples use.
fn lack(manifest: &str, grants: &str, is_set: impl Fn(&str) -> bool) -> Option<String> {
    let lines = || manifest.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let kinds = [
        ("http", "[[grants.http]]"),
        ("private", "private = true"),
        ("secrets", "[grants.secrets]"),
        ("folders", "[[grants.folders]]"),
    ];
    let is_granted = |kind: &str| grants == "all" || grants.split(',').any(|given| given.trim() == kind);
    let kinds = kinds.iter().filter(|(kind, said)| !is_granted(kind) && lines().any(|line| line == *said));
    let kinds: Vec<&str> = kinds.map(|(kind, _)| *kind).collect();
    let variables = lines().filter_map(|line| line.split_once("{ env = \"")?.1.split('"').next());
    let variables = variables.filter(|name| !is_set(name)).map(|name| format!("the variable {name}"));
    let mut lacks: Vec<String> = variables.collect();
    if !kinds.is_empty() {
        let kinds = kinds.join(",");
        let given = if grants == "none" { String::new() } else { format!("{grants},") };
        lacks.push(format!("--grants {given}{kinds}"));
    }
    (!lacks.is_empty()).then(|| lacks.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_environment() {
        let address = |words: &[&str], environment: Option<&str>| {
            let words: Vec<_> = words.iter().map(OsString::from).collect();
            told(&words, "--listen", environment.map(str::to_owned), DEFAULT_ADDRESS)
        };
        let environment = Some("[::1]:1");
        assert_eq!(address(&["--open", "--listen", "[::1]:2"], environment), "[::1]:2");
        assert_eq!(address(&["--listen=[::1]:3"], environment), "[::1]:3");
        assert_eq!(address(&["--open"], environment), "[::1]:1");
        assert_eq!(address(&[], None), DEFAULT_ADDRESS);
    }

    #[test]
    fn the_page_is_at_an_address_that_a_browser_reaches() {
        for (listen, page) in [
            ("127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("9000", Some("127.0.0.1:9000")),
            (":9000", Some("127.0.0.1:9000")),
            ("localhost", Some("127.0.0.1:8080")),
            ("localhost:1", Some("127.0.0.1:1")),
            ("0.0.0.0:80", Some("127.0.0.1:80")),
            ("[::]:80", Some("[::1]:80")),
            ("[::1]:80", Some("[::1]:80")),
            ("127.0.0.1:0", None),
        ] {
            assert_eq!(with_port(listen).as_deref(), page, "{listen}");
        }
    }

    #[test]
    fn an_example_is_left_out_for_what_its_manifest_lacks() {
        let chat = include_str!("../../example-tasks/chat/chat.toml");
        let fetch = include_str!("../../example-tasks/http-fetch/http-fetch.toml");
        let (set, unset) = (|_: &str| true, |_: &str| false);
        assert_eq!(lack(fetch, DEFAULT_GRANTS, unset), None);
        assert_eq!(lack(fetch, "none", unset).as_deref(), Some("--grants http"));
        assert_eq!(lack(fetch, "env", unset).as_deref(), Some("--grants env,http"));
        let both = "the variable OPENAI_API_KEY and --grants env,files,http,secrets";
        assert_eq!(lack(chat, DEFAULT_GRANTS, unset).as_deref(), Some(both));
        assert_eq!(lack(chat, DEFAULT_GRANTS, set).as_deref(), Some("--grants env,files,http,secrets"));
        assert_eq!(lack(chat, "all", unset).as_deref(), Some("the variable OPENAI_API_KEY"));
        assert_eq!(lack(chat, "env,files,http,secrets", set), None);
    }

    #[test]
    fn only_what_needs_the_machines_own_is_left_out_by_default() {
        let manifests = examples::manifests().unwrap();
        let left_out = manifests.iter().filter(|(_, text)| lack(text, DEFAULT_GRANTS, |_| false).is_some());
        assert_eq!(left_out.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["chat"]);
    }
}
