//! `streamtask serve`: where its settings come from, and how it says why it does
//! not start.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use streamtask_tests::optional::skip;
use streamtask_tests::{ChildHost, Said, child, eventually, guests};
use tempfile::TempDir;

/// A user who owns nothing, and that user's group.
const NOBODY: u32 = 65534;

/// A folder with a tasks folder in it.
struct Folders {
    folder: TempDir,
}

impl Folders {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        guests::install(&folder.path().join("tasks"), "ticker.wasm", &guests::ticker("top"));
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn serve(&self, arguments: &[&str]) -> Command {
        child::serve(&self.path("tasks"), &self.path("data"), arguments)
    }

    /// What `serve` says that does not start on this data folder.
    fn refused(&self, why: &str) {
        refused(&mut self.serve(&[]), why);
    }
}

fn refused(command: &mut Command, why: &str) {
    Said::of(command).refused(6, why);
}

#[test]
fn a_tasks_folder_that_cannot_be_read_is_named() {
    let folders = Folders::new();
    fs::write(folders.path("file"), "").unwrap();
    for (tasks, why) in
        [("nowhere", "No such file"), ("file", "Not a directory"), ("file/tasks", "Not a directory")]
    {
        let tasks = folders.path(tasks);
        let mut serve = child::serve(&tasks, &folders.path("data"), &[]);
        let said = Said::of(&mut serve);
        said.refused(6, &format!("can't read the tasks folder {}: {why}", tasks.display()));
    }
}

#[test]
fn a_data_folder_that_cannot_be_used_is_named() {
    let folders = Folders::new();
    fs::write(folders.path("file"), "").unwrap();
    for (data, why) in [("file", "File exists"), ("file/data", "Not a directory")] {
        let data = folders.path(data);
        let mut serve = child::serve(&folders.path("tasks"), &data, &[]);
        Said::of(&mut serve).refused(6, &format!("can't use the data folder {}: {why}", data.display()));
    }
    // What the host keeps there can't be written.
    let lock = folders.path("data/streamtask.lock");
    fs::create_dir_all(&lock).unwrap();
    folders.refused(&format!("can't use {}: Is a directory", lock.display()));
    fs::remove_dir(&lock).unwrap();
    fs::create_dir_all(folders.path("data/streamtask.db")).unwrap();
    folders.refused("unable to open database file");
}

/// The same command as a user whom permissions bind, which is everyone but root;
/// none if that can't be had.
fn unprivileged(command: Command, is_root: bool) -> Option<Command> {
    if !is_root {
        return Some(command);
    }
    let mut bound = Command::new("setpriv");
    let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
    bound.args([&user, &group, "--clear-groups"]).arg(command.get_program());
    let can = Command::new("setpriv").args(bound.get_args()).arg("--version").output();
    bound.args(command.get_args());
    can.is_ok_and(|can| can.status.success()).then_some(bound)
}

/// Lets something be that user's own, if it is there.
fn give(path: &Path, is_root: bool) {
    if is_root && path.exists() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

#[test]
fn what_permissions_forbid_is_named() {
    let folders = Folders::new();
    let allow =
        |name: &str, mode| fs::set_permissions(folders.path(name), Permissions::from_mode(mode)).unwrap();
    let is_root = fs::metadata(folders.path("tasks")).unwrap().uid() == 0;
    let Some(mut serve) = unprivileged(folders.serve(&[]), is_root) else {
        let needs = "a user other than root; or `setpriv`, and a binary that others may execute";
        return skip("what_permissions_forbid_is_named", needs);
    };
    fs::create_dir(folders.path("data")).unwrap();
    allow("", 0o755);
    allow("data", 0o555);
    let lock = folders.path("data/streamtask.lock");
    refused(&mut serve, &format!("can't use {}: Permission denied", lock.display()));
    give(&folders.path("data"), is_root);
    allow("data", 0o700);
    allow("tasks", 0);
    let tasks = folders.path("tasks");
    refused(&mut serve, &format!("can't read the tasks folder {}: Permission denied", tasks.display()));

    allow("tasks", 0o755);
    allow("tasks/ticker.wasm", 0);
    let (_, said) = ChildHost::spawn(serve).unwrap_or_else(|said| panic!("{said:?}")).ready().terminate();
    let told = |line: &String| line.contains("path=ticker.wasm problem=can't read it: Permission denied");
    assert!(said.iter().any(told), "{said:?}");
}

#[test]
fn a_database_that_can_only_be_read_is_named() {
    let folders = Folders::new();
    drop(ChildHost::spawn(folders.serve(&[])).unwrap_or_else(|said| panic!("{said:?}")).ready().terminate());
    let allow =
        |name: &str, mode| fs::set_permissions(folders.path(name), Permissions::from_mode(mode)).unwrap();
    let is_root = fs::metadata(folders.path("tasks")).unwrap().uid() == 0;
    let Some(mut serve) = unprivileged(folders.serve(&[]), is_root) else {
        let needs = "a user other than root; or `setpriv`, and a binary that others may execute";
        return skip("a_database_that_can_only_be_read_is_named", needs);
    };
    allow("", 0o755);
    for path in ["data", "data/streamtask.lock", "data/streamtask.db-wal", "data/streamtask.db-shm"] {
        give(&folders.path(path), is_root);
    }
    // One of the host's own that others could read would be closed to them, and writable.
    allow("data/streamtask.db", if is_root { 0o444 } else { 0o400 });
    refused(&mut serve, "can't open the database in");
    refused(&mut serve, "attempt to write a readonly database");
}

/// The main file of a database as it is on the disk.
fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn a_database_of_another_kind_is_refused_and_left_as_it_is() {
    let folders = Folders::new();
    let path = folders.path("data/streamtask.db");
    drop(ChildHost::spawn(folders.serve(&[])).unwrap_or_else(|said| panic!("{said:?}")).ready().terminate());
    let ours = bytes(&path);

    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let newer = bytes(&path);
    folders.refused("the database is of version 99, and this streamtask knows only");
    assert!(bytes(&path) == newer, "a newer one is not touched");

    fs::remove_file(&path).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
        .unwrap();
    let theirs = bytes(&path);
    folders.refused("the database belongs to another program");
    assert!(bytes(&path) == theirs, "another program's is not touched");

    for content in ["this is no database, whatever its name says".repeat(100), "short".to_owned()] {
        fs::write(&path, &content).unwrap();
        folders.refused("file is not a database");
        assert_eq!(bytes(&path), content.as_bytes());
    }

    fs::write(&path, &ours).unwrap();
    drop(ChildHost::spawn(folders.serve(&[])).unwrap_or_else(|said| panic!("{said:?}")));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let folders = Folders::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _taken = TcpListener::bind(taken).unwrap();
    let mut serve = child::command();
    serve.args(["serve", "--listen", &taken.to_string(), "--tasks"]).arg(folders.path("tasks"));
    serve.arg("--data").arg(folders.path("data"));
    refused(&mut serve, &format!("can't listen on {taken}: Address already in use"));
}

#[test]
fn an_address_that_others_reach_has_to_be_asked_for_twice() {
    let folders = Folders::new();
    let open = |arguments: &[&str]| {
        let mut serve = child::command();
        serve.args(["serve", "--listen", "0.0.0.0:0", "--tasks"]).arg(folders.path("tasks"));
        serve.arg("--data").arg(folders.path("data")).args(arguments);
        serve
    };
    Said::of(&mut open(&[])).refused(2, "listen on 127.0.0.1, or pass --open");
    let asked = |host: &ChildHost, name: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", host.address.port())).unwrap();
        let head =
            format!("POST /api/prune?dry_run=true HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer[9..12].to_owned()
    };
    let spawn = |arguments: &[&str]| {
        ChildHost::spawn(open(arguments)).unwrap_or_else(|said| panic!("{said:?}")).ready()
    };
    let host = spawn(&["--open", "--allowed-host", "tasks.lan"]);
    for (name, status) in
        [("10.0.0.7:80", "200"), ("tasks.lan", "200"), ("streamtask", "200"), ("evil.example", "421")]
    {
        assert_eq!(asked(&host, name), status, "{name}");
    }
    host.terminate();
    assert_eq!(asked(&spawn(&["--open", "--allowed-host", "*"]), "evil.example"), "200");
}

#[test]
fn a_faulty_setting_is_refused_with_its_place() {
    let folders = Folders::new();
    let config = folders.path("streamtask.toml");
    for (text, place, why) in [
        ("max-runing = 7", "line 1, column 1", "unknown field `max-runing`"),
        ("max-running = 7\ndeadline = \"7\"", "line 2, column 12", "a time has a unit, such as `250ms`"),
        ("memory = \"7 apples\"", "line 1, column 10", "apples"),
        ("listen = true", "line 1, column 10", "an address and a port, or a port"),
        ("listen = \"example.org:80\"", "line 1, column 10", "such as 127.0.0.1:8080"),
        ("max-running = -1", "line 1, column 15", "-1"),
        ("durability = \"maybe\"", "line 1, column 14", "`full`"),
        ("= 1", "line 1, column 1", ""),
    ] {
        fs::write(&config, text).unwrap();
        let said = Said::of(folders.serve(&[]).current_dir(folders.folder.path()));
        assert_eq!(said.code, 2, "{said:?}");
        let first = said.err.lines().next().unwrap();
        assert!(
            first.starts_with("streamtask: streamtask.toml: ") && first.contains(place),
            "{text}: {first}"
        );
        assert!(said.err.contains(why), "{text}: {}", said.err);
    }
    let flags = [
        ("--deadline", "7", "a time has a unit"),
        ("--memory", "7 apples", "apples"),
        ("--max-running", "many", "invalid digit"),
        ("--durability", "maybe", "[possible values: full, normal]"),
    ];
    for (flag, value, why) in flags {
        let variable =
            format!("STREAMTASK_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
        let (mut by_flag, mut by_variable) = (folders.serve(&[flag, value]), folders.serve(&[]));
        for serve in [&mut by_flag, by_variable.env(variable, value)] {
            let said = Said::of(serve);
            assert_eq!(said.code, 2, "{said:?}");
            assert!([flag, value, why].iter().all(|told| said.err.contains(told)), "{flag}: {}", said.err);
        }
    }
    let listen = Said::of(child::command().args(["serve", "--listen", "example.org:80"]));
    assert!(listen.code == 2 && listen.err.contains("such as 127.0.0.1:8080"), "{listen:?}");
    Said::of(&mut folders.serve(&["--heartbeat", "none"])).refused(2, "heartbeat can't be `none`");
    Said::of(&mut folders.serve(&["--log", "a=b=c"])).refused(2, "log filter \"a=b=c\"");
    Said::of(&mut folders.serve(&["--log", "nonsense"])).refused(2, "\"nonsense\" is not a level");
    Said::of(&mut folders.serve(&["--max-running", "0"])).refused(2, "max-running can't be 0");
    Said::of(&mut folders.serve(&["--cors-origin", "a.example"])).refused(2, "matches no page");
    Said::of(&mut folders.serve(&["--config", "nowhere.toml"]))
        .refused(2, "can't read nowhere.toml: No such file");
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let folders = Folders::new();
    for name in ["file", "environment", "flag", "other-file"] {
        guests::install(&folders.path(name), &format!("{name}.wasm"), &guests::ticker("x"));
    }
    let file = format!(
        "tasks = {:?}\nlisten = \"127.0.0.1:0\"\ndata = {:?}\n",
        folders.path("file"),
        folders.path("data")
    );
    fs::write(folders.path("streamtask.toml"), &file).unwrap();
    let other = file.replace("/file\"", "/other-file\"");
    fs::write(folders.path("other.toml"), other).unwrap();
    let started = std::cell::Cell::new(0);
    let tasks_of = |arguments: &[&str], environment: &[(&str, &Path)]| {
        started.set(started.get() + 1);
        let mut serve = child::command();
        // A process that a killed host was just starting may hold the lock of its data for a moment.
        let data = folders.path(&format!("data-{}", started.get()));
        serve
            .arg("serve")
            .args(arguments)
            .env("STREAMTASK_DATA", data)
            .envs(environment.iter().copied())
            .current_dir(folders.folder.path());
        let host = ChildHost::spawn(serve).unwrap_or_else(|said| panic!("{said:?}"));
        host.opening.last().unwrap().clone()
    };
    let (environment, flag) = (folders.path("environment"), folders.path("flag"));
    let flag = flag.to_str().unwrap();
    let in_environment = [("STREAMTASK_TASKS", environment.as_path())];
    assert!(tasks_of(&[], &[]).contains("/file"));
    assert!(tasks_of(&[], &in_environment).contains("/environment"));
    assert!(tasks_of(&["--tasks", flag], &in_environment).contains("/flag"));
    assert!(tasks_of(&["--config", "other.toml"], &[]).contains("/other-file"));
    assert!(tasks_of(&[], &[("STREAMTASK_CONFIG", Path::new("other.toml"))]).contains("/other-file"));
}

#[test]
fn a_check_prints_each_setting_with_where_it_comes_from_and_starts_nothing() {
    let folders = Folders::new();
    let file = folders.path("streamtask.toml");
    fs::write(&file, "memory = \"64MiB\"\nmax-running = 7\n").unwrap();
    let check = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut serve = folders.serve(&["--check"]);
        serve.args(arguments).envs(environment.iter().copied()).current_dir(folders.folder.path());
        Said::of(&mut serve)
    };
    let said =
        check(&["--open"], &[("STREAMTASK_MAX_RUNNING", "3"), ("STREAMTASK_SERVICE_HOST", "10.0.0.1")]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let told = |setting: &str, source: &str| {
        said.out.lines().any(|line| line.starts_with(setting) && line.ends_with(&format!("# {source}")))
    };
    assert!(told("max-running = 3 ", "STREAMTASK_MAX_RUNNING"), "{}", said.out);
    assert!(told("open = true ", "--open") && told("memory = \"64MiB\" ", "streamtask.toml"), "{}", said.out);
    assert!(told("# deadline: 24h ", "default"), "{}", said.out);
    assert!(!folders.path("data").exists(), "nothing is started");
    for (arguments, environment, why) in [
        (&["--deadline", "0s"][..], &[][..], "deadline can't be 0"),
        (&["--log", "loud"], &[], "not a level"),
        (
            &[],
            &[("STREAMTASK_MAX_RUNING", "3")],
            "STREAMTASK_MAX_RUNING is not a setting; did you mean STREAMTASK_MAX_RUNNING?",
        ),
    ] {
        let said = check(arguments, environment);
        assert!(said.code == 2 && said.err.starts_with("streamtask: ") && said.err.contains(why), "{said:?}");
    }
    let mut elsewhere = child::command();
    let said = Said::of(elsewhere.args(["serve", "--check", "--tasks", "nowhere"]));
    assert!(said.code == 2 && said.err.contains("the tasks folder nowhere does not exist"), "{said:?}");
    let judge = |text: &str| {
        fs::write(&file, text).unwrap();
        Said::of(child::command().arg("check").arg(&file))
    };
    let fine = judge("max-running = 7\n");
    assert!(fine.code == 0 && fine.out.ends_with("is a valid configuration\n"), "{fine:?}");
    judge("max-running = 0\n").refused(2, "max-running can't be 0");
    assert!(judge("max-runing = 7\n").err.contains("unknown field"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_what_an_operator_has_to_know() {
    let folders = Folders::new();
    guests::install(&folders.path("tasks"), "test/probe.wasm", &guests::probe());
    let mut serve = folders.serve(&["--durability", "normal"]);
    serve.env("STREAMTASK_MAX_RUNING", "3");
    let host = ChildHost::spawn(serve).unwrap_or_else(|said| panic!("{said:?}")).ready();
    let opening = host.opening.join("\n");
    assert!(opening.contains("did you mean STREAMTASK_MAX_RUNNING?"), "{opening}");
    for told in ["durability=\"normal\"", &format!("data={:?}", folders.path("data")), "version="] {
        assert!(opening.contains(told), "{told}: {opening}");
    }
    let run = host.run(serde_json::json!({ "do": "fail" })).await;
    let line = host.says("run failed").await;
    for told in [run["id"].as_str().unwrap(), "test/probe", "failure", "as asked"] {
        assert!(line.contains(told), "{told}: {line}");
    }
    assert_eq!(host.post("/api/tasks/test/probe/runs", "{\"do\":1}").await.status, 400);
    let line = host.says("start rejected").await;
    assert!(line.contains("test/probe") && line.contains("does not match"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_look_like_tasks_and_are_none_are_told() {
    let folders = Folders::new();
    for path in ["LOUD.WASM", "test/deep/x.wasm"] {
        guests::install(&folders.path("tasks"), path, &guests::ticker("x"));
    }
    let host = ChildHost::spawn(folders.serve(&[])).unwrap_or_else(|said| panic!("{said:?}"));
    let mut said = host.opening.clone();
    eventually("both are told", || {
        said.extend(host.logged());
        let told = |path: &&str| {
            said.iter().any(|line| line.contains("not loaded as a task") && line.contains(*path))
        };
        let both = ["LOUD.WASM", "test/deep/x.wasm"].iter().all(told);
        async move { both }
    })
    .await;
}
