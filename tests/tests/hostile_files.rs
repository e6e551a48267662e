use std::fmt::Write as _;
use std::time::Instant;
use serde_json::{Value, json};
use streamtask_tests::guests::{self, Bare};
use streamtask_tests::{ChildHost, eventually};

fn many(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect()
}

/// Components within components: each level holds ten instances of the one before.
fn laughs(levels: usize) -> Vec<u8> {
    let mut inner = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..=levels {
        let before = level - 1;
        let instances = format!("(instance (instantiate $c{before}))").repeat(10);
        inner = format!("(component $c{level} {inner} {instances})");
    }
    Bare { component: &format!("{inner} (instance (instantiate $c{levels}))"), ..Bare::default() }.wasm()
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let none = Bare::default();
    let mut v = Vec::new();
    v.push(("laughs3", laughs(3)));
    v.push(("laughs5", laughs(5)));
    v.push(("laughs6", laughs(6)));
    v.push(("many-memories", Bare { items: &"(memory 0)".repeat(17), ..none }.wasm()));
    v.push(("functions", Bare { items: &"(func)".repeat(100_000), ..none }.wasm()));
    v.push(("locals", Bare { items: &many(200, |_| format!("(func (local {}) )", "i64 ".repeat(40_000))), ..none }.wasm()));
    v.push(("blocks", Bare { items: &format!("(func {} {})", "block ".repeat(1_000_00), "end ".repeat(1_000_00)), ..none }.wasm()));
    v.push(("brtable", Bare { items: &format!("(func (param i32) (br_table {} 0 (local.get 0)))", "0 ".repeat(1_000_000)), ..none }.wasm()));
    v.push(("brtable-wide", Bare { items: &format!("(func (param i32) {} (br_table {} 0 (local.get 0)) {})", "block ".repeat(10_000), many(10_000, |n| format!("{n} ")), "end ".repeat(10000)), ..none }.wasm()));
    v.push(("adds", Bare { items: &format!("(func (result i32) (i32.const 0) {})", "(i32.add (i32.const 1)) ".repeat(1_000_000)), ..none }.wasm()));
    v.push(("calls", Bare { items: &format!("(func $f (result i32) (i32.const 0)) (func (result i32) (i32.const 0) {})", "call $f i32.add ".repeat(50_000)), ..none }.wasm()));
    v.push(("live", { let mut b = String::from("(func (param i64) (result i64) (local "); b.push_str(&"i64 ".repeat(5000)); b.push_str(") ");
        for n in 1..5000 { let _ = write!(b, "(local.set {n} (i64.mul (local.get {}) (local.get 0)))", n-1); }
        b.push_str("(i64.const 0) "); for n in 1..5000 { let _ = write!(b, "(local.get {n}) i64.add "); } b.push(')'); Bare { items: &b, ..none }.wasm() }));
    v.push(("globals", Bare { items: &"(global i32 (i32.const 0))".repeat(500_000), ..none }.wasm()));
    v.push(("types", Bare { items: &many(300_000, |n| format!("(type (struct (field i32) (field (ref null {n}))))", n = if n == 0 {0} else {n-1})), ..none }.wasm()));
    v.push(("table", Bare { items: "(table 10000000 funcref)", ..none }.wasm()));
    v.push(("tablesmall", Bare { items: "(table 200000 funcref) (func $f) (elem (i32.const 199999) func $f)", ..none }.wasm()));
    v.push(("sparse", Bare { items: &format!("(memory $m 65536) {}", many(60_000, |n| format!("(data (memory $m) (i32.const {}) \"x\")", (n as u32 * 65536) as i32))), ..none }.wasm()));
    v.push(("memory64", Bare { items: "(memory i64 281474976710656)", ..none }.wasm()));
    v.push(("shared", Bare { items: "(memory 1 1 shared)", ..none }.wasm()));
    v
}

#[tokio::test(flavor = "multi_thread")]
async fn explore() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().join("tasks");
    guests::install(&tasks, "test/probe.wasm", &guests::probe());
    let host = ChildHost::start(&tasks, &folder.path().join("data"), &["--durability", "normal", "--memory", "64MiB"]);
    println!("start {} MiB", host.peak_memory() >> 20);
    for (name, wasm) in bombs() {
        let began = Instant::now();
        guests::install(&tasks, &format!("test/{name}.wasm"), &wasm);
        let listed = async || {
            let tasks = host.get("/api/tasks").await.json();
            let tasks = tasks["tasks"].as_array().unwrap().clone();
            tasks.into_iter().find(|task| task["task"] == name)
        };
        let neighbour = host.probe(json!({"do": "ticks", "n": 10, "ms": 10})).await;
        let neighbour = host.finished(&neighbour).await;
        assert_eq!(neighbour["status"], "completed");
        let events = host.follow(&neighbour).await.rest().await;
        let late: Vec<i64> = events.iter().filter(|e| e.name == "tick").map(|e| e.json()["data"]["late_us"].as_i64().unwrap()/1000).collect();
        eventually("loading a task", || async { listed().await.is_some() }).await;
        let l = listed().await.unwrap();
        println!("{name}: {} KiB, {:?}, peak {} MiB, late {late:?}, problem {}", wasm.len() >> 10, began.elapsed(), host.peak_memory() >> 20, l["problem"]["message"]);
        if l["problem"].is_null() {
            let run = host.start_run(&format!("test/{name}"), json!({})).await;
            let run: Value = host.finished(&run).await;
            println!("      {} {} peak {}", run["status"], run["error"]["message"], host.peak_memory() >> 20);
        }
    }
}
