//! A guest that misuses the functions that guests can call: too often, with too much data, or
//! without ever releasing anything.
//!
//! Input: `{"do": NAME, "bytes": …}`. Unless documented otherwise, an action never ends by itself.

use std::hint::black_box;

use serde_json::{Value, json};
use wasip2::cli;
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens;
use wasip2::io::poll;
use wasip2::random::{insecure, insecure_seed, random};
use wasip2::sockets::{instance_network, ip_name_lookup, network, tcp_create_socket, udp_create_socket};

use streamtask::task::types::{Error, ErrorCode};
use streamtask::task::{checkpoints, control, events, run};

wit_bindgen::generate!({ path: "../../../wit", world: "streamtask:task/task" });

struct Hostile;

impl Guest for Hostile {
    fn process(input: String) -> Result<String, Failure> {
        let input: Value = serde_json::from_str(&input).unwrap_or_default();
        let bytes = input["bytes"].as_u64().unwrap_or(0);
        let action = input["do"].as_str().unwrap_or_default();
        events::send_event("begun", "{}").expect("a valid event");
        let done = match action {
            "name-everything" => name_everything(bytes as usize),
            "what-is-granted" => what_is_granted(),
            _ => {
                misuse(action, bytes);
                json!("survived")
            }
        };
        Ok(done.to_string())
    }
}

fn misuse(action: &str, bytes: u64) {
    match action {
        "spin" => forever(|| ()),
        "call-info" => forever(run::info),
        "call-cancelled" => forever(control::cancelled),
        "call-clock" => forever(|| (monotonic_clock::now(), wall_clock::now())),
        "call-random" => forever(|| (random::get_random_u64(), insecure_seed::insecure_seed())),
        "call-parameter" => forever(|| control::parameter("x")),
        "call-checkpoint" => forever(|| checkpoints::load("x").is_ok()),
        "call-environment" => forever(|| (cli::environment::get_environment(), cli::stdin::get_stdin())),
        "send-refused" => {
            let data = "[".repeat(1 << 20);
            forever(|| events::send_event("x", &data))
        }
        "random-bytes" => forever(|| random::get_random_bytes(bytes)),
        "insecure-bytes" => forever(|| insecure::get_insecure_random_bytes(bytes)),
        "sleep-0" => forever(|| control::sleep_ms(0)),
        "sleep" => forever(|| control::sleep_ms(u32::MAX)),
        "wait-for-signal" => forever(|| control::receive_signal(None, None)),
        "ask-for-signal" => forever(|| control::receive_signal(Some("x"), Some(0))),
        "poll-ready" => forever(|| poll::poll(&[&monotonic_clock::subscribe_instant(0)])),
        "poll-many" => poll_many(bytes as usize),
        "poll-list" => poll_list(bytes as usize),
        "poll-nothing" => forever(|| poll::poll(&[])),
        "keep-pollables" => forever(|| std::mem::forget(monotonic_clock::subscribe_duration(u64::MAX))),
        "keep-streams" => forever(|| std::mem::forget(cli::stdout::get_stdout())),
        "keep-networks" => forever(|| std::mem::forget(instance_network::instance_network())),
        "open-sockets" => forever(|| {
            std::mem::forget(tcp_create_socket::create_tcp_socket(network::IpAddressFamily::Ipv4));
            std::mem::forget(udp_create_socket::create_udp_socket(network::IpAddressFamily::Ipv6));
        }),
        "read-stdin" => forever(|| cli::stdin::get_stdin().blocking_read(u64::MAX)),
        "write-zeroes" => drop(cli::stdout::get_stdout().write_zeroes(bytes)),
        "write-unasked" => drop(cli::stdout::get_stdout().write(&vec![b'x'; bytes as usize])),
        "print-lines" => forever(|| eprintln!("line")),
        "print-no-line" => forever(|| print!("{:1000}", "x")),
        "flood" => {
            let data = json!("x".repeat(bytes as usize)).to_string();
            forever(|| events::send_event("flood", &data))
        }
        "flood-bytes" => {
            let data = vec![0; bytes as usize];
            forever(|| events::send_bytes("c", "flood", "a/b", &data))
        }
        "flush" => forever(events::flush),
        "beat" => forever(beat),
        "fill-memory" => {
            let mut memory = vec![0u8; bytes as usize];
            forever(|| black_box(&mut memory[..]).fill(black_box(1)))
        }
        "checkpoint-keys" => checkpoint_keys(bytes as usize),
        "grow-memory" => grow_memory(),
        "exit" => cli::exit::exit(Ok(())),
        "exit-with-code" => cli::exit::exit(Err(())),
        other => panic!("{other:?} is no misuse"),
    }
}

fn forever<T>(mut act: impl FnMut() -> T) {
    loop {
        black_box(act());
    }
}

/// Computes for a millisecond, then sends the time in microseconds.
fn beat() {
    let until = monotonic_clock::now() + 1_000_000;
    while monotonic_clock::now() < until {}
    let now = wall_clock::now();
    let data = (now.seconds * 1_000_000 + u64::from(now.nanoseconds) / 1000).to_string();
    events::send_event("beat", &data).expect("a valid event");
}

/// Waits for many concurrent timers, which all expire soon.
fn poll_many(count: usize) {
    loop {
        let timers: Vec<_> = (0..count).map(|_| monotonic_clock::subscribe_duration(1)).collect();
        black_box(poll::poll(&timers.iter().collect::<Vec<_>>()));
    }
}

/// Waits for one timer, listed many times.
fn poll_list(count: usize) {
    let timer = monotonic_clock::subscribe_instant(0);
    let list = vec![&timer; count];
    forever(|| poll::poll(&list));
}

/// Saves under new keys until that is rejected, then reports it.
fn checkpoint_keys(bytes: usize) {
    for nth in 0u64.. {
        if let Err(error) = checkpoints::save(&nth.to_string(), &vec![1; bytes]) {
            let data = json!({ "after": nth, "code": code(error.code) });
            events::send_event("refused", &data.to_string()).expect("a valid event");
            return;
        }
    }
}

fn grow_memory() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; 64 << 10]);
        black_box(&hoard);
    }
}

/// Calls each import that takes a text or bytes with a large argument; returns the results.
fn name_everything(bytes: usize) -> Value {
    let text = "x".repeat(bytes);
    let data = vec![b'x'; bytes];
    json!({
        "send-event type": refused(events::send_event(&text, "1")),
        "send-event data": refused(events::send_event("t", &text)),
        "send-event-on channel": refused(events::send_event_on(&text, "t", "1")),
        "send-event-on type": refused(events::send_event_on("c", &text, "1")),
        "send-event-on data": refused(events::send_event_on("c", "t", &text)),
        "send-bytes channel": refused(events::send_bytes(&text, "t", "a/b", &[])),
        "send-bytes type": refused(events::send_bytes("c", &text, "a/b", &[])),
        "send-bytes content-type": refused(events::send_bytes("c", "t", &text, &[])),
        "send-bytes data": refused(events::send_bytes("c", "t", "a/b", &data)),
        "save key": refused(checkpoints::save(&text, &[])),
        "save value": refused(checkpoints::save("k", &data)),
        "remove key": refused(checkpoints::remove(&text)),
        "load key": refused(checkpoints::load(&text)),
        "parameter name": control::parameter(&text),
        "receive-signal name": control::receive_signal(Some(&text), None).map(|signal| signal.name),
        "resolve-addresses name": refused_name(&text),
    })
}

fn refused<T>(answer: Result<T, Error>) -> Value {
    match answer {
        Ok(_) => json!("taken"),
        Err(error) => json!(code(error.code)),
    }
}

fn refused_name(name: &str) -> Value {
    let resolved = ip_name_lookup::resolve_addresses(&instance_network::instance_network(), name);
    json!(resolved.err().map(|error| error.name()))
}

fn what_is_granted() -> Value {
    let tcp = tcp_create_socket::create_tcp_socket(network::IpAddressFamily::Ipv4);
    let udp = udp_create_socket::create_udp_socket(network::IpAddressFamily::Ipv4);
    json!({
        "folders": preopens::get_directories().len(),
        "environment": cli::environment::get_environment(),
        "arguments": cli::environment::get_arguments(),
        "working directory": cli::environment::initial_cwd(),
        "tcp": tcp.err().map(|error| error.name()),
        "udp": udp.err().map(|error| error.name()),
        "names": refused_name("localhost"),
        "stdin": cli::stdin::get_stdin().blocking_read(100).err().map(|error| format!("{error:?}")),
        "terminal": cli::terminal_stdout::get_terminal_stdout().is_some(),
        "file": std::fs::read("/etc/passwd").is_ok(),
        "parent": std::fs::read("../../../../etc/passwd").is_ok(),
    })
}

fn code(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidArgument => "invalid-argument",
        ErrorCode::TooLarge => "too-large",
        ErrorCode::LimitExceeded => "limit-exceeded",
        ErrorCode::Denied => "denied",
        ErrorCode::NotFound => "not-found",
        ErrorCode::Conflict => "conflict",
        ErrorCode::Unavailable => "unavailable",
        ErrorCode::Internal => "internal",
    }
}

export!(Hostile);
