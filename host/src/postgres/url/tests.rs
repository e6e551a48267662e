use super::*;

fn url(text: &str) -> DatabaseUrl {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> String {
    match text.parse::<DatabaseUrl>() {
        Ok(url) => panic!("{text} is {url}"),
        Err(error) => error.to_string(),
    }
}

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp(host.to_owned(), port)
}

#[test]
fn all_parts_are_read() {
    let read = url(
        "postgresql://us%40er:p%3Ass@db.example.com:6432/my%2Fdb?sslmode=verify-ca&sslrootcert=/etc/ca.pem\
         &connect_timeout=9&options=-c%20a%3Db&channel_binding=require&target_session_attrs=read-write",
    );
    assert_eq!(read.addresses, [tcp("db.example.com", 6432)]);
    assert_eq!(read.user.as_deref(), Some("us@er"));
    assert_eq!(read.password.as_deref(), Some(&b"p:ss"[..]));
    assert_eq!(read.database.as_deref(), Some("my/db"));
    assert_eq!(read.encryption, Some(Encryption::VerifyAuthority));
    assert_eq!(read.authority, Some("/etc/ca.pem".into()));
    assert_eq!(read.connect_timeout, Duration::from_secs(9));
    assert_eq!(read.options.as_deref(), Some("-c a=b"));
    assert_eq!(read.channel_binding, ChannelBinding::Require);
    let short = url("postgres://h");
    assert_eq!((short.addresses, short.user, short.database), (vec![tcp("h", 5432)], None, None));
    assert_eq!((short.connect_timeout, short.channel_binding), (CONNECT_TIMEOUT, ChannelBinding::Prefer));
}

#[test]
fn several_hosts_and_sockets_are_read_in_their_order() {
    let read = url("postgres://u@a:1,b,[::1]:3,%2Frun%2Fpg:4/d");
    let socket = |port| Address::Socket("/run/pg".into(), port);
    assert_eq!(read.addresses, [tcp("a", 1), tcp("b", 5432), tcp("::1", 3), socket(4)]);
    assert_eq!(url("postgres:///d?host=/run/pg&port=77").addresses, [socket(77)]);
    assert_eq!(url("postgres:///d?host=a,b&port=7,8").addresses, [tcp("a", 7), tcp("b", 8)]);
    assert_eq!(url("postgres:///d?host=a,b&port=7").addresses, [tcp("a", 7), tcp("b", 7)]);
}

#[test]
fn only_connections_within_the_machine_are_plain_by_default() {
    let of = |text: &str| {
        let url = url(text);
        url.addresses.iter().map(|address| url.encryption_of(address)).collect::<Vec<_>>()
    };
    let (plain, full) = (Encryption::Disable, Encryption::VerifyFull);
    assert_eq!(of("postgres://localhost,127.0.0.9,[::1],%2Frun"), [plain; 4]);
    assert_eq!(of("postgres://db,10.0.0.1,[fe80::1],localhost.example.com"), [full; 4]);
    assert_eq!(of("postgres://db,localhost?sslmode=require"), [Encryption::Require; 2]);
    assert_eq!(of("postgres://localhost,%2Frun?sslmode=verify-full"), [full, plain]);
    assert_eq!(of("postgres://db?sslmode=disable"), [plain]);
}

#[test]
fn modes_that_fall_back_to_no_encryption_are_refused() {
    for mode in ["prefer", "allow"] {
        assert!(error(&format!("postgres://db?sslmode={mode}")).contains("verify-full"), "{mode}");
    }
    assert!(error("postgres://db?sslmode=verify_full").contains("sslmode is"));
}

#[test]
fn no_password_is_ever_shown() {
    for text in [
        "postgres://u:hunter2@db/d",
        "postgres://:hunter2@db",
        "postgres://db/d?password=hunter2&user=u",
        "postgres://u:hunter2%40@db,[::1]:7,%2Frun/d?sslmode=require",
    ] {
        let url = url(text);
        let shown = format!("{url} {url:?} {url:#?}");
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
    }
    assert_eq!(url("postgres://u:p@db,[::1]:7/d").to_string(), "postgres://u:***@db,[::1]:7/d");
}

#[test]
fn no_error_repeats_what_may_be_a_password() {
    for text in [
        "postgres://u:hunter2@hunter2@db/d",
        "postgres://u:hunter2/hunter2@db/d",
        "postgres://u:5/hunter2@db/d",
        "postgres://u:5?hunter2=hunter2@db/d",
        "postgres://u:hunter2?x@db/d",
        "postgres://u:hunter2#@db/d",
        "postgres://u:hunter2",
        "postgres://u:5/hunter2/hunter2",
        "postgres://db?hunter2",
        "postgres://db?hunter2=1",
        "postgres://db?sslmode=hunter2",
        "postgres://db?password=hunter2%00",
        "postgres://hunter2%20",
        "hunter2",
    ] {
        assert!(!error(text).contains("hunter2"), "{text}");
    }
}

#[test]
fn a_url_that_can_not_be_meant_is_refused() {
    for (text, reason) in [
        ("mysql://db", "begin with postgres://"),
        ("host=db user=u", "begin with postgres://"),
        ("postgres:///d", "no host"),
        ("postgres://db:0", "a port is"),
        ("postgres://db:65536", "a port is"),
        ("postgres://a,,b", "a host is"),
        ("postgres://[::1", "a host is"),
        ("postgres://[::1]7", "a host is"),
        ("postgres://a b", "a host is"),
        ("postgres://u@db?user=v", "the user is given twice"),
        ("postgres://db?host=b", "the host is given twice"),
        ("postgres://db:1?port=2", "the port is given twice"),
        ("postgres://a,b,c?port=1,2", "one for each"),
        ("postgres://db?sslmode=disable&sslmode=require", "given twice"),
        ("postgres://db?target_session_attrs=any", "read-write"),
        ("postgres://db?connect_timeout=0", "connect_timeout is"),
        ("postgres://db?service=x", "Known are: host, port"),
        ("postgres://db/%00", "zero byte"),
        ("postgres://db/%ff", "UTF-8"),
    ] {
        let error = error(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
    let many = vec!["db"; MAX_HOSTS + 1].join(",");
    assert!(error(&format!("postgres://{many}")).contains("at most 16"));
}
