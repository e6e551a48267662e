//! The URL of a database: `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?PARAMETER=VALUE`.
//!
//! Read here and not by the library, because the library reads `sslmode=prefer` as a default and knows no `verify-full`, and
//! because no error may repeat a part of a password that was not percent-encoded.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Port of a host without one.
const DEFAULT_PORT: u16 = 5432;
/// Most hosts. Each is tried in turn, so more would only make an outage longer.
const MAX_HOSTS: usize = 16;
/// Time for an attempt to connect, unless the URL says otherwise: enough for a slow name server and TLS across continents,
/// and short enough that a host that is silent does not keep the next one waiting for a lease.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest `connect_timeout`. With a longer one, a host that is silent would delay a failover more than the failover itself.
const MAX_CONNECT_TIMEOUT_SECONDS: u64 = 60;
/// The parameters, for errors.
const PARAMETERS: &str = "host, port, user, password, dbname, sslmode, sslrootcert, channel_binding, connect_timeout, \
                          options, target_session_attrs";

/// Where a database is, and as whom to connect. `Debug` and `Display` leave out the password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// At least one. Tried in this order.
    pub(super) addresses: Vec<Address>,
    /// None: the name of the user that the process belongs to.
    pub(super) user: Option<String>,
    pub(super) password: Option<Vec<u8>>,
    /// None: named as the user.
    pub(super) database: Option<String>,
    pub(super) encryption: Option<Encryption>,
    /// The parameter `sslrootcert`. None also stands for its value `system`.
    pub(super) authority: Option<PathBuf>,
    pub(super) channel_binding: ChannelBinding,
    /// Options for the server's process, for services that route by them.
    pub(super) options: Option<String>,
    pub(super) connect_timeout: Duration,
}

/// An address of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A host name or an IP address, and a port.
    Tcp(String, u16),
    /// The folder of a Unix socket, and the port in the socket's name.
    Socket(PathBuf, u16),
}

/// The parameter `sslmode`, as far as it says which server is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    /// None.
    Disable,
    /// Encrypted, with whoever answers.
    Require,
    /// The server's certificate has to come from a trusted authority, for whatever name.
    VerifyAuthority,
    /// The certificate also has to name the host.
    VerifyFull,
}

/// The parameter `channel_binding`: whether the password's proof is tied to the server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ChannelBinding {
    /// Never.
    Disable,
    /// If both sides can.
    #[default]
    Prefer,
    /// Else the login is refused.
    Require,
}

/// Why a text is no URL of a database. Never contains a value from the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUrl(Cow<'static, str>);

impl InvalidUrl {
    fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

type Result<T> = std::result::Result<T, InvalidUrl>;

impl Address {
    /// Whether what is sent there stays on this machine.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Socket(..) => true,
            Self::Tcp(host, _) => match host.parse::<IpAddr>() {
                Ok(ip) => ip.is_loopback(),
                Err(_) => host.eq_ignore_ascii_case("localhost"),
            },
        }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = match self {
            Self::Tcp(host, port) if host.contains(':') => (Cow::Owned(format!("[{host}]")), port),
            Self::Tcp(host, port) => (Cow::Borrowed(host.as_str()), port),
            Self::Socket(folder, port) => (Cow::Owned(encoded(&folder.to_string_lossy())), port),
        };
        f.write_str(&host)?;
        if *port == DEFAULT_PORT { Ok(()) } else { write!(f, ":{port}") }
    }
}

impl DatabaseUrl {
    /// How connections to the address are encrypted.
    pub(super) fn encryption_of(&self, address: &Address) -> Encryption {
        match address {
            // PostgreSQL has no TLS there.
            Address::Socket(..) => Encryption::Disable,
            Address::Tcp(..) => self.encryption.unwrap_or(match address.is_local() {
                true => Encryption::Disable,
                false => Encryption::VerifyFull,
            }),
        }
    }
}

impl Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = &self.user {
            f.write_str(&encoded(user))?;
        }
        if self.password.is_some() {
            f.write_str(":***")?;
        }
        if self.user.is_some() || self.password.is_some() {
            f.write_str("@")?;
        }
        for (at, address) in self.addresses.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{address}")?;
        }
        match &self.database {
            Some(database) => write!(f, "/{}", encoded(database)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self> {
        let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or_else(|| InvalidUrl::new("it has to begin with postgres://"))?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        // With a password that holds `@`, `/`, `?` or `#` as they are, parts of it would be taken for something that is
        // shown or sent in the clear.
        if rest.contains('@') || rest.contains('#') || credentials.is_some_and(|text| text.contains('@')) {
            return Err(InvalidUrl::new(
                "the characters @ / ? # : and % in a user, password or other part are written as %40 %2F %3F %23 %3A %25",
            ));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parts = Parts::default();
        if let Some(credentials) = credentials {
            let (user, password) = match credentials.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (credentials, None),
            };
            parts.user = Some(decoded(user, "user")?).filter(|user| !user.is_empty());
            parts.password = password.map(secret).transpose()?;
        }
        parts.hosts =
            hosts.split(',').filter(|_| !hosts.is_empty()).map(host_and_port).collect::<Result<_>>()?;
        let database = path.strip_prefix('/').unwrap_or(path);
        if database.contains('/') {
            return Err(InvalidUrl::new("the name of the database has a /, which is written as %2F"));
        }
        parts.database = Some(decoded(database, "database")?).filter(|name| !name.is_empty());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| InvalidUrl::new("after the ?, each parameter has a name, a = and a value"))?;
            parts.set(name, value)?;
        }
        parts.assemble()
    }
}

/// What has been read so far.
#[derive(Default)]
struct Parts {
    hosts: Vec<(String, Option<u16>)>,
    /// The parameter `port`.
    ports: Vec<u16>,
    user: Option<String>,
    password: Option<Vec<u8>>,
    database: Option<String>,
    encryption: Option<Encryption>,
    authority: Option<PathBuf>,
    channel_binding: ChannelBinding,
    options: Option<String>,
    connect_timeout: Option<Duration>,
    /// Names of the parameters that were given.
    given: Vec<String>,
}

impl Parts {
    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        if self.given.iter().any(|given| given == name) {
            return Err(InvalidUrl::new("a parameter is given twice"));
        }
        self.given.push(name.to_owned());
        let twice = |what| InvalidUrl::new(format!("the {what} is given twice: also as a parameter"));
        match name {
            "host" if !self.hosts.is_empty() => return Err(twice("host")),
            "host" => self.hosts = value.split(',').map(host_and_port).collect::<Result<_>>()?,
            "port" => self.ports = value.split(',').map(port).collect::<Result<_>>()?,
            "user" if self.user.is_some() => return Err(twice("user")),
            "user" => self.user = Some(decoded(value, "user")?),
            "password" if self.password.is_some() => return Err(twice("password")),
            "password" => self.password = Some(secret(value)?),
            "dbname" if self.database.is_some() => return Err(twice("database")),
            "dbname" => self.database = Some(decoded(value, "dbname")?),
            "sslmode" => self.encryption = Some(encryption(value)?),
            "sslrootcert" => {
                let file = decoded(value, "sslrootcert")?;
                self.authority = (file != "system").then(|| file.into());
            }
            "channel_binding" => {
                self.channel_binding = match value {
                    "disable" => ChannelBinding::Disable,
                    "prefer" => ChannelBinding::Prefer,
                    "require" => ChannelBinding::Require,
                    _ => return Err(InvalidUrl::new("channel_binding is disable, prefer or require")),
                }
            }
            "connect_timeout" => {
                let seconds = value.parse().ok().filter(|at| (1..=MAX_CONNECT_TIMEOUT_SECONDS).contains(at));
                let range = || {
                    InvalidUrl::new(format!(
                        "connect_timeout is a number of seconds from 1 to {MAX_CONNECT_TIMEOUT_SECONDS}"
                    ))
                };
                self.connect_timeout = Some(Duration::from_secs(seconds.ok_or_else(range)?));
            }
            "options" => self.options = Some(decoded(value, "options")?),
            "target_session_attrs" if ["read-write", "primary"].contains(&value) => {}
            "target_session_attrs" => {
                return Err(InvalidUrl::new(
                    "target_session_attrs is read-write, also by default: of several servers, the one that accepts \
                     writes is used",
                ));
            }
            _ => {
                return Err(InvalidUrl::new(format!("it has an unknown parameter. Known are: {PARAMETERS}")));
            }
        }
        Ok(())
    }

    fn assemble(self) -> Result<DatabaseUrl> {
        let count = self.hosts.len();
        if count == 0 {
            return Err(InvalidUrl::new(
                "it names no host. For a socket, write its folder: postgres:///DATABASE?host=/run/postgresql",
            ));
        }
        if count > MAX_HOSTS {
            return Err(InvalidUrl::new(format!("it has {count} hosts; at most {MAX_HOSTS} are possible")));
        }
        if !self.ports.is_empty() && self.hosts.iter().any(|(_, port)| port.is_some()) {
            return Err(InvalidUrl::new("the port is given twice: also as a parameter"));
        }
        if ![0, 1, count].contains(&self.ports.len()) {
            return Err(InvalidUrl::new("the parameter port has one port for all hosts, or one for each"));
        }
        let addresses = self.hosts.into_iter().enumerate().map(|(at, (host, port))| {
            let given = self.ports.get(at).or(self.ports.first()).copied();
            let port = port.or(given).unwrap_or(DEFAULT_PORT);
            if host.starts_with('/') { Address::Socket(host.into(), port) } else { Address::Tcp(host, port) }
        });
        Ok(DatabaseUrl {
            addresses: addresses.collect(),
            user: self.user,
            password: self.password,
            database: self.database,
            encryption: self.encryption,
            authority: self.authority,
            channel_binding: self.channel_binding,
            options: self.options,
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        })
    }
}

fn encryption(value: &str) -> Result<Encryption> {
    match value {
        "disable" => Ok(Encryption::Disable),
        "require" => Ok(Encryption::Require),
        "verify-ca" => Ok(Encryption::VerifyAuthority),
        "verify-full" => Ok(Encryption::VerifyFull),
        "allow" | "prefer" => Err(InvalidUrl::new(
            "sslmode=allow and sslmode=prefer fall back to no encryption, so anyone on the way could turn it off. Use \
             verify-full, verify-ca, require, or disable",
        )),
        _ => Err(InvalidUrl::new("sslmode is verify-full, verify-ca, require or disable")),
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]:PORT` or a folder, with `/` as `%2F` or, in a parameter, as it is.
fn host_and_port(text: &str) -> Result<(String, Option<u16>)> {
    let (host, digits) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((ip, "")) => (ip, None),
        Some((ip, rest)) => (ip, Some(rest.strip_prefix(':').ok_or_else(invalid_host)?)),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let host = decoded(host, "host")?;
    let is_name =
        !host.is_empty() && host.bytes().all(|at| at.is_ascii_alphanumeric() || b"-._".contains(&at));
    if !is_name && !host.starts_with('/') && host.parse::<IpAddr>().is_err() {
        return Err(invalid_host());
    }
    Ok((host, digits.map(port).transpose()?))
}

fn invalid_host() -> InvalidUrl {
    InvalidUrl::new(
        "a host is a name, an IP address (IPv6 in brackets) or the folder of a socket, such as %2Frun%2Fpostgresql",
    )
}

fn port(text: &str) -> Result<u16> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| InvalidUrl::new("a port is a number from 1 to 65535"))
}

fn decoded(text: &str, what: &str) -> Result<String> {
    let invalid = |problem| InvalidUrl::new(format!("the {what} {problem}"));
    let text = percent_decode_str(text).decode_utf8().map_err(|_| invalid("is not UTF-8"))?;
    // Ends a text in PostgreSQL's protocol.
    if text.contains('\0') { Err(invalid("has a zero byte")) } else { Ok(text.into_owned()) }
}

fn secret(text: &str) -> Result<Vec<u8>> {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    if bytes.contains(&0) { Err(InvalidUrl::new("the password has a zero byte")) } else { Ok(bytes) }
}

fn encoded(text: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests;
