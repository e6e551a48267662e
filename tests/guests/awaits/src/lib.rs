//! A guest for the async world, well-behaved or not. Input: `{"do": NAME, …}`.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use wasip3::clocks::monotonic_clock::wait_for;
use wit_bindgen::{spawn_local, yield_async};

use streamtask::task::events::send_event;

wit_bindgen::generate!({
    path: ["../../../wit", "../../../wit/async"],
    world: "streamtask:task-async/described-async-task",
    generate_all,
});

struct Awaits;

/// Longer than any test.
const LONG: u64 = 3_600_000_000_000;

impl Guest for Awaits {
    async fn process(input: String) -> Result<String, Failure> {
        let input: Value = serde_json::from_str(&input).map_err(|error| failure(&error.to_string()))?;
        let number = |name: &str| input[name].as_u64().unwrap_or_default();
        match input["do"].as_str().unwrap_or_default() {
            "echo" => Ok(input["value"].to_string()),
            "fail" => Err(failure("as it was told")),
            "trap" => {
                wait_for(1).await;
                panic!("in the middle")
            }
            "exit" => std::process::exit(3),
            "print" => {
                println!("printed");
                Ok("null".to_owned())
            }
            // Two concurrent operations that both send events.
            "tick" => {
                let (count, ns) = (number("count"), number("ms") * 1_000_000);
                join(ticks("one", count, ns), ticks("other", count, ns)).await;
                Ok("null".to_owned())
            }
            "wait" => {
                tell("waiting", &json!(null));
                wait_for(LONG).await;
                Ok("null".to_owned())
            }
            "spin" => {
                tell("spinning", &json!(null));
                loop {
                    std::hint::spin_loop();
                }
            }
            // Yields all the time, and never waits.
            "yield" => {
                tell("spinning", &json!(null));
                loop {
                    yield_async().await;
                }
            }
            // Allocates more and more memory.
            "fill" => {
                let mut kept = Vec::new();
                loop {
                    kept.push(vec![1_u8; 1 << 20]);
                    wait_for(0).await;
                }
            }
            // Many concurrent timers.
            "timers" => {
                let timers = join_all((0..number("count")).map(|_| wait_for(number("ms") * 1_000_000))).await;
                Ok(timers.len().to_string())
            }
            // An operation that continues after the result.
            "leave" => {
                spawn_local(async {
                    wait_for(1).await;
                    tell("late", &json!(null));
                    wait_for(LONG).await;
                });
                Ok("null".to_owned())
            }
            other => Err(failure(&format!("can't do {other:?}"))),
        }
    }

    fn describe() -> String {
        json!({ "description": "of the async world" }).to_string()
    }
}

async fn ticks(who: &str, count: u64, ns: u64) {
    for nth in 0..count {
        tell("tick", &json!({ "who": who, "nth": nth }));
        wait_for(ns).await;
    }
}

fn tell(event_type: &str, data: &Value) {
    send_event(event_type, &data.to_string()).expect("the host takes it");
}

fn failure(message: &str) -> Failure {
    Failure { message: message.to_owned(), code: None, details: None, retryable: false, retry_after_ms: None }
}

export!(Awaits);
