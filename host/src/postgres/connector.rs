//! Opens sessions at the first server that accepts writes.

use std::fmt::{self, Display};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_postgres::config::{self, SslMode};

use super::Result;
use super::error::{Error, ErrorClass};
use super::session::{Session, SessionSettings};
use super::tls::Encryptor;
use super::url::{Address, ChannelBinding, DatabaseUrl, Encryption};
use crate::process::{LogRateLimiter, spawn_blocking};

/// How long a connection may be silent before the system asks whether the other side is there, and how often it asks. A
/// lease is 15 s, and a lost connection has to be noticed well within it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_PROBES: u32 = 3;
/// How long sent bytes may stay without an acknowledgement. The system's own bound is a quarter of an hour.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bounds of the pause between two attempts. The first is shorter than a restart of the server takes, the last does not
/// add to the load of one that recovers.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// Longest name of a schema: names of channels begin with `streamtask_`, and PostgreSQL cuts off names after 63 bytes.
const MAX_SCHEMA_BYTES: usize = 48;
/// Most bytes of `application_name`.
const MAX_APPLICATION_BYTES: usize = 63;

/// Opens sessions. Clones share what is known of the database.
#[derive(Clone)]
pub struct Connector(Arc<Shared>);

struct Shared {
    url: DatabaseUrl,
    schema: SchemaName,
    application: String,
    encryptor: Encryptor,
    /// Index of the address that was connected to last, which is tried first.
    last_good: AtomicUsize,
    /// Held by the connection that tries while the database is away. It has the pause before the next attempt.
    trying: tokio::sync::Mutex<Duration>,
    outage: Mutex<Option<Outage>>,
    log_rate: LogRateLimiter,
    /// Counts the times that a server became read-only, upon which all sessions are closed.
    read_only_servers: watch::Sender<u64>,
    reconnects: AtomicU64,
}

/// Why the database is away.
#[derive(Clone, Debug)]
pub struct Outage {
    /// When an attempt to connect failed first.
    pub since: Instant,
    /// The last attempt's error.
    pub error: String,
}

/// Why no connection can ever be opened: the authority's file, the system's certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

/// The name of the schema that has the host's tables: lowercase letters, digits and `_`, so it is the same with quotes and
/// without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaName(String);

impl SchemaName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SchemaName {
    fn default() -> Self {
        Self("streamtask".to_owned())
    }
}

impl Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SchemaName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_valid = text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|at| at.is_ascii_lowercase() || at.is_ascii_digit() || at == b'_')
            && text.len() <= MAX_SCHEMA_BYTES
            // PostgreSQL keeps these for itself.
            && !text.starts_with("pg_");
        let rule = || {
            format!(
                "a schema has a lowercase letter, then lowercase letters, digits or _, and at most {MAX_SCHEMA_BYTES} \
                 of them; pg_ is PostgreSQL's own"
            )
        };
        is_valid.then(|| Self(text.to_owned())).ok_or_else(rule)
    }
}

impl Connector {
    /// For the database at the URL. `application` begins the name of each session in `pg_stat_activity`; `authority` is a
    /// file with the certificates that are trusted instead of the system's.
    pub fn new(
        url: DatabaseUrl,
        schema: SchemaName,
        application: &str,
        authority: Option<PathBuf>,
    ) -> Result<Self, SetupError> {
        let modes = url.addresses.iter().map(|address| url.encryption_of(address));
        // All that are encrypted are so in the same way.
        let mode = modes.into_iter().find(|mode| *mode != Encryption::Disable).unwrap_or(Encryption::Disable);
        let authority = authority.or_else(|| url.authority.clone());
        let encryptor = Encryptor::new(mode, authority.as_deref()).map_err(SetupError)?;
        Ok(Self(Arc::new(Shared {
            url,
            schema,
            application: application.to_owned(),
            encryptor,
            last_good: AtomicUsize::new(0),
            trying: tokio::sync::Mutex::new(FIRST_PAUSE),
            outage: Mutex::new(None),
            log_rate: LogRateLimiter::default(),
            read_only_servers: watch::Sender::new(0),
            reconnects: AtomicU64::new(0),
        })))
    }

    /// The schema of the sessions.
    pub fn schema(&self) -> &SchemaName {
        &self.0.schema
    }

    /// The URL, whose texts have no password.
    pub fn url(&self) -> &DatabaseUrl {
        &self.0.url
    }

    /// Why the database is away, if it is.
    pub fn outage(&self) -> Option<Outage> {
        self.0.outage.lock().clone()
    }

    /// Sessions that replaced a lost one.
    pub fn reconnects(&self) -> u64 {
        self.0.reconnects.load(Ordering::Relaxed)
    }

    /// Opens a session, in one attempt for each address.
    pub async fn connect(&self, settings: &SessionSettings) -> Result<Session> {
        let addresses = &self.0.url.addresses;
        let first = self.0.last_good.load(Ordering::Relaxed);
        let mut errors = Vec::new();
        for nth in 0..addresses.len() {
            let at = (first + nth) % addresses.len();
            match self.connect_to(&addresses[at], settings).await {
                Ok(session) => {
                    self.0.last_good.store(at, Ordering::Relaxed);
                    return Ok(session);
                }
                Err(error) => errors.push(format!("{}: {error}", addresses[at])),
            }
        }
        Err(Error::new(ErrorClass::Disconnected, errors.join("; ")))
    }

    /// Opens a session, however long that takes. While the database is away, one caller tries and the others wait for it.
    pub(super) async fn connect_eventually(&self, settings: &SessionSettings) -> Session {
        loop {
            if !self.is_away() {
                match self.connect(settings).await {
                    Ok(session) => return session,
                    Err(error) => self.note_failure(&error),
                }
            }
            let mut pause = self.0.trying.lock().await;
            if !self.is_away() {
                // Whoever tried has connected.
                continue;
            }
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            match self.connect(settings).await {
                Ok(session) => {
                    *pause = FIRST_PAUSE;
                    self.note_success(session.address());
                    return session;
                }
                Err(error) => {
                    *pause = LAST_PAUSE.min(*pause * 2);
                    self.note_failure(&error);
                }
            }
        }
    }

    pub(super) fn note_reconnect(&self) {
        self.0.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes when a server has become read-only.
    pub(super) fn read_only_servers(&self) -> watch::Receiver<u64> {
        self.0.read_only_servers.subscribe()
    }

    fn is_away(&self) -> bool {
        self.0.outage.lock().is_some()
    }

    fn note_failure(&self, error: &Error) {
        let error = error.to_string();
        let before = {
            let mut outage = self.0.outage.lock();
            let since = outage.as_ref().map_or_else(Instant::now, |outage| outage.since);
            outage.replace(Outage { since, error: error.clone() })
        };
        let is_news = before.is_none_or(|before| before.error != error);
        if is_news && self.0.log_rate.take().is_some() {
            tracing::warn!(error, database = %self.0.url, "can't connect to the database; trying again");
        }
    }

    fn note_success(&self, address: &str) {
        let outage = self.0.outage.lock().take();
        if let Some(outage) = outage {
            let seconds = outage.since.elapsed().as_secs();
            tracing::info!(address, seconds, "connected to the database again");
        }
    }

    async fn connect_to(&self, address: &Address, settings: &SessionSettings) -> Result<Session> {
        let Address::Tcp(host, port) = address else {
            return self.connect_within(address, None, settings).await;
        };
        let ips = resolve(host.clone(), *port, self.0.url.connect_timeout).await?;
        let mut last = None;
        for ip in ips {
            match self.connect_within(address, Some(ip), settings).await {
                Ok(session) => return Ok(session),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorClass::Disconnected, "the name has no address")))
    }

    /// The library's timeout would be for the socket alone; a server that is stopped accepts connections and is silent.
    async fn connect_within(
        &self,
        address: &Address,
        ip: Option<IpAddr>,
        settings: &SessionSettings,
    ) -> Result<Session> {
        let timeout = self.0.url.connect_timeout;
        let attempt = async {
            let config = self.0.configure(address, ip, settings);
            let connected = config.connect(self.0.encryptor.clone()).await;
            let (client, connection) = connected.map_err(Error::of_connecting)?;
            let schema = self.0.schema.as_str();
            let read_only_servers = self.0.read_only_servers.clone();
            Session::start(client, connection, address.to_string(), schema, settings, read_only_servers).await
        };
        tokio::time::timeout(timeout, attempt).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorClass::Disconnected, format!("no answer for {} s", timeout.as_secs())))
        })
    }
}

impl Shared {
    fn configure(
        &self,
        address: &Address,
        ip: Option<IpAddr>,
        settings: &SessionSettings,
    ) -> tokio_postgres::Config {
        let (url, mut config) = (&self.url, tokio_postgres::Config::new());
        match address {
            Address::Tcp(host, port) => config.host(host.as_str()).port(*port),
            Address::Socket(folder, port) => config.host_path(folder).port(*port),
        };
        if let Some(ip) = ip {
            config.hostaddr(ip);
        }
        if let Some(user) = &url.user {
            config.user(user.as_str());
        }
        if let Some(password) = &url.password {
            config.password(password);
        }
        if let Some(database) = &url.database {
            config.dbname(database.as_str());
        }
        if let Some(options) = &url.options {
            config.options(options.as_str());
        }
        let is_plain = url.encryption_of(address) == Encryption::Disable;
        config
            .application_name(self.application_name(settings))
            .ssl_mode(if is_plain { SslMode::Disable } else { SslMode::Require })
            .channel_binding(match url.channel_binding {
                ChannelBinding::Disable => config::ChannelBinding::Disable,
                ChannelBinding::Prefer => config::ChannelBinding::Prefer,
                ChannelBinding::Require => config::ChannelBinding::Require,
            })
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_PROBES)
            .tcp_user_timeout(ACKNOWLEDGEMENT_TIMEOUT);
        config
    }

    /// The beginning of the application's name is what is left out, if necessary.
    fn application_name(&self, settings: &SessionSettings) -> String {
        let mut application = self.application.as_str();
        while !application.is_empty() && application.len() + 1 + settings.name.len() > MAX_APPLICATION_BYTES {
            application = &application[..application.floor_char_boundary(application.len() - 1)];
        }
        format!("{application} {}", settings.name)
    }
}

/// Addresses of a name. On a thread for blocking calls, of which there may be none.
async fn resolve(host: String, port: u16, timeout: Duration) -> Result<Vec<IpAddr>> {
    if let Ok(ip) = host.parse() {
        return Ok(vec![ip]);
    }
    let failed =
        |reason: String| Error::new(ErrorClass::Disconnected, format!("can't look up the name: {reason}"));
    let lookup = spawn_blocking(move || (host.as_str(), port).to_socket_addrs().map(Vec::from_iter));
    let lookup = lookup.map_err(|error| failed(error.to_string()))?;
    match tokio::time::timeout(timeout, lookup).await {
        Ok(Ok(Ok(found))) => Ok(found.iter().map(|address| address.ip()).collect()),
        Ok(Ok(Err(error))) => Err(failed(error.to_string())),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer for {} s", timeout.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_a_name_that_needs_no_quotes() {
        for name in ["streamtask", "a", "a_1", &"a".repeat(MAX_SCHEMA_BYTES)] {
            assert_eq!(name.parse::<SchemaName>().map(|name| name.to_string()), Ok(name.to_owned()));
        }
        for name in
            ["", "A", "1a", "_a", "a-b", "a b", "a\"b", "é", "pg_a", &"a".repeat(MAX_SCHEMA_BYTES + 1)]
        {
            assert!(name.parse::<SchemaName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_long_name_of_the_application_is_cut_off_and_not_the_name_of_the_session() {
        let url: DatabaseUrl = "postgres://localhost".parse().expect("a URL");
        let connector =
            Connector::new(url, SchemaName::default(), &"é".repeat(60), None).expect("needs no certificates");
        let name = connector.0.application_name(&SessionSettings::new("lane 1"));
        assert!(name.ends_with("é lane 1") && name.len() <= MAX_APPLICATION_BYTES, "{name}");
    }
}
