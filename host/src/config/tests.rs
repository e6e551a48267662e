use super::*;

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
