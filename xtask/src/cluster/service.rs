//! A process that ends when this one does, however that ends.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};
use std::{mem, thread};

use super::cannot_start;

/// Starts the program that its arguments name and prints its number, then sends it the signals that it reads. When there are
/// no more to read, because this process has ended or wants an end, it sends the signal that is its first argument.
const GUARD: &str = r#"
trap '' HUP INT QUIT TERM
last=$1
shift
"$@" <&- &
program=$!
echo $program
exec >&-
while read -r signal; do kill -"$signal" $program; done
kill -"$last" $program 2>/dev/null
wait $program
"#;

/// How often a process is looked at that is to end.
const POLL: Duration = Duration::from_millis(50);

/// A running process, and the shell that guards it.
pub(super) struct Service {
    shell: Child,
    signals: Option<ChildStdin>,
    process: u32,
    /// For another start.
    again: Start,
}

/// How it is started.
struct Start {
    command: Vec<String>,
    variables: Vec<(std::ffi::OsString, Option<std::ffi::OsString>)>,
    folder: Option<PathBuf>,
    last_signal: &'static str,
    log: PathBuf,
    user: Option<(u32, u32)>,
}

impl Service {
    /// Starts a command, whose output is appended to the log. `last_signal` ends it.
    pub(super) fn start(command: &Command, last_signal: &'static str, log: &Path) -> Result<Self, String> {
        Self::start_as(command, last_signal, log, None)
    }

    /// The same as another user and group.
    pub(super) fn start_as(
        command: &Command,
        last_signal: &'static str,
        log: &Path,
        user: Option<(u32, u32)>,
    ) -> Result<Self, String> {
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let own = |word: &std::ffi::OsStr| word.to_owned();
        let start = Start {
            command: words.map(|word| word.to_string_lossy().into_owned()).collect(),
            variables: command.get_envs().map(|(name, value)| (own(name), value.map(own))).collect(),
            folder: command.get_current_dir().map(Path::to_owned),
            last_signal,
            log: log.to_owned(),
            user,
        };
        start.service()
    }

    /// The number of the process.
    pub(super) fn process(&self) -> u32 {
        self.process
    }

    /// Whether the process has ended. The shell has not waited for it, so its number belongs to no other process.
    pub(super) fn has_ended(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap_or_default();
        // The state comes after the name, which is in parentheses and may contain any character.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
    }

    /// Sends the process a signal.
    pub(super) fn signal(&self, signal: &str) {
        if let Some(mut signals) = self.signals.as_ref() {
            // Without the shell there is no process either.
            let _ = writeln!(signals, "{signal}");
        }
    }

    /// Waits for the process to end, and kills it at that time.
    pub(super) fn wait_until(self, until: Instant) {
        while !self.has_ended() && Instant::now() < until {
            thread::sleep(POLL);
        }
        if !self.has_ended() {
            eprintln!("process {} has not stopped in time; killing it", self.process);
            self.signal("KILL");
        }
        self.end();
    }

    /// Ends the process by its last signal, and waits for that.
    pub(super) fn end(mut self) {
        drop(self.signals.take());
        let _ = self.shell.wait();
    }

    /// Starts the process again after it has ended.
    pub(super) fn start_again(&mut self) -> Result<(), String> {
        let next = self.again.service()?;
        mem::replace(self, next).end();
        Ok(())
    }
}

impl Start {
    fn service(&self) -> Result<Service, String> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(|error| format!("can't write {}: {error}", self.log.display()))?;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", GUARD, "sh", self.last_signal]).args(&self.command);
        for (name, value) in &self.variables {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            shell.current_dir(folder);
        }
        if let Some((user, group)) = self.user {
            shell.uid(user).gid(group);
        }
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = shell.spawn().map_err(|error| cannot_start(shell, &error))?;
        let output = child.stdout.take().expect("just piped");
        let mut number = String::new();
        let _ = BufReader::new(output).read_line(&mut number);
        let process =
            number.trim().parse().map_err(|_| format!("can't start `{}`", self.command.join(" ")))?;
        Ok(Service {
            signals: child.stdin.take(),
            shell: child,
            process,
            again: Self {
                command: self.command.clone(),
                variables: self.variables.clone(),
                folder: self.folder.clone(),
                log: self.log.clone(),
                ..*self
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(log: &Path) -> Service {
        let mut sleep = Command::new("/bin/sh");
        sleep.args(["-c", "trap 'echo stopped >&2; exit' TERM; while :; do sleep 0.05; done"]);
        Service::start(&sleep, "TERM", log).expect("a shell")
    }

    #[test]
    fn a_service_ends_in_order_and_can_be_started_again_after_a_kill() {
        let log = std::env::temp_dir().join(format!("xtask-service-{}", std::process::id()));
        let mut service = sleeper(&log);
        assert!(!service.has_ended());
        let first = service.process();
        service.signal("KILL");
        let until = Instant::now() + Duration::from_secs(10);
        while !service.has_ended() {
            assert!(Instant::now() < until, "it was killed");
            thread::sleep(POLL);
        }
        service.start_again().expect("a shell");
        assert!(service.process() != first && !service.has_ended());
        let second = service.process();
        // When its trap is set, nothing says.
        thread::sleep(Duration::from_millis(200));
        service.end();
        assert!(!Path::new(&format!("/proc/{second}")).exists(), "it has ended");
        assert!(fs::read_to_string(&log).expect("a log").contains("stopped"), "in order");
        fs::remove_file(&log).expect("a log");
    }
}
