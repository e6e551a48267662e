//! A terminal, made by `script` (util-linux): what a command shows in it, and what is typed there.

use std::io::{BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::optional::skip;

/// A terminal of 80 columns in which the shell runs a line. Dropping it closes it.
pub struct Terminal {
    script: Child,
    shown: BufReader<ChildStdout>,
}

impl Terminal {
    /// Whether terminals can be made here. If not, `test` notes that it is skipped.
    pub fn is_there(test: &str) -> bool {
        let mut ask = Command::new("script");
        let is_there = ask.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        if !is_there {
            skip(test, "`script`, of util-linux");
        }
        is_there
    }

    /// Runs a line in the folder and the environment of `like`, of which nothing else counts.
    pub fn open(line: &str, like: &Command) -> Self {
        let mut script = Command::new("script");
        script.args(["-qec", &format!("stty cols 80; {line}"), "/dev/null"]);
        for (name, value) in like.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        if let Some(folder) = like.get_current_dir() {
            script.current_dir(folder);
        }
        script.env("TERM", "xterm").env_remove("NO_COLOR");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut script = script.spawn().expect("script starts");
        let shown = BufReader::new(script.stdout.take().expect("piped"));
        Self { script, shown }
    }

    /// Types keys.
    pub fn types(&mut self, keys: &str) {
        let keyboard = self.script.stdin.as_mut().expect("piped");
        keyboard.write_all(keys.as_bytes()).expect("an open terminal");
    }

    /// Waits until the terminal shows a text; returns all that it has shown since the last call.
    pub fn until(&mut self, text: &str) -> String {
        let mut shown = Vec::new();
        let mut byte = [0];
        while !shown.ends_with(text.as_bytes()) {
            let read = self.shown.read(&mut byte).expect("an open terminal");
            assert!(read > 0, "it ended without {text:?}: {}", String::from_utf8_lossy(&shown));
            shown.push(byte[0]);
        }
        String::from_utf8_lossy(&shown).into_owned()
    }

    /// Waits until the line has ended; returns what the terminal has shown since the last call.
    pub fn rest(mut self) -> String {
        let mut shown = Vec::new();
        // On Linux, the end of a terminal is an error.
        let _ = self.shown.read_to_end(&mut shown);
        let _ = self.script.wait();
        String::from_utf8_lossy(&shown).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// A command as a line for a shell.
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| format!("'{}'", word.to_str().expect("UTF-8").replace('\'', r"'\''")));
    quoted.collect::<Vec<_>>().join(" ")
}
