//! nginx in front of a host, with folders of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::PATIENCE;

/// What a configuration calls the host, as in the documentation.
const DOCUMENTED: &str = "127.0.0.1:8080";

/// A running nginx.
pub struct Nginx {
    /// Where it listens.
    pub address: SocketAddr,
    process: Child,
    folder: TempDir,
}

impl Nginx {
    /// Where nginx is, if it is. Debian has it where a user's shell does not look.
    pub fn program() -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        folders.map(|folder| folder.join("nginx")).find(|program| program.is_file())
    }

    /// One with nothing but its defaults and `location`, in which the host is that of the documentation.
    pub fn start(program: &Path, host: SocketAddr, location: &str) -> Self {
        assert!(location.contains(DOCUMENTED), "{location}");
        let location = location.replace(DOCUMENTED, &host.to_string());
        let folder = tempfile::tempdir().expect("a temporary folder");
        // It can't choose a port by itself; one that was free a moment ago may be taken now.
        for _ in 0..10 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let address = free.local_addr().expect("an address");
            drop(free);
            fs::write(folder.path().join("nginx.conf"), configuration(address, &location)).expect("writes");
            if let Some(process) = run(program, folder.path(), address) {
                return Self { address, process, folder };
            }
        }
        panic!("nginx does not start; it says why above");
    }

    /// Ends it, and with it all connections.
    pub fn kill(&mut self) {
        self.process.kill().expect("a living process");
        self.process.wait().expect("a child");
    }

    /// Starts it again on the same port, after `kill`.
    pub fn start_again(&mut self, program: &Path) {
        self.process = run(program, self.folder.path(), self.address).expect("its port is free");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In one process and in its own folder, which takes no root. All else is as nginx has it.
fn configuration(address: SocketAddr, location: &str) -> String {
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi; scgi_temp_path scgi;
            server {{
                listen {address};
                {location}
            }}
        }}"
    )
}

/// None if it ends instead of listening.
fn run(program: &Path, folder: &Path, address: SocketAddr) -> Option<Child> {
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).args(["-e", "stderr", "-c", "nginx.conf"]);
    let mut process = command.stdin(Stdio::null()).spawn().expect("nginx starts");
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < until, "stuck: nginx does not listen");
        if process.try_wait().expect("a child").is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(process)
}
