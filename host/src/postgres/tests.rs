use std::future::Future;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use streamtask_test_postgres::{Certificate, Options, Proxy, Server, own_server, server, skip};

use super::*;

/// Longest time for what happens in the background.
const SOON: Duration = Duration::from_secs(60);

fn connector_to(url: &str) -> Connector {
    connector_with(url, None).expect("no certificates are needed")
}

fn connector_with(url: &str, authority: Option<PathBuf>) -> Result<Connector, SetupError> {
    let url = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
    Connector::new(url, SchemaName::default(), "test", authority)
}

async fn session(server: &Server) -> Session {
    connector_to(&server.url()).connect(&SessionSettings::new("unit")).await.expect("connects")
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.expect("in time")
}

async fn until(mut is_so: impl FnMut() -> bool) {
    within(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn number(session: &Session) -> i32 {
    session.query_one("SELECT 7", &[]).await.expect("a row").get(0)
}

#[tokio::test]
async fn a_session_has_bounds_a_name_and_a_schema() {
    let Some(server) = server("settings of a session") else { return };
    for url in [server.url(), server.socket_url()] {
        let session = connector_to(&url).connect(&SessionSettings::new("lane 1")).await.expect("connects");
        for (name, value) in [
            ("application_name", "test lane 1"),
            ("search_path", "streamtask"),
            ("statement_timeout", "10s"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "5s"),
            ("default_transaction_read_only", "off"),
            ("synchronous_commit", "on"),
        ] {
            let row = session.query_one("SELECT current_setting($1)", &[&name]).await.expect("a row");
            assert_eq!(row.get::<_, &str>(0), value, "{name}");
        }
    }
    let fast =
        SessionSettings { synchronous_commit: false, statement_timeout: None, ..SessionSettings::new("x") };
    let session = connector_to(&server.url()).connect(&fast).await.expect("connects");
    let sql = "SELECT current_setting('synchronous_commit') || current_setting('statement_timeout')";
    assert_eq!(session.query_one(sql, &[]).await.expect("a row").get::<_, &str>(0), "off0");
}

#[tokio::test]
async fn an_error_says_what_can_be_done() {
    let Some(server) = server("classes of errors") else { return };
    let session = session(server).await;
    session
        .batch("CREATE TEMP TABLE t (a int PRIMARY KEY CHECK (a < 9)); INSERT INTO t VALUES (1)")
        .await
        .expect("SQL");
    for (sql, class, code) in [
        ("INSERT INTO t VALUES (1)", ErrorClass::Rejected, "23505"),
        ("INSERT INTO t VALUES (9)", ErrorClass::Rejected, "23514"),
        ("SELECT 'x'::text::int", ErrorClass::Rejected, "22P02"),
        ("SELECT 1 FROM missing", ErrorClass::Unavailable, "42P01"),
        ("SELECT missing_1()", ErrorClass::Unavailable, "42883"),
    ] {
        let error = session.execute(sql, &[]).await.expect_err(sql);
        assert_eq!((error.class(), error.code()), (class, Some(code)), "{sql}: {error}");
    }
    let error = session.query("SELECT $1::text", &[&"a\0b"]).await.expect_err("a NUL");
    assert_eq!((error.class(), error.code()), (ErrorClass::Rejected, Some("22021")));
    let error = session.query("SELECT $1::text", &[&1_i64]).await.expect_err("another type");
    assert_eq!(error.class(), ErrorClass::Rejected, "{error}");
    session.batch("SET statement_timeout TO 20").await.expect("SQL");
    let error = session.execute("SELECT pg_sleep(9)", &[]).await.expect_err("too slow");
    assert_eq!((error.class(), error.code()), (ErrorClass::Unavailable, Some("57014")));
    assert!(!session.is_closed());
    assert_eq!(number(&session).await, 7);
}

#[tokio::test]
async fn a_lock_that_is_not_free_and_a_deadlock_are_conflicts() {
    let Some(server) = server("conflicts of sessions") else { return };
    let (first, second) = (session(server).await, session(server).await);
    let table = format!("conflict_{}", server.fresh_schema());
    first
        .batch(&format!("CREATE TABLE public.{table} (a int); INSERT INTO public.{table} VALUES (1), (2)"))
        .await
        .expect("SQL");
    let update = |a: i32| format!("UPDATE public.{table} SET a = a WHERE a = {a}");
    // Transactions of several statements, which the host has none of.
    first.batch(&format!("BEGIN; {}", update(1))).await.expect("SQL");
    second.batch("SET lock_timeout TO 20").await.expect("SQL");
    let error = second.execute(&update(1), &[]).await.expect_err("a lock");
    assert_eq!((error.class(), error.code()), (ErrorClass::Conflict, Some("55P03")));
    second.batch(&format!("SET lock_timeout TO 0; BEGIN; {}", update(2))).await.expect("SQL");
    let (one, two) = (update(2), update(1));
    let (one, two) = tokio::join!(first.execute(&one, &[]), second.execute(&two, &[]));
    let error = one.and(two).expect_err("a deadlock");
    assert_eq!((error.class(), error.code()), (ErrorClass::Conflict, Some("40P01")));
}

#[tokio::test]
async fn a_lost_session_is_closed_and_a_connection_has_another() {
    let Some(server) = server("lost sessions") else { return };
    let connector = connector_to(&server.url());
    let connection = Connection::open(&connector, SessionSettings::new("lost one"));
    let first = within(connection.session()).await;
    let sleep = first.execute("SELECT pg_sleep(30)", &[]);
    let cut = async {
        until(|| {
            server
                .psql("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)' AND state = 'active'")
                == "1"
        })
        .await;
        server.cut("lost one")
    };
    let (error, cut) = within(async { tokio::join!(sleep, cut) }).await;
    assert_eq!(cut, 1);
    assert_eq!(error.expect_err("it was cut").class(), ErrorClass::Disconnected);
    assert!(first.is_closed());
    let second = within(connection.session()).await;
    assert_eq!(number(&second).await, 7);
    // Also when nobody uses it.
    assert_eq!(server.cut("lost one"), 1);
    within(second.closed()).await;
    assert_eq!(second.query("SELECT 7", &[]).await.expect_err("closed").class(), ErrorClass::Disconnected);
    assert_eq!(number(&*within(connection.session()).await).await, 7);
    assert_eq!(connector.reconnects(), 2);
}

#[tokio::test]
async fn connections_come_back_after_a_crash_of_the_server() {
    let Some(server) = own_server("connections over a crash", Options::default()) else { return };
    let connector = connector_to(&server.url());
    let pool = Pool::open(&connector, &SessionSettings::reader("read"), 2);
    let connection = Connection::open(&connector, SessionSettings::new("write"));
    assert_eq!(number(&within(pool.session()).await.expect("connected")).await, 7);
    within(connection.session()).await;
    server.crash();
    until(|| connector.outage().is_some()).await;
    let error = pool.session().await.err().expect("the server is away");
    assert_eq!(error.class(), ErrorClass::Disconnected);
    assert!(error.to_string().contains("refused"), "{error}");
    let (time, started) = (Duration::from_millis(50), Instant::now());
    assert!(connection.session_within(time).await.is_err() && started.elapsed() >= time);
    server.start_again();
    assert_eq!(number(&*within(connection.session()).await).await, 7);
    assert_eq!(number(&within(pool.session()).await.expect("connected")).await, 7);
    assert!(connector.outage().is_none());
}

/// A server that counts connections and ends each at once.
fn counting_listener() -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, count)
}

#[tokio::test]
async fn one_connection_tries_while_the_database_is_away() {
    let (port, attempts) = counting_listener();
    let connector = connector_to(&format!("postgres://u@127.0.0.1:{port}"));
    let started = Instant::now();
    let connections: Vec<_> =
        (0..20).map(|at| Connection::open(&connector, SessionSettings::new(format!("{at}")))).collect();
    // Each at most once, and then one four times, after pauses of at least 50, 100, 200 and 400 ms.
    until(|| attempts.load(Ordering::SeqCst) >= 24).await;
    assert!(started.elapsed() >= Duration::from_millis(750), "{:?}", started.elapsed());
    assert!(connections.iter().all(|connection| !connection.is_connected()));
    assert!(connector.outage().is_some_and(|outage| outage.since >= started));
}

#[tokio::test]
async fn of_several_hosts_the_first_that_accepts_writes_is_used() {
    let Some(server) = server("several hosts") else { return };
    let settings = vec![("default_transaction_read_only", "on".to_owned())];
    let Some(read_only) = own_server("several hosts", Options { settings, ..Options::default() }) else {
        return;
    };
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let (refusing, _) = counting_listener();
    let url = format!(
        "postgres://streamtask@127.0.0.1:{},{},{},{}/postgres?connect_timeout=1",
        refusing,
        silent.local_addr().expect("an address"),
        read_only.address(),
        server.address()
    );
    let connector = connector_to(&url);
    let session = connector.connect(&SessionSettings::new("unit")).await.expect("the last one works");
    assert_eq!(session.address(), server.address().to_string());
    // It is the first now, so the others cost no time.
    let started = Instant::now();
    let session = connector.connect(&SessionSettings::reader("unit")).await.expect("the same one works");
    assert_eq!(session.address(), server.address().to_string());
    assert!(started.elapsed() < Duration::from_secs(1));
    let connector = connector_to(&read_only.url());
    let error = connector.connect(&SessionSettings::reader("unit")).await.err().expect("it is read-only");
    assert!(error.to_string().contains("accepts no writes"), "{error}");
}

#[tokio::test]
async fn a_replica_is_used_as_soon_as_it_is_promoted() {
    let options = Options { is_replica: true, ..Options::default() };
    let Some(replica) = own_server("a replica that is promoted", options) else { return };
    let connector = connector_to(&replica.url());
    let error = connector.connect(&SessionSettings::reader("unit")).await.err().expect("a replica");
    assert!(error.to_string().contains("is a replica"), "{error}");
    let connection = Connection::open(&connector, SessionSettings::new("unit"));
    until(|| connector.outage().is_some_and(|outage| outage.error.contains("is a replica"))).await;
    replica.psql("SELECT pg_promote()");
    within(connection.session())
        .await
        .batch("CREATE TABLE public.t (a int)")
        .await
        .expect("it accepts writes");
}

#[tokio::test]
async fn all_sessions_leave_a_server_that_becomes_read_only() {
    let Some(server) = own_server("a server that becomes read-only", Options::default()) else { return };
    let connector = connector_to(&server.url());
    let lane = Connection::open(&connector, SessionSettings::new("lane"));
    let reader = Connection::open(&connector, SessionSettings::reader("reader"));
    let (writes, reads) = within(async { (lane.session().await, reader.session().await) }).await;
    // A reader that writes is a fault of ours, and tells nothing of the server.
    let create = "CREATE TABLE public.t (a int)";
    let error = reads.execute(create, &[]).await.expect_err("a reader");
    assert_eq!(error.code(), Some("25006"));
    assert!(!writes.is_closed());
    let reads = within(reader.session()).await;
    server.psql("ALTER SYSTEM SET default_transaction_read_only TO on");
    server.psql("SELECT pg_reload_conf()");
    // The setting of a session has precedence, so it takes what a demotion is to it.
    writes.batch("SET default_transaction_read_only TO on").await.expect("SQL");
    let error = writes.execute(create, &[]).await.expect_err("read-only");
    assert_eq!((error.class(), error.code()), (ErrorClass::Disconnected, Some("25006")));
    within(reads.closed()).await;
    until(|| connector.outage().is_some_and(|outage| outage.error.contains("accepts no writes"))).await;
    server.psql("ALTER SYSTEM RESET default_transaction_read_only");
    server.psql("SELECT pg_reload_conf()");
    assert_eq!(number(&*within(lane.session()).await).await, 7);
    assert_eq!(number(&*within(reader.session()).await).await, 7);
}

#[tokio::test]
async fn a_server_that_is_silent_is_given_up() {
    let Some(server) = server("a silent server") else { return };
    let proxy = Proxy::start(server.address());
    let connector = connector_to(&format!("{}?connect_timeout=1", server.url_by(proxy.address)));
    let settings = SessionSettings {
        statement_timeout: Some(Duration::from_millis(100)),
        ..SessionSettings::new("unit")
    };
    let session = connector.connect(&settings).await.expect("connects");
    proxy.set_silent(true);
    let error = within(session.query("SELECT 7", &[])).await.expect_err("silence");
    assert_eq!(error.class(), ErrorClass::Disconnected);
    assert!(error.to_string().contains("did not answer") && session.is_closed(), "{error}");
    let error = within(connector.connect(&settings)).await.err().expect("silence");
    assert!(error.to_string().contains("no answer for 1 s"), "{error}");
}

#[tokio::test]
async fn a_dropped_statement_leaves_its_session_usable() {
    let Some(server) = server("dropped statements") else { return };
    let session = session(server).await;
    for _ in 0..3 {
        let slow = session.query("SELECT 1 FROM pg_sleep(0.2)", &[]);
        assert!(tokio::time::timeout(Duration::from_millis(20), slow).await.is_err());
        assert_eq!(number(&session).await, 7);
    }
}

#[tokio::test]
async fn a_pool_lends_each_session_to_one_caller() {
    let Some(server) = server("a pool") else { return };
    let connector = connector_to(&server.url());
    let pool = Pool::open(&connector, &SessionSettings::reader("unit"), 2);
    let pid = async |session: &Session| {
        let row = session.query_one("SELECT pg_backend_pid()", &[]).await.expect("a row");
        row.get::<_, i32>(0)
    };
    let (first, second) = (pool.session().await.expect("one"), pool.session().await.expect("two"));
    assert_ne!(pid(&first).await, pid(&second).await);
    let free = pid(&second).await;
    let third = async { pid(&*pool.session().await.expect("three")).await };
    let mut third = std::pin::pin!(third);
    assert!(tokio::time::timeout(Duration::from_millis(20), third.as_mut()).await.is_err());
    drop(second);
    assert_eq!(within(third).await, free);
    // A caller that gives up while it waits has taken nothing.
    for _ in 0..5 {
        let waiting = async { drop(tokio::join!(pool.session(), pool.session())) };
        assert!(tokio::time::timeout(Duration::from_millis(5), waiting).await.is_err());
    }
    drop(first);
    let both = within(async { tokio::join!(pool.session(), pool.session()) }).await;
    assert!(both.0.is_ok() && both.1.is_ok());
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_shown() {
    let options = Options { password: Some("right".to_owned()), ..Options::default() };
    let Some(server) = own_server("passwords", options) else { return };
    let settings = SessionSettings::new("unit");
    connector_to(&server.url()).connect(&settings).await.expect("the right one");
    let connector = connector_to(&server.url().replace("right", "wr0ng"));
    let error = connector.connect(&settings).await.err().expect("the wrong one").to_string();
    assert!(error.contains("28P01") && !error.contains("wr0ng"), "{error}");
}

#[tokio::test]
async fn the_certificate_of_the_server_is_checked() {
    let names = ["DNS:localhost", "IP:127.0.0.9"];
    let (Some(own), Some(other)) = (Certificate::make(&names), Certificate::make(&names)) else {
        return skip("TLS to PostgreSQL", "openssl");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let [own_file, other_file, empty] = ["own", "other", "empty"].map(|name| folder.path().join(name));
    std::fs::write(&own_file, &own.certificate).expect("writes");
    std::fs::write(&other_file, &other.certificate).expect("writes");
    std::fs::write(&empty, "").expect("writes");
    let options =
        Options { certificate: Some(own), password: Some("secret".to_owned()), ..Options::default() };
    let Some(server) = own_server("TLS to PostgreSQL", options) else { return };
    let url = |host: &str, parameters: &str| {
        let port = server.address().port();
        format!("postgres://streamtask:secret@{host}:{port}/postgres?{parameters}")
    };
    let settings = SessionSettings::new("unit");
    let (named, unnamed) = ("localhost", "127.0.0.1");
    for (host, parameters, authority, refusal) in [
        (named, "sslmode=verify-full&channel_binding=require", Some(&own_file), None),
        (named, "sslmode=verify-full", Some(&other_file), Some("certificate")),
        (named, "sslmode=verify-full", None, Some("certificate")),
        (unnamed, "sslmode=verify-full", Some(&own_file), Some("not valid for name")),
        (unnamed, "sslmode=verify-ca&channel_binding=require", Some(&own_file), None),
        (unnamed, "sslmode=verify-ca", Some(&other_file), Some("certificate")),
        (unnamed, "sslmode=require&channel_binding=require", None, None),
        (unnamed, "sslmode=require", Some(&other_file), Some("certificate")),
        (unnamed, "sslmode=disable&channel_binding=require", None, Some("channel binding")),
    ] {
        let what = format!("{host}?{parameters} {authority:?}");
        let connector = connector_with(&url(host, parameters), authority.cloned()).expect(&what);
        match (connector.connect(&settings).await, refusal) {
            (Ok(session), None) => {
                let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
                assert!(session.query_one(sql, &[]).await.expect("a row").get::<_, bool>(0), "{what}");
            }
            (Err(error), Some(refusal)) => assert!(error.to_string().contains(refusal), "{what}: {error}"),
            (Ok(_), Some(_)) => panic!("{what} was accepted"),
            (Err(error), None) => panic!("{what}: {error}"),
        }
    }
    let by_parameter = format!("sslmode=verify-full&sslrootcert={}", own_file.display());
    connector_to(&url(named, &by_parameter)).connect(&settings).await.expect("the parameter names the file");
    for file in [empty, folder.path().join("missing")] {
        let error =
            connector_with(&url(named, "sslmode=verify-full"), Some(file)).err().expect("no certificates");
        assert!(error.to_string().contains("can't read certificates"), "{error}");
    }
}

#[tokio::test]
async fn encryption_that_a_server_does_not_have_is_not_done_without() {
    let Some(server) = server("a server without TLS") else { return };
    let connector = connector_to(&format!("{}?sslmode=require", server.url()));
    let error = connector.connect(&SessionSettings::new("unit")).await.err().expect("it has no TLS");
    assert!(error.to_string().contains("does not support TLS"), "{error}");
}
