//! Folders and output files of programs for WASI preview 1 (core modules) and of
//! `wasi:cli/command` components: the same bounds as `files.rs` holds for tasks of our world.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};
use streamtask_tests::{Api, TestHost, eventually, guests};

/// Answers of preview 1.
const SUCCESS: u8 = 0;
const MFILE: u8 = 33;
const NOSPC: u8 = 51;
const NOTSUP: u8 = 58;
/// Flags of `path_open`, and rights to read and write.
const NONE: i32 = 0;
const CREATE: i32 = 1;
const READ_WRITE: i64 = 1 << 1 | 1 << 6;
/// Flag of a file: what is written goes to its end.
const APPEND: i32 = 1;
/// The first granted folder; the output is behind the others.
const FIRST: i32 = 3;

/// The functions that programs call here, with the types of their arguments.
const FUNCTIONS: [(&str, &str); 13] = [
    ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
    ("fd_close", "i32"),
    ("fd_renumber", "i32 i32"),
    ("fd_write", "i32 i32 i32 i32"),
    ("fd_pwrite", "i32 i32 i32 i64 i32"),
    ("fd_seek", "i32 i64 i32 i32"),
    ("fd_allocate", "i32 i64 i64"),
    ("fd_fdstat_set_flags", "i32 i32"),
    ("fd_filestat_set_size", "i32 i64"),
    ("path_create_directory", "i32 i32 i32"),
    ("path_link", "i32 i32 i32 i32 i32 i32 i32"),
    ("path_symlink", "i32 i32 i32 i32 i32"),
    ("path_rename", "i32 i32 i32 i32 i32 i32"),
];

// Where things are in a program's memory; before them, descriptors.
const WRITTEN: u32 = 1800;
const PIECES: u32 = 1808;
const ANSWERS: u32 = 2048;
const TEXTS: u32 = 8192;
const BYTES: u32 = 65536;

/// So that each answer is a sign that a JSON string may have: 0 is `#`.
const FIRST_SIGN: u8 = b'#';

/// A program in text: it makes calls, one after the other, and its result is their answers.
#[derive(Default)]
struct Program {
    data: String,
    used: u32,
    calls: String,
    count: u32,
    opened: u32,
}

fn number(value: i32) -> String {
    format!("(i32.const {value})")
}

fn long(value: i64) -> String {
    format!("(i64.const {value})")
}

impl Program {
    fn call(&mut self, name: &str, arguments: &[String]) {
        let at = ANSWERS + self.count;
        self.count += 1;
        let arguments = arguments.join(" ");
        let sign = format!("(i32.add (call ${name} {arguments}) (i32.const {FIRST_SIGN}))");
        writeln!(self.calls, "(i32.store8 (i32.const {at}) {sign})").unwrap();
    }

    /// The two arguments that are a text.
    fn text(&mut self, text: &str) -> String {
        let at = TEXTS + self.used;
        self.used += text.len() as u32;
        writeln!(self.data, "(data (i32.const {at}) {text:?})").unwrap();
        format!("(i32.const {at}) (i32.const {})", text.len())
    }

    /// Opens a file; returns the descriptor, which is known when the program runs.
    fn open(&mut self, folder: i32, path: &str, flags: i32, file_flags: i32) -> String {
        let (path, at) = (self.text(path), self.opened * 4);
        self.opened += 1;
        let rights = long(READ_WRITE);
        let rest = [number(flags), rights, long(0), number(file_flags), number(at as i32)];
        self.call("path_open", &[&[number(folder), number(0), path], &rest[..]].concat());
        format!("(i32.load (i32.const {at}))")
    }

    fn pieces(&mut self, length: u32) -> [String; 2] {
        // An empty piece before, which the library passes over.
        for (place, value) in [(0, BYTES), (4, 0), (8, BYTES), (12, length)] {
            writeln!(self.calls, "(i32.store (i32.const {}) (i32.const {value}))", PIECES + place).unwrap();
        }
        [number(PIECES as i32), number(2)]
    }

    fn write(&mut self, fd: &str, length: u32) {
        let [at, count] = self.pieces(length);
        self.call("fd_write", &[fd.to_owned(), at, count, number(WRITTEN as i32)]);
    }

    fn write_at(&mut self, fd: &str, position: i64, length: u32) {
        let [at, count] = self.pieces(length);
        self.call("fd_pwrite", &[fd.to_owned(), at, count, long(position), number(WRITTEN as i32)]);
    }

    fn wasm(&self) -> Vec<u8> {
        let mut text = String::from("(module\n");
        for (name, types) in FUNCTIONS {
            let import = format!("(import \"wasi_snapshot_preview1\" \"{name}\"");
            writeln!(text, "{import} (func ${name} (param {types}) (result i32)))").unwrap();
        }
        let (begin, end) = (ANSWERS - 1, ANSWERS + self.count);
        writeln!(text, "(memory (export \"memory\") 4)\n{}", self.data).unwrap();
        writeln!(text, "(data (i32.const {begin}) \"\\22\") (data (i32.const {end}) \"\\22\\0a\")").unwrap();
        writeln!(text, "(func (export \"_start\")\n{}", self.calls).unwrap();
        for (place, value) in [(0, begin), (4, self.count + 3)] {
            writeln!(text, "(i32.store (i32.const {}) (i32.const {value}))", PIECES + place).unwrap();
        }
        let print = format!("(i32.const 1) (i32.const {PIECES}) (i32.const 1) (i32.const {WRITTEN})");
        writeln!(text, "(drop (call $fd_write {print}))))").unwrap();
        guests::wat(&text)
    }
}

/// A run of a program with this manifest, in which `FOLDER` is a folder with the file `a.txt`;
/// the answers, and the run.
async fn run(program: &Program, manifest: &str) -> (TestHost, Vec<u8>, Value) {
    let host = TestHost::with(|config| config.grants = "all".parse().unwrap()).await;
    let folder = host.tasks().join("../in");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.txt"), "inside").unwrap();
    fs::create_dir_all(host.tasks().join("test")).unwrap();
    let folder = folder.canonicalize().unwrap();
    let manifest = manifest.replace("FOLDER", folder.to_str().unwrap());
    fs::write(host.tasks().join("test/module.toml"), manifest).unwrap();
    host.install("test/module.wasm", &program.wasm()).await;
    let run = host.start_run("test/module", json!(null)).await;
    let run = host.finished(&run).await;
    let signs = run["final_value"].as_str().unwrap_or_else(|| panic!("{run}"));
    let answers = signs.bytes().map(|sign| sign - FIRST_SIGN).collect();
    (host, answers, run)
}

async fn notes(host: &Api, run: &Value) -> Vec<String> {
    let events = host.follow(run).await.rest().await;
    let data = events.iter().map(|event| event.json()["data"].clone());
    let notes = data.filter(|data| data["stream"] == "host");
    notes.map(|data| data["message"].as_str().unwrap().to_owned()).collect()
}

async fn listed(host: &Api, run: &Value) -> Vec<(String, u64)> {
    let list = host.get(&format!("/api/runs/{}/files", run["id"].as_str().unwrap())).await.json();
    let files = list["files"].as_array().unwrap().iter();
    files.map(|file| (file["path"].as_str().unwrap().to_owned(), file["size"].as_u64().unwrap())).collect()
}

const FOLDER: &str = "[[grants.folders]]\npath = 'FOLDER'\nmount = '/data'\nwrite = true\n";
const OUTPUT: &str = "[grants]\noutput-files = true\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_module_leaves_files_behind_and_a_folder_has_no_part_in_their_bounds() {
    let mut program = Program::default();
    let inside = program.open(FIRST, "b.txt", CREATE, NONE);
    program.write(&inside, 50_000);
    let output = FIRST + 1;
    let folder = program.text("sub");
    program.call("path_create_directory", &[number(output), folder]);
    let file = program.open(output, "sub/c.txt", CREATE, NONE);
    program.write(&file, 600);
    program.write(&file, 400);
    let (host, answers, run) =
        run(&program, &format!("{OUTPUT}output-files-size = '1KB'\noutput-files-count = 2\n{FOLDER}")).await;
    assert_eq!(answers, [SUCCESS; 6]);
    assert_eq!(listed(&host, &run).await, [("sub/c.txt".to_owned(), 1000)]);
    let url = format!("/api/runs/{}/files/sub/c.txt", run["id"].as_str().unwrap());
    assert_eq!(host.get(&url).await.body.len(), 1000);
    assert_eq!(fs::metadata(host.tasks().join("../in/b.txt")).unwrap().len(), 50_000);
}

/// More than a call may hand over. Its exit code is the first step that goes otherwise.
const LARGE: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pread" (func $read (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 400)
    (data (i32.const 64) "large")
    (func $must (param $holds i32) (param $step i32)
        (if (i32.eqz (local.get $holds)) (then (call $exit (local.get $step)))))
    ;; It took a part, and the length is as it was.
    (func $took_a_part (param $step i32)
        (call $must (i32.load (i32.const 16)) (local.get $step))
        (call $must (i32.le_u (i32.load (i32.const 16)) (i32.const 8388608)) (local.get $step))
        (call $must (i32.eq (i32.load (i32.const 4)) (i32.const 20971520)) (i32.add (local.get $step) (i32.const 1))))
    (func (export "_start")
        (call $must (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 5) (i32.const 1)
            (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 32))) (i32.const 1))
        (i32.store (i32.const 0) (i32.const 65536))
        (i32.store (i32.const 4) (i32.const 20971520))
        (call $must (i32.eqz (call $write (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 16)))
            (i32.const 2))
        (call $took_a_part (i32.const 3))
        (call $must (i32.eqz (call $read (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i64.const 0)
            (i32.const 16))) (i32.const 5))
        (call $took_a_part (i32.const 6))))"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_module_reads_and_writes_in_parts_what_is_too_much_for_one_call() {
    let host = TestHost::with(|config| config.grants = "all".parse().unwrap()).await;
    fs::create_dir_all(host.tasks().join("test")).unwrap();
    fs::write(host.tasks().join("test/module.toml"), OUTPUT).unwrap();
    host.install("test/module.wasm", &guests::wat(LARGE)).await;
    let run = host.start_run("test/module", json!(null)).await;
    let run = host.finished(&run).await;
    assert_eq!(run["status"], "completed", "{run}");
    assert_eq!(listed(&host, &run).await, [("large".to_owned(), 8 << 20)]);
    // What is refused leaves the length as it was, too.
    fs::write(host.tasks().join("test/module.toml"), format!("{OUTPUT}output-files-size = '1MB'\n")).unwrap();
    let refused = async || {
        let run = host.start_run("test/module", json!(null)).await;
        host.finished(&run).await["error"]["details"]["exit_code"] == 2
    };
    eventually("the manifest", refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modules_output_is_bounded_in_size_however_it_is_written() {
    let mut program = Program::default();
    let mut expected = Vec::new();
    let full = program.open(FIRST, "full", CREATE, NONE);
    program.write(&full, 90_000);
    let other = program.open(FIRST, "other", CREATE, NONE);
    expected.extend([SUCCESS; 3]);
    program.write(&other, 90_000);
    program.write_at(&other, 1 << 40, 1);
    program.call("fd_filestat_set_size", &[other.clone(), long(1 << 40)]);
    expected.extend([NOSPC; 3]);
    // The hole counts.
    program.call("fd_seek", &[other.clone(), long(50_000), number(0), number(WRITTEN as i32)]);
    program.write(&other, 1);
    expected.extend([SUCCESS, NOSPC]);
    // In place, nothing grows.
    program.write_at(&full, 0, 1000);
    program.call("fd_filestat_set_size", &[full.clone(), long(90_000)]);
    expected.extend([SUCCESS; 2]);
    // To the end, wherever it says: opened so, and told so later.
    let appends = program.open(FIRST, "full", NONE, APPEND);
    program.write(&appends, 20_000);
    program.call("fd_fdstat_set_flags", &[full.clone(), number(APPEND)]);
    program.write_at(&full, 0, 20_000);
    expected.extend([SUCCESS, NOSPC, SUCCESS, NOSPC]);
    // Under another number, and under one that was given before.
    program.call("fd_renumber", &[other, appends.clone()]);
    program.write(&appends, 20_000);
    program.call("fd_close", &[full]);
    let again = program.open(FIRST, "again", CREATE, NONE);
    program.write(&again, 20_000);
    expected.extend([SUCCESS, NOSPC, SUCCESS, SUCCESS, NOSPC]);
    // Cut off, it is not given back.
    let cut = program.open(FIRST, "full", NONE, NONE);
    program.call("fd_filestat_set_size", &[cut.clone(), long(0)]);
    program.write(&cut, 20_000);
    program.write(&cut, 10_000);
    program.call("fd_allocate", &[cut, long(0), long(1 << 40)]);
    expected.extend([SUCCESS, SUCCESS, NOSPC, SUCCESS, NOTSUP]);
    let (host, answers, run) = run(&program, &format!("{OUTPUT}output-files-size = '100KB'\n")).await;
    assert_eq!(answers, expected);
    let notes = notes(&host, &run).await;
    assert!(notes.len() == 1 && notes[0].contains("raise output-files-size"), "{notes:?}");
    let sum: u64 = listed(&host, &run).await.iter().map(|(_, size)| size).sum();
    assert_eq!(sum, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modules_output_is_bounded_in_number() {
    let mut program = Program::default();
    let folder = number(FIRST);
    let mut text = |text: &str| program.text(text);
    let [one, two, three, four, six, seven, eight] = ["1", "2", "3", "4", "6", "7", "8"].map(&mut text);
    program.open(FIRST, "1", CREATE, NONE);
    program.open(FIRST, "1", CREATE, NONE);
    program.call("path_create_directory", &[folder.clone(), two]);
    program.call("path_link", &[folder.clone(), number(0), one.clone(), folder.clone(), three]);
    program.call("path_symlink", &[one.clone(), folder.clone(), four]);
    program.open(FIRST, "2/5", CREATE, NONE);
    program.call("path_create_directory", &[folder.clone(), six]);
    program.call("path_link", &[folder.clone(), number(0), one.clone(), folder.clone(), seven]);
    program.call("path_rename", &[folder.clone(), one, folder, eight]);
    let (host, answers, run) = run(&program, &format!("{OUTPUT}output-files-count = 4\n")).await;
    let expected = [SUCCESS, SUCCESS, SUCCESS, SUCCESS, SUCCESS, NOSPC, NOSPC, NOSPC, SUCCESS];
    assert_eq!(answers, expected);
    let notes = notes(&host, &run).await;
    assert!(notes.len() == 1 && notes[0].contains("raise output-files-count"), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_a_module_has_open_are_bounded() {
    let mut program = Program::default();
    let opened: Vec<String> = (0..300).map(|_| program.open(FIRST, "a.txt", NONE, NONE)).collect();
    program.call("fd_close", &opened[..1]);
    program.open(FIRST, "a.txt", NONE, NONE);
    program.open(FIRST, "a.txt", NONE, NONE);
    let (host, answers, run) = run(&program, FOLDER).await;
    let opened = answers.iter().take_while(|answer| **answer == SUCCESS).count();
    assert!((50..256).contains(&opened), "{opened}");
    assert!(answers[opened..300].iter().all(|answer| *answer == MFILE), "{answers:?}");
    assert_eq!(answers[300..], [SUCCESS, SUCCESS, MFILE]);
    let notes = notes(&host, &run).await;
    assert_eq!(notes, ["denied: a run may have 256 files open"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_leaves_files_behind_within_its_bounds() {
    let host = TestHost::start().await;
    fs::create_dir_all(host.tasks().join("test")).unwrap();
    fs::write(host.tasks().join("test/probe.toml"), format!("{OUTPUT}output-files-size = '1KB'\n")).unwrap();
    host.install("test/probe.wasm", &guests::program()).await;
    let steps = json!([
        { "write": ["/output/a.txt", "x".repeat(900)] },
        { "write": ["/output/b.txt", "x".repeat(900)] },
        { "write": ["/elsewhere/c.txt", "x"] },
    ]);
    let run = host.start_run("test/probe", json!({ "steps": steps })).await;
    let events = host.follow(&run).await.rest().await;
    let wrote: Vec<Value> = events
        .iter()
        .filter(|event| event.name == "wrote")
        .map(|event| event.json()["data"].clone())
        .collect();
    assert_eq!(wrote[0], "ok");
    assert!(wrote[1] != "ok" && wrote[2] != "ok", "{wrote:?}");
    let run = host.finished(&run).await;
    let notes = notes(&host, &run).await;
    assert!(notes.len() == 1 && notes[0].contains("raise output-files-size"), "{notes:?}");
    let files = listed(&host, &run).await;
    assert_eq!(files, [("a.txt".to_owned(), 900), ("b.txt".to_owned(), 0)]);
}
