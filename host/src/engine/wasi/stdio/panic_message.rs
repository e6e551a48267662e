//! The panic or exception that a guest printed last, without the backtraces and hints around it.
//!
//! Each language runtime prints these in a form of its own. This module knows those of Rust, Go, Python, C and C++.
//! The whole output is in the run's log.

/// Beginnings of the first line.
const BEGINNINGS: [&str; 8] = [
    "thread '",
    "panic: ",
    "fatal error: ",
    "runtime: out of memory",
    "Traceback (most recent call last):",
    "Assertion failed: ",
    "libc++abi: ",
    "terminate called ",
];
/// Most bytes that are kept. A backtrace can be long; the author's own function is near its beginning or, in Python,
/// near the end of a short one.
const MAX_BYTES: usize = 4 << 10;

/// Collects the lines of the last panic or exception.
#[derive(Default)]
pub(in crate::engine) struct PanicParser(String);

/// A panic or exception.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine) struct PanicMessage {
    /// One line: what happened, and where in the author's source if that was printed.
    pub(in crate::engine) message: String,
    pub(in crate::engine) is_out_of_memory: bool,
}

impl PanicParser {
    /// Adds a line of stderr.
    pub(in crate::engine) fn add(&mut self, line: &str) {
        // A panic may be printed within another one that was caught and is rethrown.
        if BEGINNINGS.iter().any(|beginning| line.starts_with(beginning)) && !self.is_of_memory(line) {
            self.0.clear();
        } else if self.0.is_empty() {
            return;
        }
        if self.0.len() + line.len() <= MAX_BYTES {
            self.0.push_str(line);
            self.0.push('\n');
        }
    }

    /// Go reports a lack of memory twice; the first message has the details.
    fn is_of_memory(&self, line: &str) -> bool {
        line.starts_with("fatal error: ") && self.0.starts_with("runtime: out of memory")
    }

    /// None if the guest printed no known form.
    pub(in crate::engine) fn message(&self) -> Option<PanicMessage> {
        let lines: Vec<&str> = self.0.lines().map(|line| line.trim_end_matches('\r')).collect();
        let first = *lines.first()?;
        let message = if first.starts_with("thread '") {
            of_rust(&lines)?
        } else if ["panic: ", "fatal error: ", "runtime: "].iter().any(|word| first.starts_with(word)) {
            of_go(&lines)
        } else if first.starts_with("Traceback") {
            of_python(&lines)?
        } else {
            first.to_owned()
        };
        let is_out_of_memory =
            ["runtime: out of memory", "fatal error: out of memory", "fatal error: runtime: out of memory"]
                .iter()
                .any(|beginning| first.starts_with(beginning))
                || message.starts_with("MemoryError");
        Some(PanicMessage { message, is_out_of_memory })
    }
}

/// The line that gives the reason why a program failed, among its last lines. The lines after it often are a location,
/// a stack or a hint, which are indented or do not contain "error".
pub(in crate::engine) fn error_line(printed: &str) -> Option<&str> {
    let begins = |line: &&str| !line.is_empty() && !line.starts_with([' ', '\t']);
    let mentions_error = |line: &&str| {
        let is_word = |(at, word): (usize, &str)| !line[at + word.len()..].starts_with(['s', 'S']);
        ["error", "Error", "ERROR"].into_iter().flat_map(|word| line.match_indices(word)).any(is_word)
    };
    let lines = || printed.lines().map(str::trim_end).rev();
    let of_error = lines().filter(begins).find(mentions_error);
    of_error.or_else(|| lines().find(begins)).or_else(|| lines().find(|line| !line.is_empty())).map(str::trim)
}

/// Whether it is the hint that Rust prints after a panic.
pub(in crate::engine) fn is_backtrace_hint(line: &str) -> bool {
    line.starts_with("note: run with `RUST_BACKTRACE=")
}

/// `thread 'main' (1) panicked at src/lib.rs:7:9:`, the message, and advice.
fn of_rust(lines: &[&str]) -> Option<String> {
    let (_, place) = lines[0].split_once(" panicked at ")?;
    let place = place.trim_end_matches(':');
    let ends = |line: &str| line.starts_with("note: ") || line.starts_with("stack backtrace:");
    let message: Vec<&str> = lines[1..].iter().take_while(|line| !ends(line)).copied().collect();
    match message.join(" ").trim() {
        // The form before Rust 1.73: the message, then the location.
        "" => Some(format!("panicked: {place}")),
        message => Some(format!("panicked at {place}: {message}")),
    }
}

/// `panic: why`, and for each goroutine functions with their files:
///
/// ```text
/// goroutine 7 [running]:
/// main.deep(...)
///         /src/main.go:33 +0x91
/// ```
fn of_go(lines: &[&str]) -> String {
    let is_own = |function: &str| {
        let libraries = ["runtime.", "panic(", "created by ", "internal/", "sync.", "github.com/streamtask/"];
        !libraries.iter().any(|library| function.starts_with(library))
    };
    let is_place = |line: &str| line.starts_with('\t') && line.contains(".go:");
    let frames = lines.windows(2).filter(|pair| is_place(pair[1]) && !pair[0].starts_with('\t'));
    let own = frames.filter(|pair| is_own(pair[0])).find_map(|pair| {
        let function = pair[0].rsplit_once('(').map_or(pair[0], |(function, _)| function);
        let place = pair[1].trim().split(' ').next()?;
        Some(format!("{} at {}", function.rsplit('/').next()?, place.rsplit('/').next()?))
    });
    // A panic that was recovered and panics again.
    let message = lines[0].split(" [recovered").next().unwrap_or(lines[0]);
    own.map_or_else(|| message.to_owned(), |own| format!("{message}, in {own}"))
}

/// The exception is the last line, after the line that raised it.
fn of_python(lines: &[&str]) -> Option<String> {
    let is_indented = |line: &str| line.starts_with([' ', '\t']);
    let exception = lines[1..].iter().find(|line| !line.is_empty() && !is_indented(line))?;
    let place = lines.iter().rev().find_map(|line| {
        let (file, rest) = line.trim_start().strip_prefix("File \"")?.split_once("\", line ")?;
        let (line, function) = rest.split_once(", in ").unwrap_or((rest, "<module>"));
        Some(format!("{function} at {}:{line}", file.rsplit('/').next()?))
    });
    Some(place.map_or_else(|| (*exception).to_owned(), |place| format!("{exception}, in {place}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(printed: &str) -> Option<PanicMessage> {
        let mut words = PanicParser::default();
        printed.lines().for_each(|line| words.add(line));
        words.message()
    }

    fn message(printed: &str) -> String {
        reason(printed).unwrap().message
    }

    #[test]
    fn the_error_line_mentions_an_error() {
        for (printed, line) in [
            (
                "error: invalid value 'x'\n  [possible values: a]\n\nFor more information, try '--help'.",
                "error: invalid value 'x'",
            ),
            ("rg: regex parse error:\n    (?:()\n    ^\nerror: unclosed group", "error: unclosed group"),
            ("TypeError: not a function\n    at f (a.js:1:2)\n", "TypeError: not a function"),
            (
                "Parse error near line 1: syntax error\r\n  selec 1;\r\n  ^--- error here\r\n",
                "Parse error near line 1: syntax error",
            ),
            ("using mirror a\nreading b\nb: No such file", "b: No such file"),
            ("2 errors\nof 3: No such file", "of 3: No such file"),
            ("ERROR: no\n2 errors", "ERROR: no"),
            ("  only this\n\n", "only this"),
        ] {
            assert_eq!(error_line(printed), Some(line));
        }
        assert_eq!(error_line(" \n"), None);
    }

    #[test]
    fn a_panic_of_rust_is_its_message_and_its_place() {
        let panic = "begin\nthread 'main' (1) panicked at src/lib.rs:7:9:\nfirst\nsecond\n\
                     note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(message(panic), "panicked at src/lib.rs:7:9: first second");
        assert_eq!(
            message("thread 'x' panicked at 'why', src/lib.rs:7:9\n"),
            "panicked: 'why', src/lib.rs:7:9"
        );
    }

    #[test]
    fn a_panic_of_go_is_its_message_and_the_authors_function() {
        let panic = "panic: runtime error: index out of range [7] with length 2\n\ngoroutine 18 [running]:\n\
                     runtime.goPanicIndex(0x7)\n\t/go/src/runtime/panic.go:115 +0x74\n\
                     example.org/task/main.deep(...)\n\t/home/ada/task/main.go:33 +0x91\n\
                     created by main.run in goroutine 1\n\t/home/ada/task/main.go:20 +0x2\n";
        assert_eq!(
            message(panic),
            "panic: runtime error: index out of range [7] with length 2, in main.deep at main.go:33"
        );
        let again = "panic: boom [recovered, repanicked]\n\ngoroutine 1 [running]:\n\
                     github.com/streamtask/streamtask/guest-sdk/go.(*Context).attempt.func1()\n\t/sdk/run.go:65 +0x2\n\
                     panic({0x1, 0x2})\n\t/go/src/runtime/panic.go:1 +0x2\nmain.deep()\n\t/src/main.go:7 +0x2\n";
        assert_eq!(message(again), "panic: boom, in main.deep at main.go:7");
        let older = again.replace(" [recovered, repanicked]", " [recovered]\n\tpanic: boom");
        assert_eq!(message(&older), "panic: boom, in main.deep at main.go:7");
        let asleep = "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\n\
                      main.main()\n\t/src/main.go:9 +0x2\n";
        assert_eq!(
            message(asleep),
            "fatal error: all goroutines are asleep - deadlock!, in main.main at main.go:9"
        );
    }

    #[test]
    fn a_lack_of_memory_is_recognised() {
        let go = "runtime: out of memory: cannot allocate 4194304-byte block (62 in use)\nfatal error: out of memory\n\
                  \ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:9 +0x2\n";
        let reason = reason(go).unwrap();
        assert!(reason.is_out_of_memory && reason.message.starts_with("runtime: out of memory: cannot"));
        assert!(reason.message.ends_with(", in main.main at main.go:9"), "{}", reason.message);
    }

    #[test]
    fn an_exception_of_python_is_its_last_line_and_the_line_that_raised_it() {
        let chained = "Traceback (most recent call last):\n  File \"/src/a.py\", line 1, in f\n    x\nKeyError: 'a'\n\n\
                       During handling of the above exception, another exception occurred:\n\n\
                       Traceback (most recent call last):\n  File \"/src/task.py\", line 9, in <module>\n    f()\n\
                       \x20 File \"/src/task.py\", line 4, in f\n    raise ValueError(\"no\")\nValueError: no\n";
        assert_eq!(message(chained), "ValueError: no, in f at task.py:4");
    }

    #[test]
    fn unknown_output_has_no_message_and_long_output_is_bounded() {
        assert_eq!(reason("something\nelse\n"), None);
        assert_eq!(
            message("Assertion failed: n > 0 (task.c: deep: 7)\n"),
            "Assertion failed: n > 0 (task.c: deep: 7)"
        );
        let endless = format!("panic: why\n{}", "x\n".repeat(100_000));
        assert_eq!(message(&endless), "panic: why");
        assert_eq!(reason(&format!("panic: {}\n", "x".repeat(10_000))), None);
        assert_eq!(reason("Traceback (most recent call last):\n"), None);
        assert_eq!(reason("thread 'x' has overflowed its stack\n"), None);
    }
}
