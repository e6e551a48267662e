use clap::{Args as _, Command, FromArgMatches as _};

use super::*;
use crate::model::Time;

fn file(text: &str) -> Result<Settings, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("streamtask.toml");
    fs::write(&path, text).unwrap();
    Settings::read(Some(&path))
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = file("max-running = 7\nmemory = \"64MiB\"\ndeadline = \"none\"\n").unwrap();
    let flags = Settings { max_running: Some(3), ..Settings::default() };
    let config = flags.or(file).config().unwrap();
    assert_eq!((config.max_running, config.limits.memory_bytes, config.limits.deadline), (3, 64 << 20, None));
    assert_eq!(config.heartbeat, Duration::from_secs(15));
    let config = |text: &str| self::file(text).unwrap().config().unwrap();
    assert!(config("experimental-async = true\n").experimental_async && !config("").experimental_async);
    assert!(config("uploads = true\n").uploads && !config("").uploads);
}

#[test]
fn an_invalid_file_is_refused_with_the_place() {
    for (text, place) in
        [("max-runing = 7\n", "line 1"), ("\ndeadline = \"7\"\n", "line 2"), ("listen = true", "line 1")]
    {
        let error = file(text).unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
    }
    let error = Settings::read(Some(Path::new("/nonexistent.toml"))).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }));
}

#[test]
fn an_address_that_others_can_reach_needs_open() {
    let listen = |address: &str, open| Settings { listen: address.parse().ok(), open, ..Settings::default() };
    assert!(listen("0.0.0.0:8080", None).address().is_err());
    assert!(listen("0.0.0.0:8080", Some(true)).address().is_ok());
    assert!(listen("[::1]:8080", None).address().is_ok());
}

#[test]
fn times_have_units() {
    assert_eq!("1h 30m".parse(), Ok(Time(Some(Duration::from_secs(5400)))));
    assert_eq!("250ms".parse(), Ok(Time(Some(Duration::from_millis(250)))));
    assert_eq!("1w 1d".parse(), Ok(Time(Some(Duration::from_secs(8 * 24 * 60 * 60)))));
    assert_eq!("none".parse(), Ok(Time(None)));
    for bad in ["5", "-5s", "soon", "", "1 month"] {
        assert!(bad.parse::<Time>().is_err(), "{bad:?}");
    }
}

/// The settings that these arguments of `serve` give.
fn flags(arguments: &[&str]) -> Result<Settings, clap::Error> {
    let command = Settings::augment_args(Command::new("serve"));
    let matches = command.try_get_matches_from([&["serve"], arguments].concat())?;
    Settings::from_arg_matches(&matches)
}

#[test]
fn the_default_in_the_help_is_the_value_of_a_setting_that_is_not_set() {
    let compared = |settings: Settings| {
        let own = (settings.listen(), settings.log_format(), settings.log());
        format!("{:?} {own:?}", settings.config().unwrap())
    };
    let mut in_words = Vec::new();
    for setting in Settings::table() {
        let Some(default) = &setting.default else { continue };
        match flags(&[&format!("--{}", setting.flag), default]) {
            Ok(set) if set.config().is_ok() => {
                assert_eq!(compared(set), compared(Settings::default()), "{}", setting.key);
            }
            _ => in_words.push(setting.key.as_str()),
        }
    }
    let expected = [
        "database",
        "max-running-per-task",
        "guest-threads",
        "max-events",
        "max-events-size",
        "max-event-rate",
        "max-event-bytes-rate",
        "retention-age",
        "retention-runs",
        "retention-events-age",
    ];
    assert_eq!(in_words, expected);
}

#[test]
fn a_setting_has_one_name_as_flag_variable_and_key() {
    // The parser of the file lists its keys when it refuses another one.
    let error = file("no-setting = 1\n").unwrap_err().to_string();
    let keys: Vec<String> = Settings::table().iter().map(|setting| format!("`{}`", setting.key)).collect();
    assert!(error.contains(&format!("expected one of {}", keys.join(", "))), "{error}");
    let setting = |key: &str| Settings::table().iter().find(|setting| setting.key == key).unwrap();
    let hosts = setting("allowed-hosts");
    assert_eq!((hosts.flag.as_str(), hosts.variable.as_str()), ("allowed-host", "STREAMTASK_ALLOWED_HOSTS"));
    let log = setting("log-format");
    assert_eq!((log.flag.as_str(), log.variable.as_str()), ("log-format", "STREAMTASK_LOG_FORMAT"));
}

#[test]
fn switches_need_no_value_and_lists_take_several() {
    let settings = flags(&["--uploads", "--open", "false", "--cors-origin", "a,b", "--cors-origin", "c"]);
    let settings = settings.unwrap();
    assert_eq!(
        (settings.uploads, settings.open, settings.experimental_async),
        (Some(true), Some(false), None)
    );
    assert_eq!(settings.cors_origins.unwrap(), ["a", "b", "c"]);
}

#[test]
fn unusable_values_are_refused_with_the_reason() {
    let checked = |text: &str| file(text).unwrap().config().map(drop).map_err(|error| error.to_string());
    for (text, reason) in [
        ("max-running = 0", "max-running can't be 0: no run"),
        ("max-running-per-task = 0", "max-running-per-task can't be 0: no run would ever start"),
        ("max-queued = 0", "max-queued can't be 0: no run could be started"),
        ("guest-threads = 0", "guest-threads can't be 0: no run would make progress"),
        ("guest-threads = 2000", "guest-threads can be at most 1024"),
        ("memory = 0", "memory must be at least 64.0 KiB: no task can run with less"),
        ("memory = \"63KiB\"", "at least 64.0 KiB"),
        ("compile-memory = \"1MiB\"", "compile-memory must be at least 256.0 MiB: no task could be loaded"),
        ("compile-time = \"0s\"", "compile-time can't be 0: no task could be loaded"),
        ("compile-time = \"none\"", "compile-time can't be `none`"),
        ("deadline = \"0s\"", "deadline can't be 0: every run would fail; use `none` for no limit"),
        ("cpu = \"0s\"", "cpu can't be 0"),
        ("max-event = 0", "max-event can't be 0: no event could be sent"),
        ("max-event-bytes-rate = 0", "max-event-bytes-rate can't be 0: no event could be sent"),
        ("max-input = 0", "max-input can't be 0: no run could be started"),
        ("max-output = 0", "max-output can't be 0: no run could return a result"),
        ("cors-origins = [\"*\", \"a.example\"]", "cors-origin \"a.example\" matches no page"),
        ("cors-origins = [\"https://a.example/\"]", "without a path"),
        ("cors-origins = [\"https://A.example\"]", "lower case"),
    ] {
        assert!(checked(text).is_err_and(|error| error.contains(reason)), "{text}: {:?}", checked(text));
    }
    let fine = "max-log = 0\nmax-events = 0\nheartbeat = \"0s\"\ndeadline = \"none\"\ncors-origins = [\"https://a.example:8443\", \"moz-extension://ab\", \"*\"]";
    assert_eq!(checked(fine), Ok(()));
}

#[test]
fn the_page_of_settings_has_all_of_them() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
    let page = fs::read_to_string(page).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `--")).collect();
    let wanted: Vec<String> = Settings::table().iter().map(Setting::row).collect();
    assert!(rows == wanted, "the rows of docs/settings.md have to be:\n{}", wanted.join("\n"));
}
