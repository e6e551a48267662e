//! Files that mean harm: to the compiler, to `describe`, to those who read a schema. Each is
//! listed with its reason, while the tasks beside it serve on.

use serde_json::{Value, json};
use streamtask_tests::guests::{self, Bare};
use streamtask_tests::{ChildHost, eventually};
use tempfile::TempDir;

/// Most memory of the host while it loads any of these, compilers not counted.
const MOST_MEMORY: u64 = 512 << 20;

/// A host in its own process, with the probe.
struct Arena {
    host: ChildHost,
    folder: TempDir,
}

impl Arena {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tasks = folder.path().join("tasks");
        guests::install(&tasks, "test/probe.wasm", &guests::probe());
        let arguments = ["--durability", "normal", "--memory", "64MiB"];
        let host = ChildHost::start(&tasks, &folder.path().join("data"), &arguments);
        Self { host, folder }
    }

    /// Installs a file, lets the probe run meanwhile, and returns how the file is listed.
    async fn listed(&self, name: &str, wasm: &[u8]) -> Value {
        guests::install(&self.folder.path().join("tasks"), &format!("test/{name}.wasm"), wasm);
        let neighbour = self.host.run(json!({ "do": "ticks", "n": 5, "ms": 10 })).await;
        assert_eq!(neighbour["status"], "completed", "while {name} loads");
        let listed = async || {
            let tasks = self.host.get("/api/tasks").await.json();
            tasks["tasks"].as_array().unwrap().iter().find(|task| task["task"] == name).cloned()
        };
        eventually(name, || async { listed().await.is_some() }).await;
        let memory = self.host.peak_memory();
        assert!(memory < MOST_MEMORY, "{} MiB after {name}", memory >> 20);
        listed().await.unwrap()
    }

    async fn refuses(&self, name: &str, wasm: &[u8], words: &str) {
        let listed = self.listed(name, wasm).await;
        let problem = listed["problem"]["message"].as_str().unwrap_or_else(|| panic!("{name} is taken"));
        assert!(problem.contains(words), "{name}: {problem}");
    }
}

/// Components within components: each level holds ten instances of the one before.
fn laughs(levels: usize) -> Vec<u8> {
    let mut inner = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..=levels {
        let instances = format!("(instance (instantiate $c{}))", level - 1).repeat(10);
        inner = format!("(component $c{level} {inner} {instances})");
    }
    Bare { component: &format!("{inner} (instance (instantiate $c{levels}))"), ..Bare::default() }.wasm()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_that_becomes_huge_does_not_take_the_host_along() {
    let arena = Arena::open();
    arena.refuses("a-thousand", &laughs(3), "1001 core module instances").await;
    arena.refuses("a-million", &laughs(6), "1000001 core module instances").await;
    arena.refuses("a-billion", &laughs(9), "memory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_guest_may_have_is_refused_when_it_is_loaded() {
    let arena = Arena::open();
    let none = Bare::default();
    for (name, items, words) in [
        ("memories", "(memory 0)".repeat(16), "exceeds the per-instance limit of 16"),
        ("tables", "(table 0 funcref)".repeat(101), "tables"),
        ("table", "(table 10000000 funcref)".to_owned(), "table"),
        ("shared-memory", "(memory 1 1 shared)".to_owned(), "shared"),
        ("branches", format!("(func (br_table {} 0 (i32.const 0)))", "0 ".repeat(100_000)), "br_table"),
        ("types", "(type (struct (field i32)))".repeat(1_000_001), "types"),
    ] {
        arena.refuses(name, &Bare { items: &items, ..none }.wasm(), words).await;
    }
}

/// A task with a `describe` that does this and returns the text at 64 of so many bytes.
fn describing(does: &str, text: &str) -> Vec<u8> {
    let data = text.bytes().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let pages = text.len() / 65536 + 2;
    let component = format!(
        r#"(core module $describer
             (memory (export "memory") {pages})
             (data (i32.const 64) "{data}")
             (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
             (func (export "describe") (result i32)
               {does}
               (i32.store (i32.const 8) (i32.const 64))
               (i32.store (i32.const 12) (i32.const {}))
               (i32.const 8)))
           (core instance $describer (instantiate $describer))
           (func (export "describe") (result string)
             (canon lift (core func $describer "describe")
               (memory (core memory $describer "memory")) (realloc (core func $describer "realloc"))))"#,
        text.len()
    );
    Bare { component: &component, ..Bare::default() }.wasm()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_describe_is_refused() {
    let arena = Arena::open();
    let grow = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
    let nested = format!("{{\"input_schema\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for (name, does, text, words) in [
        ("traps", "unreachable", "", "unreachable"),
        ("spins", "(loop $again (br $again))", "", "5s"),
        ("grows", grow, "", "memory"),
        ("returns-nothing", "", "", "invalid metadata"),
        ("returns-garbage", "", "\u{0}garbage", "invalid metadata"),
        ("returns-something-else", "", "[1]", "invalid metadata"),
        ("returns-too-much", "", &"x".repeat(300_000), "the limit is 262144"),
        ("nests", "", &nested, "levels of nesting"),
        ("is-no-schema", "", r#"{"input_schema":{"type":7}}"#, "input schema"),
        ("leads-elsewhere", "", r#"{"input_schema":{"$ref":"file:///etc/passwd"}}"#, "input schema"),
    ] {
        arena.refuses(name, &describing(does, text), words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_schema_does_not_keep_the_host_busy() {
    let arena = Arena::open();
    let double = |keyword: &str| {
        let mut definitions = serde_json::Map::new();
        for nth in 0..100 {
            let next = json!({ "$ref": format!("#/$defs/d{}", nth + 1) });
            definitions.insert(format!("d{nth}"), json!({ keyword: [next.clone(), next] }));
        }
        definitions.insert("d100".to_owned(), json!({ "type": "string" }));
        json!({ "$ref": "#/$defs/d0", "$defs": definitions })
    };
    let tree = json!({ "anyOf": [{ "items": { "$ref": "#" } }, { "items": { "$ref": "#" } }, { "type": "string" }], "type": ["array", "string"] });
    let pattern = json!({ "type": "object", "patternProperties": { "^(a+)+$": { "type": "string", "pattern": "^(a|a)*$" } } });
    let deep: Value = serde_json::from_str(&format!("{}1{}", "[".repeat(100), "]".repeat(100))).unwrap();
    let cases = [
        ("itself", json!({ "$ref": "#" }), json!({})),
        ("itself-twice", json!({ "allOf": [{ "$ref": "#" }, { "$ref": "#" }] }), json!({})),
        ("all-of", double("allOf"), json!({})),
        ("any-of", double("anyOf"), json!({})),
        ("one-of", double("oneOf"), json!({ "a": 1 })),
        ("tree", tree, deep),
        ("pattern", pattern, json!({ "a".repeat(50_000): "a".repeat(100_000) + "!" })),
        (
            "unique",
            json!({ "uniqueItems": true }),
            json!((0..60_000).map(|n| json!({ "n": n })).collect::<Vec<_>>()),
        ),
    ];
    for (name, schema, input) in cases {
        let listed =
            arena.listed(name, &describing("", &json!({ "input_schema": schema }).to_string())).await;
        if listed["problem"].is_null() {
            // What is answered is the schema's affair; that it is answered is the host's.
            let answer = arena.host.post(&format!("/api/tasks/test/{name}/runs"), input.to_string()).await;
            assert!(answer.status == 202 || answer.status == 400, "{name}: {}", answer.status);
        }
    }
    let schema = r#"{"type":"object","properties":{"name":{},"age":{},"city":{}}}"#;
    let listed = arena.listed("good", &describing("", &format!("{{\"input_schema\":{schema}}}"))).await;
    assert!(listed["problem"].is_null(), "{listed}");
    let served = arena.host.get("/api/tasks/test/good").await.body;
    assert!(String::from_utf8_lossy(&served).contains(schema), "in the order in which it was written");
}
