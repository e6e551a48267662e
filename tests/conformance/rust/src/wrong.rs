//! The cases of what goes wrong.

use std::hint::black_box;

use streamtask_sdk::{Context, Failure, Value, http, json};

pub const CASES: [&str; 11] = [
    "broken-text",
    "panic",
    "panic-elsewhere",
    "out-of-memory",
    "endless-loop",
    "wrong-type",
    "abort",
    "exit",
    "denied",
    "load-missing",
    "load-other",
];

pub fn go(ctx: &Context, input: &Value) -> Result<Value, Failure> {
    match input["case"].as_str().unwrap_or_default() {
        "panic" => Ok(json!(deeper("boom") + 1)),
        "out-of-memory" => out_of_memory(),
        "endless-loop" => endless_loop(),
        "wrong-type" => Ok(json!(["not", "an", "object"])),
        "abort" => aborts(),
        "exit" => std::process::exit(input["code"].as_i64().unwrap_or_default() as i32),
        "denied" => {
            http::get(input["url"].as_str().unwrap_or_default()).send(ctx)?;
            Ok(Value::Null)
        }
        "load-missing" => Ok(json!({ "loaded": ctx.load_checkpoint::<Value>("missing")? })),
        "load-other" => {
            ctx.save_checkpoint("n", "seven")?;
            Ok(json!(ctx.load_checkpoint::<i64>("n")?))
        }
        _ => Err(super::unsupported()),
    }
}

#[inline(never)]
fn deeper(message: &str) -> usize {
    deep(message) + 1
}

#[inline(never)]
fn deep(message: &str) -> usize {
    assert!(message.is_empty(), "{message}");
    message.len()
}

#[inline(never)]
fn out_of_memory() -> ! {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(vec![1; 1 << 20]);
        black_box(&kept);
    }
}

#[inline(never)]
fn endless_loop() -> ! {
    let mut n = 0_u32;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

#[inline(never)]
fn aborts() -> ! {
    std::process::abort()
}
