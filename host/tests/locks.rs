//! Rules for locks, held by reading the source: none can be poisoned, and nothing is logged while one is held.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod source;

use std::path::Path;

use self::source::{read_path, sources, sources_in, tokens};

/// The other folders in which no lock can be poisoned: what tests and measures the host.
const OTHERS: &[&str] = &["bench/src", "proof/src", "simulation/src", "tests/src", "tests/tests"];

#[test]
fn no_lock_can_be_poisoned() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let others = OTHERS.iter().flat_map(|folder| sources_in(&root.join(folder)));
    let all = sources().into_iter().chain(others);
    let faults: Vec<String> = all.flat_map(|(path, text)| poison_faults(&path, &text)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for planted in [
        "use std::sync::Mutex;",
        "use std::sync::{Arc, RwLock as Lock};",
        "use std::{fs, sync::{mpsc, Condvar}};",
        "fn f() -> std::sync::MutexGuard<'static, ()> { std::process::exit(0) }",
        "use std::sync::*;",
        "use std::sync; type M = sync::Mutex<()>;",
    ] {
        assert_eq!(poison_faults("engine/program.rs", planted).len(), 1, "{planted}");
    }
    for innocent in [
        "use std::sync::{Arc, OnceLock, mpsc, atomic::AtomicU64}; use parking_lot::Mutex;",
        "use tokio::sync::Mutex; // std::sync::Mutex",
    ] {
        assert_eq!(poison_faults("engine/program.rs", innocent), Vec::<String>::new(), "{innocent}");
    }
}

#[test]
fn nothing_is_logged_with_a_lock_held() {
    let faults: Vec<String> = sources().iter().flat_map(|(path, text)| held_faults(path, text)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for planted in [
        "fn f() { let mut tasks = self.tasks.write(); g(); tracing::info!(\"x\"); }",
        "fn f() { let all = lock.lock(); if a { drop(all); } else { tracing::warn!(%error) } }",
        "fn f() { match &*self.health.lock() { None => tracing::error!(), _ => {} } }",
        "fn f() { if let Some(x) = self.controls.lock().get(id) { tracing::debug!(x) } }",
        "fn f() { for x in self.all.read().iter() { tracing::debug!(x) } }",
    ] {
        assert_eq!(held_faults("x.rs", planted).len(), 1, "{planted}");
    }
    for innocent in [
        "fn f() { let all = lock.lock(); drop(all); tracing::info!(); }",
        "fn f() { let mut all = lock.lock(); if opens { all.x(); drop(all); tracing::warn!(%task); } }",
        "fn f() { { let all = lock.lock(); all.x() } tracing::info!(); }",
        "fn f() { let before = std::mem::replace(&mut *self.health.lock(), error); tracing::info!(); }",
        "fn f() { let x = lock.lock().remove(task); if x.is_some() { tracing::info!() } }",
        "fn f() { if lock.lock().is_empty() { tracing::info!() } }",
        "fn f() { let all = lock.lock(); } fn g() { tracing::info!() }",
        "fn f() { let Some(x) = lock.lock().pop() else { return tracing::info!() }; }",
    ] {
        assert_eq!(held_faults("x.rs", innocent), Vec::<String>::new(), "{innocent}");
    }
}

/// Names of the standard library's locks. A panic leaves them poisoned for ever, and whoever comes to them then
/// panics too; those of parking_lot have no such state.
fn poison_faults(path: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let begins = |at: &usize| tokens[*at] == "std" && (*at == 0 || tokens[at - 1] != "::");
    let mut found = Vec::new();
    for at in (0..tokens.len()).filter(begins) {
        read_path(&tokens, at, &mut Vec::new(), &mut found);
    }
    let is_lock = |name: &str| ["Mutex", "RwLock", "Condvar"].iter().any(|lock| name.starts_with(lock));
    let poisonous = |parts: &Vec<String>| match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // The whole module, by which its locks could be named.
        ["std", "sync"] => true,
        ["std", "sync", name, ..] => is_lock(name) || ["*", "self"].contains(&name),
        _ => false,
    };
    let found = found.iter().filter(|parts| poisonous(parts));
    found.map(|parts| format!("{path}: {}: take parking_lot's", parts.join("::"))).collect()
}

/// Places where something is logged while a lock is held that was taken in the same function: by a `let` whose
/// value is the guard, or in the head of a block that keeps it.
fn held_faults(path: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let (mut held, mut depth, mut faults): (Vec<Held>, usize, Vec<String>) = Default::default();
    // Where the statement begins.
    let mut start = 0;
    for (at, token) in tokens.iter().enumerate() {
        let statement = &tokens[start..at];
        match token.as_str() {
            "{" => {
                let takes = statement.windows(4).any(is_taken);
                let keeps = statement.iter().any(|word| ["match", "for", "let"].contains(&word.as_str()));
                // What an `else` follows has been dropped by then.
                let is_over = statement.last().is_some_and(|word| word == "else");
                if takes && keeps && !is_over {
                    held.push(Held { name: String::new(), depth: depth + 1, dropped: None });
                }
                depth += 1;
                start = at + 1;
            }
            "}" => {
                held.retain(|guard| guard.depth < depth);
                // Of a drop in one branch nothing follows for what comes after it.
                held.iter_mut().for_each(|guard| guard.dropped = guard.dropped.filter(|at| *at < depth));
                depth = depth.saturating_sub(1);
                start = at + 1;
            }
            ";" => {
                if statement.first().is_some_and(|word| word == "let")
                    && statement.len() > 4
                    && is_taken(&statement[statement.len() - 4..])
                {
                    let name = statement[1..].iter().find(|word| *word != "mut");
                    held.push(Held { name: name.cloned().unwrap_or_default(), depth, dropped: None });
                }
                start = at + 1;
            }
            "drop" => {
                let name = tokens.get(at + 2).cloned().unwrap_or_default();
                let named = held.iter_mut().filter(|guard| guard.name == name);
                named.for_each(|guard| guard.dropped = guard.dropped.or(Some(depth)));
            }
            "tracing" if held.iter().any(|guard| guard.dropped.is_none()) => {
                faults.push(format!(
                    "{path}: logs with a lock held, near {:?}",
                    tokens[at..].iter().take(12).collect::<Vec<_>>()
                ));
                held.clear();
            }
            _ => {}
        }
    }
    faults
}

/// A guard that a function has.
struct Held {
    /// Empty: a temporary.
    name: String,
    /// It is dropped where so many braces are closed again.
    depth: usize,
    /// It was dropped before, within so many braces.
    dropped: Option<usize>,
}

/// Whether these take a lock: `.lock()`, or the like.
fn is_taken(four: &[String]) -> bool {
    four[0] == "."
        && ["lock", "read", "write"].contains(&four[1].as_str())
        && four[2] == "("
        && four[3] == ")"
}
