//! An ordinary program, independent of streamtask except for its input. The
//! input is `{"steps":[…]}`, and each step is one of those in `take`.

use std::io::{self, Read as _, Write as _};

use serde_json::{Value, json};

fn main() {
    let mut input = String::new();
    read_line(&mut input);
    let input: Value = serde_json::from_str(&input).expect("the input is JSON");
    for step in input["steps"].as_array().expect("steps") {
        let (name, argument) = step.as_object().and_then(|step| step.iter().next()).expect("a step");
        take(name, argument);
    }
}

fn take(step: &str, argument: &Value) {
    match step {
        // A line, or bytes without a line end.
        "print" => println!("{}", argument.as_str().expect("text")),
        "bytes" => {
            let bytes = argument.as_array().expect("bytes").iter();
            let bytes: Vec<u8> = bytes.map(|byte| byte.as_u64().expect("a byte") as u8).collect();
            io::stdout().write_all(&bytes).expect("room");
            io::stdout().flush().expect("room");
        }
        "error" => eprintln!("{}", argument.as_str().expect("text")),
        // A call; its response is sent as an event.
        "ask" => {
            println!("{argument}");
            let mut answer = String::new();
            read_line(&mut answer);
            println!("{{\"event\":\"answer\",\"data\":{}}}", answer.trim_end());
        }
        "call" => println!("{argument}"),
        "read" => {
            let mut rest = String::new();
            io::stdin().lock().read_to_string(&mut rest).expect("text");
            say("rest", &json!(rest));
        }
        "look" => {
            let variables: Vec<_> = std::env::vars().collect();
            say(
                "look",
                &json!({ "arguments": std::env::args().collect::<Vec<_>>(), "variables": variables }),
            );
        }
        "repeat" => {
            for nth in 0..argument.as_u64().expect("a number") {
                println!("{{\"event\":\"n\",\"data\":{{\"i\":{nth}}}}}");
            }
        }
        "flood" => loop {
            println!("{{\"call\":\"cancelled\"}}");
        },
        "fill" => print!("{}", "x".repeat(argument.as_u64().expect("a number") as usize)),
        "long" => println!("{}", "x".repeat(argument.as_u64().expect("a number") as usize)),
        // A file: its path and its content.
        "write" => {
            let text = |place: usize| argument[place].as_str().expect("text");
            let wrote = std::fs::write(text(0), text(1));
            say("wrote", &wrote.map_or_else(|error| json!(error.to_string()), |()| json!("ok")));
        }
        "spin" => loop {
            std::hint::spin_loop();
        },
        "panic" => panic!("{argument}"),
        "exit" => std::process::exit(argument.as_i64().expect("a code") as i32),
        other => panic!("there is no step {other:?}"),
    }
}

fn read_line(line: &mut String) {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while io::stdin().lock().read(&mut byte).expect("readable") == 1 {
        bytes.push(byte[0]);
        if byte[0] == b'\n' {
            break;
        }
    }
    line.push_str(std::str::from_utf8(&bytes).expect("text"));
}

fn say(event: &str, data: &Value) {
    println!("{}", json!({ "event": event, "data": data }));
}
