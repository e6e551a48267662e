//! Certificates that are made for a test, by the program `openssl`.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A certificate that signs itself, so it is its own authority, and its key. Both in PEM format.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Certificate {
    /// For the names, which are written as `DNS:localhost` or `IP:127.0.0.1`. None without `openssl`.
    ///
    /// # Panics
    /// If `openssl` fails.
    pub fn make(names: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name| folder.path().join(name);
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-days", "2", "-subj", "/CN=streamtask test"]);
        openssl.arg("-addext").arg(format!("subjectAltName={}", names.join(",")));
        // A certificate for a server must not be one of an authority.
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.arg("-keyout").arg(at("key")).arg("-out").arg(at("certificate"));
        let output = openssl.output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = |path: &Path| fs::read_to_string(path).expect("openssl has written it");
        Some(Self { certificate: read(&at("certificate")), key: read(&at("key")) })
    }

    /// The files of a server.
    pub(crate) fn files(&self) -> [(&'static str, &str); 2] {
        [("server.crt", &self.certificate), ("server.key", &self.key)]
    }
}
