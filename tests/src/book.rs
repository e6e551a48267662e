//! The book's pages, done by a reader: what their commands print, and the files that they tell to write. It uses only the
//! standard library.
//!
//! A `console` block is a list of commands, each after `$ `, with what it prints: `…` stands for any text, a line of `...`
//! for any lines.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a page tells its reader to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A command, and the lines that it prints.
    Command(String, Vec<String>),
    /// A file, and its content: all of it, or what to append.
    File(String, String, bool),
    /// A command in a terminal of its own.
    Service(String),
}

/// A step, and the line of the page on which it stands.
pub type Line = (usize, Step);

/// The commands of a page's `console` blocks.
pub fn commands(page: &str) -> Vec<Line> {
    steps(page).into_iter().filter(|(_, step)| matches!(step, Step::Command(..))).collect()
}

/// All steps of a tutorial. The line above a file names it, and says "append" if that is meant; a `sh` block runs in a
/// terminal of its own.
pub fn steps(page: &str) -> Vec<Line> {
    let mut steps = Vec::new();
    let mut before = "";
    let mut lines = page.lines().enumerate();
    while let Some((nth, line)) = lines.next() {
        let Some(fence) = line.strip_prefix("```") else {
            if !line.trim().is_empty() {
                before = line;
            }
            continue;
        };
        let block: Vec<(usize, &str)> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
        let text = || block.iter().map(|(_, line)| format!("{line}\n")).collect::<String>();
        match fence {
            "console" => console(&block, &mut steps),
            "sh" => steps.push((nth + 1, Step::Service(text().trim().to_owned()))),
            _ => {
                if let Some(name) = before.rsplit('`').nth(1) {
                    let appends = before.to_lowercase().contains("append");
                    steps.push((nth + 1, Step::File(name.to_owned(), text(), appends)));
                }
            }
        }
    }
    steps
}

fn console(block: &[(usize, &str)], steps: &mut Vec<Line>) {
    for (nth, line) in block {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push((nth + 1, Step::Command(command.to_owned(), Vec::new()))),
            (None, Some((_, Step::Command(_, expected)))) => expected.push((*line).to_owned()),
            (None, _) => panic!("line {}: output without a command", nth + 1),
        }
    }
}

/// Whether a line is as a page has it.
pub fn line_matches(expected: &str, line: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// The same for many lines.
pub fn matches(expected: &[String], lines: &[&str]) -> bool {
    match (expected, lines) {
        ([], []) => true,
        ([dots, others @ ..], _) if dots == "..." => {
            (0..=lines.len()).any(|skipped| matches(others, &lines[skipped..]))
        }
        ([first, others @ ..], [line, rest @ ..]) => line_matches(first, line) && matches(others, rest),
        _ => false,
    }
}

/// A reader with a shell, who stays in a folder and keeps what was exported.
pub struct Reader {
    folder: PathBuf,
    variables: Vec<(String, String)>,
    /// What differs here from a reader's machine, such as ports.
    replace: Vec<(String, String)>,
}

impl Reader {
    /// A reader in this folder, for whom each first text of `replace` is the second.
    pub fn new(folder: PathBuf, replace: Vec<(String, String)>) -> Self {
        Self { folder, variables: Vec::new(), replace }
    }

    /// Sets an environment variable for all that follows.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// A text of the page as it is meant here.
    pub fn here(&self, text: &str) -> String {
        self.replace.iter().fold(text.to_owned(), |text, (what, by)| text.replace(what, by))
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", &self.here(command)]).current_dir(&self.folder);
        shell.envs(self.variables.iter().map(|(name, value)| (name, value)));
        shell
    }

    /// Runs a command; panics unless it succeeds and prints what the page says.
    pub fn run(&mut self, place: &str, command: &str, expected: &[String]) {
        if let Some(folder) = command.strip_prefix("cd ") {
            self.folder = self.folder.join(folder);
            return;
        }
        if let Some((name, value)) = command.strip_prefix("export ").and_then(|text| text.split_once('=')) {
            return self.set(name, value);
        }
        let output = self.shell(command).output().expect("sh runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{place}: {command}: {}\n{printed}{errors}", output.status);
        // Blank lines at the end are hard to see in a page.
        let lines: Vec<&str> = printed.trim_end().lines().collect();
        let expected: Vec<String> = expected.iter().map(|line| self.here(line)).collect();
        assert!(
            matches(&expected, &lines),
            "{place}: {command}\nprints\n{printed}\nnot\n{}",
            expected.join("\n")
        );
    }

    /// Writes a file, or appends to it.
    pub fn write(&self, name: &str, content: &str, appends: bool) {
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(appends).truncate(!appends);
        let path = self.folder.join(name);
        let blank = if appends { "\n" } else { "" };
        let written = options
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{blank}{}", self.here(content)).as_bytes()));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Starts a command that goes on, and waits until it answers `GET` of a path at this port with 200.
    pub fn serve(&self, command: &str, port: u16, path: &str, patience: Duration) -> Service {
        let log = fs::File::create(self.folder.join(format!("log-{port}"))).expect("a writable folder");
        let mut shell = self.shell(&format!("exec env {command}"));
        shell.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let service = Service(shell.spawn().expect("sh starts"));
        let until = Instant::now() + patience;
        while !get(port, path).is_some_and(|answer| answer.contains(" 200 ")) {
            assert!(Instant::now() < until, "stuck: {command}");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }
}

/// A command that goes on until it is dropped, which kills it.
pub struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of this machine that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// The answer to a `GET`, with its head; none if nobody answers.
pub fn get(port: u16, path: &str) -> Option<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
