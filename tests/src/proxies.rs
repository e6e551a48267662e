//! Other proxies than nginx in front of a host, each set up with the lines of docs/proxy.md.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::PATIENCE;

/// A kind of proxy.
#[derive(Debug)]
pub struct Kind {
    /// As the fences of the documentation name it.
    pub name: &'static str,
    /// The package of Debian and Ubuntu.
    pub package: &'static str,
    program: &'static str,
    /// What a test needs besides the documented lines: `LISTEN` is the address, `PORT` its port, `LINES` those.
    file: &'static str,
    arguments: &'static [&'static str],
}

/// Those that there are.
pub const KINDS: [Kind; 6] = [
    Kind {
        name: "apache",
        package: "apache2",
        program: "apache2",
        file: "ServerName localhost\nListen LISTEN\nPidFile pid\nErrorLog /dev/stderr\nLogLevel crit\nDefaultRuntimeDir .\n\
               LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
               User nobody\nGroup nogroup\n\
               LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
               LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so\n\
               LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so\nLINES",
        arguments: &["-d", ".", "-f", "configuration", "-D", "FOREGROUND"],
    },
    Kind {
        name: "haproxy",
        package: "haproxy",
        program: "haproxy",
        file: "LINES",
        arguments: &["-db", "-f", "configuration"],
    },
    Kind {
        name: "caddy",
        package: "caddy",
        program: "caddy",
        file: "{\nadmin off\nauto_https off\n}\nLINES",
        arguments: &["run", "--config", "configuration", "--adapter", "caddyfile"],
    },
    Kind {
        name: "varnish",
        package: "varnish",
        program: "varnishd",
        file: "LINES",
        arguments: &[
            "-F",
            "-j",
            "none",
            "-a",
            "LISTEN",
            "-f",
            "FOLDER/configuration",
            "-n",
            "FOLDER/work",
            "-s",
            "malloc,8m",
        ],
    },
    Kind {
        name: "lighttpd",
        package: "lighttpd",
        program: "lighttpd",
        file: "server.bind = \"127.0.0.1\"\nserver.port = PORT\nserver.document-root = \"/nonexistent\"\nLINES",
        arguments: &["-D", "-f", "configuration"],
    },
    Kind {
        name: "h2o",
        package: "h2o",
        program: "h2o",
        file: "listen:\n  host: 127.0.0.1\n  port: PORT\nhosts:\n  default:\n    paths:\n      /:\n        LINES",
        arguments: &["-c", "configuration"],
    },
];

/// A running one.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Kind {
    /// Where it is, if it is.
    pub fn found(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        folders.map(|folder| folder.join(self.program)).find(|program| program.is_file())
    }

    /// Starts it, in a folder of its own and on a port of its own.
    ///
    /// # Panics
    /// If it does not listen.
    pub fn start(&self, program: &Path, host: SocketAddr, lines: &str) -> Proxy {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for _ in 0..10 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let address = free.local_addr().expect("an address");
            drop(free);
            let placed = |text: &str| {
                let folder = folder.path().to_str().expect("a plain path");
                text.replace("FOLDER", folder)
                    .replace("LISTEN", &address.to_string())
                    .replace("PORT", &address.port().to_string())
            };
            let mut lines = documented(lines, host, address);
            if self.name == "h2o" {
                // It counts blanks.
                lines = lines.replace('\n', "\n        ");
            }
            fs::write(folder.path().join("configuration"), placed(self.file).replace("LINES", &lines))
                .expect("writes");
            let mut command = Command::new(program);
            command.current_dir(folder.path()).args(self.arguments.iter().map(|argument| placed(argument)));
            command
                .env("HOME", folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut process = command.spawn().expect("it starts");
            let until = Instant::now() + PATIENCE;
            while TcpStream::connect(address).is_err() && process.try_wait().expect("a child").is_none() {
                assert!(Instant::now() < until, "stuck: {} does not listen", self.name);
                std::thread::sleep(Duration::from_millis(5));
            }
            if process.try_wait().expect("a child").is_none() {
                return Proxy { address, process, _folder: folder };
            }
        }
        panic!("{} does not start", self.name);
    }
}

/// The documented lines, with the addresses of a test.
fn documented(lines: &str, host: SocketAddr, address: SocketAddr) -> String {
    let port = host.port().to_string();
    lines
        .replace("127.0.0.1:8080", &host.to_string())
        .replace("\"8080\"", &format!("\"{port}\""))
        .replace("=> 8080", &format!("=> {port}"))
        .replace("bind :80", &format!("bind {address}"))
        .replace("tasks.example.org", &format!("http://{address}"))
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Some have children, which end when they are told to.
        let id = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
