//! Other programs: cargo, and the tools of other languages.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// Cargo for the host's workspace, the same that runs this program. Without the variables that
/// cargo sets for this package: some dependencies and their dependents are recompiled if these
/// differ.
pub(crate) fn cargo(folder: PathBuf) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo.current_dir(folder);
    cargo
}

/// Cargo for a workspace of guests. Settings for the host, such as flags for its processor, must
/// not apply to them, and the location of the results must not change.
pub(crate) fn guest_cargo(folder: PathBuf) -> Command {
    let target = folder.join("target");
    let mut cargo = cargo(folder);
    cargo.env("CARGO_TARGET_DIR", target).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo
}

/// Runs a program in this terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    succeeded(command, status)
}

/// Runs a program in this terminal, and calls `see` with each line of its output.
pub(crate) fn run_watching(command: &mut Command, see: impl FnMut(&str)) -> Result<(), String> {
    let program = command.stdout(Stdio::piped()).spawn();
    let mut program = program.map_err(|error| cannot_start(command, &error))?;
    let copied = copy_lines(program.stdout.take().expect("just piped"), see);
    let status = program.wait().map_err(|error| format!("can't wait for `{}`: {error}", typed(command)))?;
    copied.map_err(|error| format!("can't show what `{}` prints: {error}", typed(command)))?;
    succeeded(command, status)
}

/// Reads its source to the end, so that a program never blocks on a full pipe.
fn copy_lines(source: impl io::Read, mut see: impl FnMut(&str)) -> io::Result<()> {
    for line in BufReader::new(source).split(b'\n') {
        let mut line = line?;
        see(&String::from_utf8_lossy(&line));
        line.push(b'\n');
        io::stdout().write_all(&line)?;
    }
    Ok(())
}

/// Runs a program silently; if it fails, the error has its output.
pub(crate) fn run_quietly(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    succeeded(command, output.status).map_err(|mut problem| {
        for said in [output.stdout, output.stderr] {
            let said = String::from_utf8_lossy(&said);
            if !said.trim().is_empty() {
                problem.push('\n');
                problem.push_str(said.trim_end());
            }
        }
        problem
    })
}

/// The output of a program, if it exists and succeeds.
pub(crate) fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Replaces this process by a program, which receives its signals and sets its exit code.
/// Returns only if that fails.
pub(crate) fn become_it(mut command: Command) -> Result<(), String> {
    use std::os::unix::process::CommandExt as _;
    let error = command.exec();
    Err(cannot_start(&command, &error))
}

/// The command as a shell line.
pub(crate) fn typed(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let words = program.file_stem().into_iter().chain(command.get_args()).map(OsStr::to_string_lossy);
    words.collect::<Vec<_>>().join(" ")
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", typed(command))) }
}

fn cannot_start(command: &Command, error: &io::Error) -> String {
    format!("can't start `{}`: {error}", typed(command))
}
