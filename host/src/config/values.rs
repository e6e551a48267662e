//! Checks of values with which a host would start but not work.

use std::time::Duration;

use bytesize::ByteSize;

use super::{ConfigError, Settings};
use crate::model::Time;

/// Most threads that execute guests. More than the cores of any machine, and few enough that starting them takes little
/// memory.
const MAX_GUEST_THREADS: usize = 1_024;
/// The least memory of a guest: one page of WebAssembly.
const MIN_MEMORY: ByteSize = ByteSize::kib(64);

/// The least memory for a compiler: the address space for the tables of one guest takes 160 MiB of it.
const MIN_COMPILE_MEMORY: ByteSize = ByteSize::mib(256);

pub(super) fn check(settings: &Settings) -> Result<(), ConfigError> {
    let numbers = [
        ("max-running", settings.max_running.map(u64::from), "no run would ever start"),
        ("max-running-per-task", settings.max_running_per_task.map(u64::from), "no run would ever start"),
        ("max-queued", settings.max_queued, "no run could be started"),
        ("guest-threads", settings.guest_threads.map(|threads| threads as u64), "no run would make progress"),
        ("max-event", settings.max_event.map(|size| size.as_u64()), "no event could be sent"),
        (
            "max-event-bytes-rate",
            settings.max_event_bytes_rate.map(|size| size.as_u64()),
            "no event could be sent",
        ),
        ("compile-code", settings.compile_code.map(|size| size.as_u64()), "no task could be loaded"),
        ("max-input", settings.max_input.map(|size| size.as_u64()), "no run could be started"),
        ("max-output", settings.max_output.map(|size| size.as_u64()), "no run could return a result"),
    ];
    if let Some((name, _, why)) = numbers.into_iter().find(|(_, value, _)| *value == Some(0)) {
        return Err(ConfigError::Value(format!("{name} can't be 0: {why}")));
    }
    let is_zero = |time: Option<Time>| time == Some(Time(Some(Duration::ZERO)));
    let times = [("deadline", settings.deadline), ("cpu", settings.cpu)];
    if let Some((name, _)) = times.into_iter().find(|(_, time)| is_zero(*time)) {
        return Err(ConfigError::Value(format!(
            "{name} can't be 0: every run would fail; use `none` for no limit"
        )));
    }
    if is_zero(settings.compile_time) {
        return Err(ConfigError::Value("compile-time can't be 0: no task could be loaded".to_owned()));
    }
    if settings.memory.is_some_and(|memory| memory < MIN_MEMORY) {
        return Err(ConfigError::Value(format!(
            "memory must be at least {MIN_MEMORY}: no task can run with less"
        )));
    }
    if settings.compile_memory.is_some_and(|memory| memory < MIN_COMPILE_MEMORY) {
        return Err(ConfigError::Value(format!(
            "compile-memory must be at least {MIN_COMPILE_MEMORY}: no task could be loaded"
        )));
    }
    if settings.guest_threads.is_some_and(|threads| threads > MAX_GUEST_THREADS) {
        return Err(ConfigError::Value(format!("guest-threads can be at most {MAX_GUEST_THREADS}")));
    }
    let mut origins = settings.cors_origins.iter().flatten();
    origins.try_for_each(|origin| check_origin(origin))
}

/// Checks that an origin is written like in the requests of browsers; another spelling would never match.
fn check_origin(origin: &str) -> Result<(), ConfigError> {
    let is_authority = |authority: &str| {
        let stray = |c: char| c.is_ascii_uppercase() || !c.is_ascii_graphic() || "/?#@*".contains(c);
        !authority.is_empty() && !authority.contains(stray)
    };
    let authority = origin.split_once("://").map(|(scheme, authority)| (!scheme.is_empty(), authority));
    if origin == "*" || authority.is_some_and(|(has_scheme, authority)| has_scheme && is_authority(authority))
    {
        return Ok(());
    }
    Err(ConfigError::Value(format!(
        "cors-origin {origin:?} matches no page; write it in lower case, with a scheme and without a path, such as \
         https://example.com, or use * for all origins"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        check(&toml::from_str(text).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn unusable_values_are_refused_with_the_reason() {
        for (text, reason) in [
            ("max-running = 0", "max-running can't be 0: no run"),
            ("max-running-per-task = 0", "max-running-per-task"),
            ("max-queued = 0", "max-queued"),
            ("guest-threads = 0", "guest-threads"),
            ("guest-threads = 2000", "at most 1024"),
            ("memory = 0", "at least 64.0 KiB"),
            ("memory = \"63KiB\"", "at least 64.0 KiB"),
            ("deadline = \"0s\"", "`none` for no limit"),
            ("cpu = \"0s\"", "cpu can't be 0"),
            ("max-event = 0", "no event"),
            ("max-event-bytes-rate = 0", "no event"),
            ("max-input = 0", "max-input"),
            ("max-output = 0", "max-output"),
            ("cors-origins = [\"*\", \"a.example\"]", "https://example.com"),
            ("cors-origins = [\"https://a.example/\"]", "without a path"),
            ("cors-origins = [\"https://A.example\"]", "lower case"),
        ] {
            assert!(checked(text).is_err_and(|error| error.contains(reason)), "{text}: {:?}", checked(text));
        }
        let fine = "max-log = 0\nmax-events = 0\nheartbeat = \"0s\"\ndeadline = \"none\"\ncors-origins = [\"https://a.example:8443\", \"moz-extension://ab\", \"*\"]";
        assert_eq!(checked(fine), Ok(()));
    }
}
