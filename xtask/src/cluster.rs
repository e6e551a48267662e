//! `cargo xtask cluster`: three hosts on one PostgreSQL, with nginx in front, to try what several hosts do.
//!
//! Ctrl-C reaches all processes of a terminal, and the standard library can't catch it. So the command has two parts: one
//! that works, in a process group of its own, and a shell that holds a pipe to it and closes that pipe at Ctrl-C. If either
//! dies, the other ends, too.
//!
//! - `service`: a process that ends when this one does
//! - `database`: PostgreSQL in a folder of its own
//! - `front`: nginx

mod database;
mod front;
mod service;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use self::database::Database;
use self::service::Service;
use crate::demo;
use crate::process::{become_it, cargo, run as run_program, typed};
use crate::{examples, root, target_folder};

/// The command that starts and ends everything. Not meant for people.
pub(crate) const WORK: &str = "cluster-work";

const USAGE: &str = "usage: cargo xtask cluster [--port N] [--binary PATH] [--tasks DIR]";
/// The hosts, by name.
const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
/// The port of the front. The hosts have the ones after it.
const DEFAULT_PORT: u16 = 8080;
/// Longest time for the hosts to load their tasks. All three compile them at the same time, the first time.
const START_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest time for a host to stop: the drain grace, and the 20 s after which it gives up by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(35);
/// How often the services are looked at.
const POLL: Duration = Duration::from_millis(200);
/// Pause before a host that ended is started again: long enough to see its runs go to the others.
const RESTART_PAUSE: Duration = Duration::from_secs(60);

/// Waits for the working part, and tells it to end when this is interrupted. Its standard input is the output of the
/// working part, and its standard output the input of that. A signal makes `read` fail; a second one changes nothing.
const WAIT: &str = r#"
signalled=
trap 'signalled=1; exec >&-' INT TERM HUP
while :; do
  if read -r code; then exit "$code"; fi
  if [ -z "$signalled" ]; then exit 1; fi
  signalled=
done
"#;

/// What the command line says.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    port: u16,
    /// None: the host is built.
    binary: Option<PathBuf>,
    /// None: the examples in Rust are built.
    tasks: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[OsString]) -> Result<Self, String> {
        let mut options = Self { port: DEFAULT_PORT, binary: None, tasks: None };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or(USAGE)?;
            match word.to_str() {
                Some("--port") => options.port = port(value).ok_or(USAGE)?,
                Some("--binary") => options.binary = Some(existing(value)?),
                Some("--tasks") => options.tasks = Some(existing(value)?),
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }

    fn host_port(&self, nth: usize) -> u16 {
        self.port + 1 + nth as u16
    }
}

/// A port that leaves room for those of the hosts.
fn port(value: &OsString) -> Option<u16> {
    let port: u16 = value.to_str()?.parse().ok()?;
    (1..=u16::MAX - HOSTS.len() as u16).contains(&port).then_some(port)
}

/// As an absolute path, because the parts work in folders of their own.
fn existing(path: &OsString) -> Result<PathBuf, String> {
    fs::canonicalize(path).map_err(|error| format!("{}: {error}", Path::new(path).display()))
}

pub(crate) fn run(arguments: Vec<OsString>) -> Result<(), String> {
    Options::parse(&arguments)?;
    let itself = env::current_exe().map_err(|error| format!("can't start itself: {error}"))?;
    let mut work = Command::new(itself);
    work.arg(WORK).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    let mut work = work.spawn().map_err(|error| format!("can't start itself: {error}"))?;
    let mut wait = Command::new("/bin/sh");
    wait.args(["-c", WAIT]);
    wait.stdin(work.stdout.take().expect("just piped")).stdout(work.stdin.take().expect("just piped"));
    become_it(wait)
}

/// `cargo xtask cluster-work`: the part that is not interrupted. Ends when its standard input does.
pub(crate) fn work(arguments: &[OsString]) -> Result<(), String> {
    let (interrupt, interrupted) = mpsc::channel();
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let _ = interrupt.send(());
    });
    let outcome = Options::parse(arguments).and_then(|options| serve(&options, &interrupted));
    if let Err(problem) = &outcome {
        eprintln!("xtask: {problem}");
    }
    // For the shell.
    println!("{}", i32::from(outcome.is_err()));
    let _ = io::stdout().flush();
    Ok(())
}

fn serve(options: &Options, interrupted: &Receiver<()>) -> Result<(), String> {
    let programs = database::Programs::find()?;
    for port in options.port..=options.host_port(HOSTS.len() - 1) {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .map_err(|error| format!("can't listen on port {port}: {error}; --port N chooses four others"))?;
    }
    let (binary, tasks) = build(options, interrupted)?;
    if interrupted.try_recv().is_ok() {
        return Ok(());
    }
    let folder = root().join("target/cluster");
    create(&folder)?;
    let database = Database::start(&programs, &folder)?;
    eprintln!("PostgreSQL runs in {}; starting three hosts", database.folder().display());
    let started = start_hosts(&binary, &tasks, &folder, options);
    let outcome = started.and_then(|mut hosts| {
        let served = attend(&mut hosts, options, &folder, &binary, interrupted);
        eprintln!("\nstopping; runs have the drain grace (10 s) to end by themselves");
        stop_all(hosts);
        served
    });
    database.stop();
    outcome
}

/// The program of the host, and the folder with the tasks.
fn build(options: &Options, interrupted: &Receiver<()>) -> Result<(PathBuf, PathBuf), String> {
    let needs_examples = options.tasks.is_none();
    let left_out = if needs_examples { demo::leave_out(demo::DEFAULT_GRANTS)? } else { Vec::new() };
    eprintln!("building what is missing: minutes the first time, seconds after that");
    let examples = thread::spawn(move || if needs_examples { examples::compile_rust() } else { Ok(()) });
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => {
            run_program(cargo(root()).arg("build").args(demo::HOST))?;
            target_folder().join("demo/streamtask")
        }
    };
    examples.join().map_err(|_| "building the examples panicked".to_owned())??;
    if interrupted.try_recv().is_ok() {
        return Err("interrupted".to_owned());
    }
    match &options.tasks {
        Some(tasks) => Ok((binary, tasks.clone())),
        None => {
            examples::publish_rust(&left_out, &demo::folder())?;
            Ok((binary, root().join("tasks")))
        }
    }
}

/// A host, and the command that starts it.
struct Host {
    name: &'static str,
    address: String,
    service: Service,
    log: PathBuf,
    /// When it was found to have ended.
    ended: Option<Instant>,
}

fn command(binary: &Path, tasks: &Path, folder: &Path, name: &str, address: &str) -> Command {
    let mut host = Command::new(binary);
    host.arg("serve").arg("--tasks").arg(tasks).arg("--data").arg(folder.join(name));
    host.args(["--listen", address, "--host-name", name, "--advertise", &format!("http://{address}")]);
    host.arg("--database-file").arg(folder.join(database::URL_FILE));
    host.args(["--grants", demo::DEFAULT_GRANTS]);
    // What the user has set for other hosts.
    for (variable, _) in env::vars_os() {
        if variable.to_string_lossy().starts_with("STREAMTASK_") {
            host.env_remove(variable);
        }
    }
    host.current_dir(folder);
    host
}

fn start_hosts(binary: &Path, tasks: &Path, folder: &Path, options: &Options) -> Result<Vec<Host>, String> {
    let mut hosts = Vec::new();
    for (nth, name) in HOSTS.into_iter().enumerate() {
        // Of runs in an earlier database. What is compiled can stay.
        remove(&folder.join(name).join("files"))?;
        let address = format!("127.0.0.1:{}", options.host_port(nth));
        let log = folder.join(format!("{name}.log"));
        remove(&log)?;
        match Service::start(&command(binary, tasks, folder, name, &address), "TERM", &log) {
            Ok(service) => hosts.push(Host { name, address, service, log, ended: None }),
            Err(problem) => {
                stop_all(hosts);
                return Err(problem);
            }
        }
    }
    Ok(hosts)
}

/// Stops them together, because each may wait for its runs.
fn stop_all(hosts: Vec<Host>) {
    for host in &hosts {
        host.service.signal("TERM");
    }
    let until = Instant::now() + STOP_TIMEOUT;
    for host in hosts {
        host.service.wait_until(until);
    }
}

/// Shows what to try, and starts hosts again that have ended, until it is interrupted.
fn attend(
    hosts: &mut [Host],
    options: &Options,
    folder: &Path,
    binary: &Path,
    interrupted: &Receiver<()>,
) -> Result<(), String> {
    if !wait_until_ready(hosts, interrupted)? {
        return Ok(());
    }
    let backends: Vec<&str> = hosts.iter().map(|host| host.address.as_str()).collect();
    let front = front::start(&format!("127.0.0.1:{}", options.port), &backends, folder)?;
    show(hosts, front.is_some().then_some(options.port), folder, binary);
    while let Err(RecvTimeoutError::Timeout) = interrupted.recv_timeout(POLL) {
        for host in hosts.iter_mut() {
            look_after(host);
        }
    }
    if let Some(front) = front {
        front.end();
    }
    Ok(())
}

fn look_after(host: &mut Host) {
    match host.ended {
        None if host.service.has_ended() => {
            eprintln!(
                "{} has ended; the others settle its runs in about 16 s, and it is started again in {} s",
                host.name,
                RESTART_PAUSE.as_secs()
            );
            host.ended = Some(Instant::now());
        }
        Some(since) if since.elapsed() >= RESTART_PAUSE => match host.service.start_again() {
            Ok(()) => {
                eprintln!("{} is started again, as process {}", host.name, host.service.process());
                host.ended = None;
            }
            Err(problem) => {
                eprintln!("{}: {problem}", host.name);
                host.ended = Some(Instant::now());
            }
        },
        _ => {}
    }
}

/// False if it is interrupted before.
fn wait_until_ready(hosts: &[Host], interrupted: &Receiver<()>) -> Result<bool, String> {
    let until = Instant::now() + START_TIMEOUT;
    for host in hosts {
        while !demo::is_ready(&host.address).unwrap_or(false) {
            if host.service.has_ended() || Instant::now() > until {
                let log = fs::read_to_string(&host.log).unwrap_or_default();
                return Err(format!("{} does not become ready; its log:\n{log}", host.name));
            }
            if !matches!(interrupted.recv_timeout(POLL), Err(RecvTimeoutError::Timeout)) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn show(hosts: &[Host], front: Option<u16>, folder: &Path, binary: &Path) {
    match front {
        Some(port) => {
            eprintln!("\n  Any host    http://127.0.0.1:{port}/   nginx, whose log is {}", front::LOG)
        }
        None => eprintln!("\n  No front: {}", front::MISSING),
    }
    for host in hosts {
        eprintln!(
            "  {}          http://{}/   process {}, log {}",
            host.name,
            host.address,
            host.service.process(),
            host.log.display()
        );
    }
    let [first, second, third] = [0, 1, 2].map(|nth| hosts[nth].address.as_str());
    eprintln!(
        "\n  Start at one     curl -d '{{\"items\":2000}}' 'http://{first}/api/tasks/demo/long-operation/runs?id=first'\n  \
         Watch at another curl -N -H 'Accept: text/event-stream' http://{second}/stream/demo/long-operation/first\n  \
         Pause at a third curl -X POST http://{third}/api/runs/first/pause, and …/resume\n  \
         List the hosts   {} hosts --host http://{first}\n  \
         Kill {}          kill -9 {}: another host goes on from the last checkpoint, in the same stream\n  \
         Look inside      psql \"$(cat {})\" -c 'SET search_path TO streamtask' -c '\\d'\n\n\
         docs/many-hosts.md explains it. Ctrl-C ends everything, and removes the database.\n",
        binary.display(),
        hosts[0].name,
        hosts[0].service.process(),
        folder.join(database::URL_FILE).display(),
    );
}

fn create(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("can't create {}: {error}", folder.display()))
}

/// Removes a file or a folder, if there is one.
fn remove(path: &Path) -> Result<(), String> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("can't remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

/// A port that nobody listens on.
fn free_port() -> Result<u16, String> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
    free.map(|address| address.port()).map_err(|error| format!("there is no free port: {error}"))
}

/// An error of a program that did not start.
fn cannot_start(command: &Command, error: &io::Error) -> String {
    format!("can't start `{}`: {error}", typed(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_hosts_have_the_ports_after_that_of_the_front() {
        let options = parse(&["--port", "9000"]).expect("an option");
        assert_eq!([0, 1, 2].map(|nth| options.host_port(nth)), [9001, 9002, 9003]);
        assert_eq!(parse(&[]).map(|options| options.port), Ok(DEFAULT_PORT));
        for wrong in [&["--port"][..], &["--port", "0"], &["--port", "65533"], &["--hosts", "3"], &["up"]] {
            assert_eq!(parse(wrong), Err(USAGE.to_owned()), "{wrong:?}");
        }
    }

    #[test]
    fn a_host_gets_no_password_in_its_arguments() {
        let folder = Path::new("/cluster");
        let host = command(Path::new("streamtask"), Path::new("/tasks"), folder, "h1", "127.0.0.1:1");
        let words: Vec<_> = host.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert!(words.iter().all(|word| !word.contains("postgres://")), "{words:?}");
        assert!(words.contains(&"/cluster/url".to_owned()), "{words:?}");
    }
}
