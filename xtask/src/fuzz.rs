//! `cargo xtask fuzz`: fuzzes all code that parses untrusted bytes.
//!
//! libFuzzer searches for inputs, guided by the code that each one reaches. So the code must be
//! instrumented, but only the host's own: it is compiled with flags of stable Rust, through the
//! wrapper that cargo starts for a workspace's own packages. That wrapper is this program. All
//! libraries are those of the normal build.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{ask, become_it, cargo, run as run_program};
use crate::{root, target_folder};

/// Environment variable for the compiler wrapper: the folder of libFuzzer. Marks the process as the
/// wrapper.
const LIBFUZZER: &str = "STREAMTASK_LIBFUZZER";
/// Environment variable for the fuzzing program: the target.
const TARGET: &str = "STREAMTASK_FUZZ_TARGET";

/// The flags that instrument coverage and comparisons.
const COUNTING: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
    "--cfg=fuzzing",
];

/// The default duration for each target.
const TIME: Duration = Duration::from_secs(60);
/// The duration for each target in checks: 9,000 inputs of the slowest, 620,000 of the fastest.
const SHORT_TIME: Duration = Duration::from_secs(20);
/// The seed of checks, fixed so that they depend only on the code. 0 means a random one.
const SHORT_SEED: u32 = 1;
/// Concurrent targets.
const AT_ONCE: usize = 2;
/// Longest input in bytes. More would be slower and find no more.
const MAX_LEN: u32 = 4096;
/// Seconds for one input. The longest are hostile schemas, which compile for up to 2 s.
const TIMEOUT_SECS: u32 = 20;
/// Memory of one target. Beyond it an input is a finding.
const MEMORY_MIB: u32 = 2048;
/// Interval of polling for finished targets.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The options.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// None: all.
    target: Option<String>,
    time: Duration,
    seed: u32,
    /// Whether to continue with the inputs found last time.
    keeps_corpus: bool,
}

pub(crate) fn run(arguments: &[OsString]) -> Result<(), String> {
    fuzz(&plan(arguments)?)
}

/// The short form for checks. Starts with the repository's corpus.
pub(crate) fn check() -> Result<(), String> {
    fuzz(&Plan { target: None, time: SHORT_TIME, seed: SHORT_SEED, keeps_corpus: false })
}

/// The reason why this machine can't build libFuzzer, if any.
pub(crate) fn lacks() -> Option<&'static str> {
    let compiler = env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let missing = "fuzzing: needs a C++ compiler; install g++ or clang, or say in CXX which to use";
    ask(Command::new(compiler).arg("--version")).is_none().then_some(missing)
}

fn plan(arguments: &[OsString]) -> Result<Plan, String> {
    let mut plan = Plan { target: None, time: TIME, seed: 0, keeps_corpus: true };
    let mut words = arguments.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let unit = match &*word {
            "--minutes" => 60,
            "--seconds" => 1,
            option if option.starts_with('-') => {
                return Err(format!("{option:?} is no option of `cargo xtask fuzz`"));
            }
            _ if plan.target.is_some() => return Err("name one target, or none for all".to_owned()),
            target => {
                plan.target = Some(target.to_owned());
                continue;
            }
        };
        let number = words.next().and_then(|number| number.parse::<u32>().ok()).filter(|number| *number > 0);
        let number = number.ok_or_else(|| format!("{word} takes a number above 0"))?;
        plan.time = Duration::from_secs(u64::from(number) * unit);
    }
    Ok(plan)
}

fn fuzz(plan: &Plan) -> Result<(), String> {
    if let Some(lacks) = lacks() {
        return Err(lacks.to_owned());
    }
    let mut targets = targets()?;
    if let Some(only) = &plan.target {
        if !targets.contains(only) {
            return Err(format!("there is no target {only:?}; there are {}", targets.join(", ")));
        }
        targets.retain(|target| target == only);
    }
    let program = build()?;
    let mut waiting = targets.into_iter();
    let mut running: Vec<Running> = Vec::new();
    let mut findings = Vec::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(target) = waiting.next()
        {
            running.push(Running::start(&program, target, plan)?);
        }
        if running.is_empty() {
            break;
        }
        std::thread::sleep(LOOK_AGAIN);
        let mut still = Vec::new();
        for mut one in running {
            match one.ended()? {
                None => still.push(one),
                Some(Ok(summary)) => eprintln!("{summary}"),
                Some(Err(finding)) => findings.push(finding),
            }
        }
        running = still;
    }
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n\n")) }
}

/// Each corpus folder is a target; a test of the package finds missing ones.
fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/corpus");
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("can't read {}: {error}", folder.display()))?;
    let mut targets: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    targets.sort();
    Ok(targets)
}

/// Returns the fuzzing program.
fn build() -> Result<PathBuf, String> {
    let libfuzzer = build_libfuzzer()?;
    let this = env::current_exe().map_err(|error| format!("can't find this program: {error}"))?;
    let mut build = cargo(root());
    // Builds the whole workspace, so that libraries have the same features as in tests.
    build.args(["build", "--workspace", "--bin", "streamtask-fuzz", "--target-dir"]).arg(target_folder());
    build.env("RUSTC_WORKSPACE_WRAPPER", this).env(LIBFUZZER, libfuzzer);
    // Instrumented code must be a single codegen unit.
    build.env("CARGO_INCREMENTAL", "0");
    run_program(&mut build)?;
    Ok(target_folder().join("debug/streamtask-fuzz"))
}

/// Returns the folder with libFuzzer.
fn build_libfuzzer() -> Result<PathBuf, String> {
    let mut build = cargo(root());
    build.args(["build", "--package", "streamtask-libfuzzer", "--features", "compiled"]);
    build.args(["--message-format", "json-render-diagnostics", "--target-dir"]).arg(target_folder());
    build.stderr(Stdio::inherit());
    let messages = ask(&mut build).ok_or("libFuzzer can't be compiled")?;
    let built = messages
        .lines()
        .find(|line| line.contains(r#""reason":"build-script-executed""#) && line.contains("libfuzzer-sys"));
    let folder =
        built.and_then(|line| line.split_once(r#""out_dir":""#)).and_then(|(_, rest)| rest.split_once('"'));
    folder.map(|(folder, _)| folder.into()).ok_or_else(|| "cargo does not say where libFuzzer is".to_owned())
}

/// Whether cargo has started this program as the compiler wrapper.
pub(crate) fn is_wrapper() -> bool {
    env::var_os(LIBFUZZER).is_some()
}

/// Compiles one of the workspace's packages. `arguments` begin with the compiler.
pub(crate) fn compile(mut arguments: Vec<OsString>) -> Result<(), String> {
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).and_then(|value| value.to_str())
    };
    let (name, kind) = (after("--crate-name"), after("--crate-type"));
    let flags = flags(name.unwrap_or_default(), kind.unwrap_or_default());
    if arguments.is_empty() {
        return Err("cargo names no compiler".to_owned());
    }
    let mut compiler = Command::new(arguments.remove(0));
    compiler.args(arguments).args(flags);
    become_it(compiler)
}

/// The compiler's arguments in addition to those of cargo.
fn flags(name: &str, kind: &str) -> Vec<OsString> {
    let mut flags: Vec<OsString> = Vec::new();
    if ["streamtask_host", "streamtask_fuzz", "fuzz_targets"].contains(&name) {
        flags.extend(COUNTING.map(OsString::from));
    }
    if (name, kind) == ("streamtask_fuzz", "bin") {
        let mut folder = OsString::from("-Lnative=");
        folder.push(env::var_os(LIBFUZZER).unwrap_or_default());
        flags.extend([folder, "-lstatic=fuzzer".into(), "-ldylib=stdc++".into()]);
    }
    flags
}

/// A target that is being fuzzed.
struct Running {
    target: String,
    process: Child,
    log: PathBuf,
    begun: Instant,
}

impl Running {
    fn start(program: &Path, target: String, plan: &Plan) -> Result<Self, String> {
        let sources = root().join("fuzz");
        let own = target_folder().join("fuzz");
        let artifacts = own.join("artifacts").join(&target);
        let corpus = own.join(if plan.keeps_corpus { "corpus" } else { "fresh-corpus" }).join(&target);
        if !plan.keeps_corpus {
            let _ = fs::remove_dir_all(&corpus);
        }
        for folder in [&artifacts, &corpus] {
            fs::create_dir_all(folder)
                .map_err(|error| format!("can't make {}: {error}", folder.display()))?;
        }
        let log = own.join(format!("{target}.log"));
        let said = File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) = said.map_err(|error| format!("can't write {}: {error}", log.display()))?;

        let mut fuzzer = Command::new(program);
        fuzzer.env(TARGET, &target).stdin(Stdio::null()).stdout(out).stderr(err);
        // libFuzzer writes new inputs to the first folder.
        fuzzer.arg(&corpus).arg(sources.join("corpus").join(&target));
        let regressions = sources.join("regressions").join(&target);
        fuzzer.args(regressions.is_dir().then_some(regressions));
        let dictionary = sources.join("dictionaries").join(format!("{target}.dict"));
        if dictionary.is_file() {
            fuzzer.arg(option("dict", &dictionary));
        }
        // The trailing slash marks it as a folder.
        fuzzer.arg(option("artifact_prefix", artifacts.join("")));
        for (name, value) in [
            ("seed", plan.seed),
            ("max_len", MAX_LEN),
            ("timeout", TIMEOUT_SECS),
            ("rss_limit_mb", MEMORY_MIB),
            ("print_final_stats", 1),
        ] {
            fuzzer.arg(option(name, value.to_string()));
        }
        fuzzer.arg(option("max_total_time", plan.time.as_secs().to_string()));
        let process =
            fuzzer.spawn().map_err(|error| format!("can't start {}: {error}", program.display()))?;
        Ok(Self { target, process, log, begun: Instant::now() })
    }

    /// None while it runs; then the number of inputs, or the finding.
    fn ended(&mut self) -> Result<Option<Result<String, String>>, String> {
        let status = self.process.try_wait();
        let Some(status) = status.map_err(|error| format!("can't wait for {}: {error}", self.target))? else {
            return Ok(None);
        };
        let said = fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let seconds = self.begun.elapsed().as_secs();
        Ok(Some(if status.success() {
            let tried = last_word(&said, "stat::number_of_executed_units:").unwrap_or("no");
            Ok(format!("{}: no fault in {tried} inputs ({seconds} s)", self.target))
        } else {
            Err(finding(&self.target, &said, &self.log))
        }))
    }
}

fn option(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut option = OsString::from(format!("-{name}="));
    option.push(value);
    option
}

/// The last word of the line with this prefix.
fn last_word<'a>(said: &'a str, beginning: &str) -> Option<&'a str> {
    said.lines().find(|line| line.starts_with(beginning))?.split_whitespace().last()
}

/// Describes a finding, and what to do with it.
fn finding(target: &str, said: &str, log: &Path) -> String {
    // The panic message, or libFuzzer's error for a timeout or too much memory.
    let mut lines = said.lines().skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR:"));
    let why: Vec<&str> = lines.by_ref().take(2).collect();
    let written =
        said.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, file)| file);
    let Some(file) = written else {
        return format!("{target}: the fuzzer failed; {} says why", log.display());
    };
    format!(
        "{target}: a fault.\n{}\nThe input: {file}\nAll that was said: {}\n\
         To repeat it: cargo run --package streamtask-fuzz -- {target} {file}\n\
         When it is mended, keep the input in fuzz/regressions/{target}",
        why.join("\n"),
        log.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_and_a_time_are_understood() {
        let plan = |words: &[&str]| plan(&words.iter().map(OsString::from).collect::<Vec<_>>());
        let of = |target: Option<&str>, seconds| {
            let (target, time) = (target.map(str::to_owned), Duration::from_secs(seconds));
            Ok(Plan { target, time, seed: 0, keeps_corpus: true })
        };
        assert_eq!(plan(&[]), of(None, 60));
        assert_eq!(plan(&["streams", "--minutes", "2"]), of(Some("streams"), 120));
        assert_eq!(plan(&["--seconds", "5"]), of(None, 5));
        for bad in [&["--hours"][..], &["--minutes"], &["--minutes", "0"], &["--seconds", "x"], &["a", "b"]] {
            assert!(plan(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_what_is_fuzzed_counts() {
        assert!(flags("streamtask_host", "lib").len() == COUNTING.len());
        assert!(flags("streamtask_fuzz", "bin").len() > COUNTING.len());
        assert!(flags("build_script_build", "bin").is_empty() && flags("___", "").is_empty());
    }

    #[test]
    fn a_finding_says_what_and_where_and_how_to_repeat_it() {
        let said = "INFO: Seed: 1\nthread '<unnamed>' panicked at host/src/x.rs:1:2:\nno good\n\
                    artifact_prefix='x'; Test unit written to /x/crash-1\n";
        let finding = finding("streams", said, Path::new("/x/log"));
        for part in ["host/src/x.rs:1:2:\nno good\n", "/x/crash-1\n", "-- streams /x/crash-1"] {
            assert!(finding.contains(part), "{finding}");
        }
        assert_eq!(last_word("a\nstat::x: 7\n", "stat::x:"), Some("7"));
    }
}
