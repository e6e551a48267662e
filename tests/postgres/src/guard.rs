//! A server's process, which ends with the test's, however that ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Starts the server that its arguments name, and says its number. Then waits for the name of a signal, with which it ends
/// the server. If the test has died instead, its end of the pipe is closed: the shell ends the server and removes its folder.
///
/// `INT` and the like go to all processes of a terminal, and the shell has to survive the test.
const GUARD: &str = r#"
trap '' HUP INT QUIT TERM
folder=$1
shift
"$@" >>"$folder/log" 2>&1 &
server=$!
echo $server
if read -r signal; then
  kill -"$signal" $server
  wait $server
else
  kill -QUIT $server
  wait $server
  rm -rf "$folder"
fi
"#;

/// A running server.
pub(crate) struct Guard {
    shell: Child,
    /// Closed when the test dies.
    signals: ChildStdin,
    server: u32,
}

impl Guard {
    /// Starts the server. `shell` runs as the user of the server, in whose folder the log is written.
    pub(crate) fn start(mut shell: Command, folder: &Path, server: &Command) -> Self {
        shell.args(["-c", GUARD, "sh"]).arg(folder).arg(server.get_program()).args(server.get_args());
        let mut shell =
            shell.stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir(folder).spawn().expect("a shell");
        let signals = shell.stdin.take().expect("it is piped");
        let mut number = String::new();
        let output = shell.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut number).expect("the shell says a number");
        let server = number.trim().parse().expect("a number");
        Self { shell, signals, server }
    }

    /// The number of the server's first process.
    pub(crate) fn server(&self) -> u32 {
        self.server
    }

    /// Ends the server by this signal, and waits for it.
    pub(crate) fn end(mut self, signal: &str) {
        // If the server has ended already, the shell still waits for this.
        writeln!(self.signals, "{signal}").expect("the shell reads");
        self.shell.wait().expect("a child");
    }
}
