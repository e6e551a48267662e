//! Guests that mean harm. Whatever one does, its run ends, the host's memory stays
//! bounded, and the runs beside it go on.

use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::guests::{self, Bare};
use streamtask_tests::{ChildHost, eventually};
use tempfile::TempDir;

/// What one run may have, all memories and tables together.
const MEMORY: &str = "64MiB";
/// Most memory of the host with some such runs one after the other: the binary with its
/// symbols, the compiler, the guests. A leak or an allocation that a guest controls
/// goes far beyond.
const MOST_MEMORY: u64 = 1 << 30;

/// A host in its own process, so that its memory can be looked at and its death noticed.
struct Arena {
    host: ChildHost,
    folder: TempDir,
}

impl Arena {
    fn open(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tasks = folder.path().join("tasks");
        guests::install(&tasks, "test/probe.wasm", &guests::probe());
        guests::install(&tasks, "test/hostile.wasm", &guests::hostile());
        let mut all = vec!["--durability", "normal", "--memory", MEMORY, "--cancel-grace", "100ms"];
        all.extend_from_slice(arguments);
        let host = ChildHost::start(&tasks, &folder.path().join("data"), &all);
        Self { host, folder }
    }

    /// Installs a task and waits until it is loaded or refused; returns how it is listed.
    async fn install(&self, name: &str, wasm: &[u8]) -> Value {
        guests::install(&self.folder.path().join("tasks"), &format!("test/{name}.wasm"), wasm);
        let listed = async || {
            let tasks = self.host.get("/api/tasks").await.json();
            let tasks = tasks["tasks"].as_array().unwrap().clone();
            tasks.into_iter().find(|task| task["task"] == name)
        };
        eventually("loading a task", || async { listed().await.is_some() }).await;
        listed().await.unwrap()
    }

    /// Starts `input`, which must not end by itself; lets a neighbour run meanwhile;
    /// and ends it by force.
    async fn endures(&self, input: Value) {
        let run = self.host.start_run("test/hostile", input.clone()).await;
        let mut stream = self.host.follow(&run).await;
        stream.until("begun").await;
        let neighbour = self.host.run(json!({ "do": "ticks", "n": 5, "ms": 10 })).await;
        assert_eq!(neighbour["status"], "completed", "beside {input}");
        self.host.cancel(&run).await;
        let run = self.host.finished(&run).await;
        assert_eq!(run["status"], "cancelled", "{input}: {run}");
        self.is_well(&input);
    }

    /// Runs `task`, which must fail for this reason; and a neighbour after it.
    async fn fails(&self, task: &str, input: Value, kind: &str, words: &str) {
        let run = self.host.start_run(&format!("test/{task}"), input.clone()).await;
        let run = self.host.finished(&run).await;
        assert_eq!(run["status"], "failed", "{task} {input}: {run}");
        assert_eq!(run["error"]["kind"], kind, "{task} {input}: {run}");
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{task} {input}: {message}");
        assert_eq!(self.host.run(json!({ "do": "echo" })).await["status"], "completed");
        self.is_well(&input);
    }

    fn is_well(&self, after: &Value) {
        let memory = self.host.peak_memory();
        assert!(memory < MOST_MEMORY, "{} MiB after {after}", memory >> 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_stops_calling_is_endured_and_ended_by_force() {
    let arena = Arena::open(&[]);
    for action in [
        "spin",
        "call-info",
        "call-cancelled",
        "call-clock",
        "call-random",
        "call-parameter",
        "call-checkpoint",
        "call-environment",
        "send-refused",
        "sleep-0",
        "sleep",
        "wait-for-signal",
        "ask-for-signal",
        "poll-ready",
        "flush",
        "read-stdin",
        "open-sockets",
        "print-lines",
        "print-no-line",
    ] {
        arena.endures(json!({ "do": action })).await;
    }
    for (action, bytes) in [
        ("random-bytes", 64 << 10),
        ("insecure-bytes", 64 << 10),
        ("poll-many", 4900),
        ("poll-list", 90_000),
        ("fill-memory", 50 << 20),
        ("beat", 0),
        ("flood", 1),
        ("flood", 1 << 19),
        ("flood-bytes", 1 << 19),
    ] {
        arena.endures(json!({ "do": action, "bytes": bytes })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_asks_the_host_to_hold_is_bounded() {
    let arena = Arena::open(&[]);
    let list = json!({ "do": "poll-list", "bytes": 1_000_000 });
    arena.fails("hostile", list, "trap", "handle limit").await;
    let huge = u64::MAX;
    for (action, bytes, words) in [
        ("random-bytes", huge, "exceeds limit"),
        ("random-bytes", 1 << 31, "exceeds limit"),
        ("insecure-bytes", huge, "exceeds limit"),
        ("write-zeroes", huge, "check_write"),
        ("write-zeroes", 1 << 31, "check_write"),
        ("write-unasked", 20 << 20, "fuel"),
        ("poll-list", 5_000_000, "fuel"),
        ("poll-nothing", 0, "empty poll list"),
        ("poll-many", 11_000, "resource table"),
        ("keep-pollables", 0, "resource table"),
        ("keep-streams", 0, "resource table"),
        ("keep-networks", 0, "resource table"),
        ("name-everything", 17 << 20, "fuel"),
    ] {
        arena.fails("hostile", json!({ "do": action, "bytes": bytes }), "trap", words).await;
    }
    arena.fails("hostile", json!({ "do": "grow-memory" }), "out-of-memory", "67108864").await;
    arena.fails("hostile", json!({ "do": "exit" }), "trap", "exited with code 0").await;
    arena.fails("hostile", json!({ "do": "exit-with-code" }), "trap", "a non-zero code").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_any_length_are_answered_by_every_import() {
    let arena = Arena::open(&[]);
    let run =
        arena.host.start_run("test/hostile", json!({ "do": "name-everything", "bytes": 15 << 20 })).await;
    let run = arena.host.finished(&run).await;
    let answers = run["final_value"].as_object().unwrap_or_else(|| panic!("{run}"));
    for (import, answer) in answers {
        let expected = match import.as_str() {
            "send-event data" | "send-event-on data" | "send-bytes data" | "save value" => json!("too-large"),
            "parameter name" | "receive-signal name" => Value::Null,
            "resolve-addresses name" => json!("permanent-resolver-failure"),
            _ => json!("invalid-argument"),
        };
        assert_eq!(answer, &expected, "{import}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_granted() {
    let arena = Arena::open(&[]);
    let run = arena.host.start_run("test/hostile", json!({ "do": "what-is-granted" })).await;
    let run = arena.host.finished(&run).await;
    let expected = json!({
        "folders": 0, "environment": [], "arguments": [], "working directory": null, "terminal": false,
        "tcp": "access-denied", "udp": "access-denied",
        "names": "permanent-resolver-failure", "stdin": "StreamError::Closed",
        "file": false, "parent": false,
    });
    assert_eq!(run["final_value"], expected, "{run}");
}

/// Tasks in text that are ended by their own fault; with the kind of it, and a word.
fn bombs() -> Vec<(&'static str, Bare<'static>, &'static str, &'static str)> {
    let none = Bare::default();
    vec![
        (
            "start-traps",
            Bare { items: "(func $go unreachable) (start $go)", ..none },
            "trap",
            "unreachable",
        ),
        (
            "memory-beyond-the-limit",
            Bare { items: "(memory 65536)", ..none },
            "out-of-memory",
            "67108864",
        ),
        (
            "many-memories",
            Bare { items: "(memory 200) (memory 200) (memory 200) (memory 200) (memory 200) (memory 200)", ..none },
            "out-of-memory",
            "67108864",
        ),
        (
            "memory-that-grows",
            Bare {
                body: "(loop $again (br_if $again (i32.ne (memory.grow $own (i32.const 1)) (i32.const -1)))) unreachable",
                ..none
            },
            "out-of-memory",
            "67108864",
        ),
        (
            "table-that-grows",
            Bare {
                items: "(table $t 0 funcref)",
                body: "(loop $again (br_if $again
                         (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable",
                ..none
            },
            "trap",
            "unreachable",
        ),
        (
            "garbage-that-is-kept",
            Bare {
                items: "(type $list (struct (field i64) (field i64) (field (ref null $list))))",
                body: "(local $list (ref null $list))
                       (loop $again
                         (local.set $list (struct.new $list (i64.const 1) (i64.const 2) (local.get $list)))
                         (br $again))",
                ..none
            },
            "out-of-memory",
            "67108864",
        ),
        (
            "garbage-at-once",
            Bare {
                items: "(type $bytes (array (mut i8)))",
                body: "(drop (array.new $bytes (i32.const 1) (i32.const 0x7fffffff)))",
                ..none
            },
            "out-of-memory",
            "67108864",
        ),
        (
            "handles-of-its-own",
            Bare {
                component: "(type $thing (resource (rep i32))) (core func $new (canon resource.new $thing))",
                imports: "(import \"own\" \"new\" (func $new (param i32) (result i32)))",
                with: "(with \"own\" (instance (export \"new\" (func $new))))",
                body: "(loop $again (drop (call $new (i32.const 7))) (br $again))",
                ..none
            },
            "trap",
            "handle",
        ),
        (
            "recursion",
            Bare { items: "(func $deeper (call $deeper))", body: "(call $deeper)", ..none },
            "trap",
            "stack",
        ),
        (
            "waiting-on-memory",
            Bare {
                body: "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))",
                ..none
            },
            "trap",
            "shared",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_harms_its_own_run() {
    let arena = Arena::open(&[]);
    for (name, bomb, kind, words) in bombs() {
        let listed = arena.install(name, &bomb.wasm()).await;
        assert!(listed["problem"].is_null(), "{listed}");
        arena.fails(name, json!({}), kind, words).await;
    }
}

/// Tasks in text that never end, wherever they are.
fn endless() -> Vec<(&'static str, Bare<'static>)> {
    let none = Bare::default();
    vec![
        ("start-spins", Bare { items: "(func $go (loop $again (br $again))) (start $go)", ..none }),
        (
            "garbage",
            Bare {
                items: "(type $bytes (array (mut i8)))",
                body: "(loop $again (drop (array.new $bytes (i32.const 1) (i32.const 100000))) (br $again))",
                ..none
            },
        ),
        (
            "exceptions",
            Bare {
                items: "(tag $oops (param i64))",
                body: "(loop $again
                         (block $caught (result i64)
                           (try_table (catch $oops $caught) (throw $oops (i64.const 1)))
                           unreachable)
                         drop (br $again))",
                ..none
            },
        ),
        (
            "fills-memory",
            Bare {
                items: "(memory $large 900)",
                body: "(loop $again
                         (memory.fill $large (i32.const 0) (i32.const 1) (i32.const 58982400)) (br $again))",
                ..none
            },
        ),
        (
            "copies-memory",
            Bare {
                items: "(memory $large 900)",
                body: "(loop $again
                         (memory.copy $large $large (i32.const 0) (i32.const 1) (i32.const 58982399)) (br $again))",
                ..none
            },
        ),
        (
            "calls-itself",
            Bare { items: "(func $tail (return_call $tail))", body: "(call $tail)", ..none },
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_computes_for_ever_is_ended_by_force() {
    let arena = Arena::open(&[]);
    for (name, task) in endless() {
        let listed = arena.install(name, &task.wasm()).await;
        assert!(listed["problem"].is_null(), "{listed}");
        let run = arena.host.start_run(&format!("test/{name}"), json!({})).await;
        arena.host.follow(&run).await.until("run.started").await;
        let neighbour = arena.host.run(json!({ "do": "ticks", "n": 5, "ms": 10 })).await;
        assert_eq!(neighbour["status"], "completed", "beside {name}");
        arena
            .host
            .request(&Method::POST, &format!("/api/runs/{}/cancel", run["id"].as_str().unwrap()), &[], "")
            .await;
        let run = arena.host.finished(&run).await;
        assert_eq!(run["status"], "cancelled", "{name}: {run}");
        arena.is_well(&json!(name));
    }
}
