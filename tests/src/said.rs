//! A command that ends, and what it said.

use std::process::{Child, Command, Stdio};

/// How a command ended, and what it printed.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it said beside that.
    pub err: String,
}

impl Said {
    /// By a command, from start to end. It gets no input.
    pub fn of(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::by(command.spawn().expect("the command starts"))
    }

    /// By a process until its end.
    pub fn by(process: Child) -> Self {
        let output = process.wait_with_output().expect("a child");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let code = output.status.code().unwrap_or_else(|| panic!("it was killed: {}", output.status));
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// Panics unless the command ended with that code and said `why` in one line.
    #[track_caller]
    pub fn refused(&self, code: i32, why: &str) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        let lines: Vec<&str> = self.err.lines().collect();
        let clear = lines.len() == 1 && lines[0].starts_with("streamtask: ") && lines[0].contains(why);
        assert!(clear, "{lines:?} does not say {why:?}");
    }
}
