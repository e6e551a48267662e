//! nginx in front of the hosts.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::create;
use super::service::Service;

/// What is missing, and the line that installs it.
pub(super) const MISSING: &str = "nginx is missing, which `sudo apt-get install nginx-light` installs";
/// The log, in the folder of the cluster.
pub(super) const LOG: &str = "target/cluster/nginx.log";

/// Starts nginx, if it is on this machine.
pub(super) fn start(listen: &str, hosts: &[&str], cluster: &Path) -> Result<Option<Service>, String> {
    let Some(program) = program() else { return Ok(None) };
    let folder = cluster.join("nginx");
    create(&folder)?;
    let path = folder.join("nginx.conf");
    fs::write(&path, configuration(listen, hosts))
        .map_err(|error| format!("can't write {}: {error}", path.display()))?;
    let mut nginx = Command::new(program);
    nginx.arg("-p").arg(&folder).args(["-e", "stderr", "-c", "nginx.conf"]).current_dir(&folder);
    Service::start(&nginx, "QUIT", &cluster.join("nginx.log")).map(Some)
}

/// Debian has it where a user's shell does not look.
fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("nginx")).find(|program| program.is_file())
}

/// In one process and in its own folder, which takes no root. The lines for a host are those of docs/proxy.md.
fn configuration(listen: &str, hosts: &[&str]) -> String {
    let servers: String =
        hosts.iter().map(|host| format!("        server {host} max_fails=1 fail_timeout=2s;\n")).collect();
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    # Any host answers any request, so no client has to come back to the same one.
    upstream hosts {{
{servers}    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://hosts;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection \"upgrade\";
        }}
    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a configuration without their indentation.
    fn lines(text: &str) -> Vec<&str> {
        text.lines().map(str::trim).collect()
    }

    #[test]
    fn the_lines_for_a_host_are_those_of_the_page_about_proxies() {
        let page = include_str!("../../../docs/proxy.md");
        let documented: Vec<&str> =
            lines(page).into_iter().filter(|line| line.starts_with("proxy_set_header")).collect();
        assert!(documented.len() >= 3, "they are found");
        let configuration = configuration("127.0.0.1:1", &["127.0.0.1:2"]);
        let ours = lines(&configuration);
        for line in documented {
            assert!(ours.contains(&line), "{line} is missing");
        }
        assert!(ours.contains(&"server 127.0.0.1:2 max_fails=1 fail_timeout=2s;"));
    }
}
