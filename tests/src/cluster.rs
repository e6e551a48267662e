//! Hosts that share one PostgreSQL database, each a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use streamtask_test_postgres::{self as postgres, Options, Server};
use tempfile::TempDir;

use crate::{ChildHost, child, guests};

/// Time after which the others declare a host dead: the shortest that hosts accept.
pub const LEASE: &str = "3s";

/// A schema in a database, and a tasks folder, for any number of hosts.
pub struct Cluster {
    server: Shared,
    schema: String,
    folder: TempDir,
}

/// The server that all tests of a process share, or one that a test may stop.
enum Shared {
    Process(&'static Server),
    Own(Box<Server>),
}

impl Cluster {
    /// On the server that all tests of this process share, with the task `test/probe`; for the test `what`, which skips
    /// itself without PostgreSQL.
    pub fn new(what: &str) -> Option<Self> {
        Some(Self::of(Shared::Process(postgres::server(what)?)))
    }

    /// The same, on a server of its own.
    pub fn with_own_server(what: &str, options: Options) -> Option<Self> {
        Some(Self::of(Shared::Own(Box::new(postgres::own_server(what, options)?))))
    }

    fn of(server: Shared) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        guests::install(&folder.path().join("tasks"), "test/probe.wasm", &guests::probe());
        let mut cluster = Self { server, schema: String::new(), folder };
        cluster.schema = cluster.server().fresh_schema();
        cluster
    }

    /// The server of the database.
    pub fn server(&self) -> &Server {
        match &self.server {
            Shared::Process(server) => server,
            Shared::Own(server) => server,
        }
    }

    /// The schema of the hosts.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The tasks folder, which all hosts share.
    pub fn tasks(&self) -> PathBuf {
        self.folder.path().join("tasks")
    }

    /// The data folder of the host of that name.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the manifest of the probe. For hosts that are started after that.
    pub fn manifest(&self, body: &str) {
        std::fs::write(self.tasks().join("test/probe.toml"), body).expect("writes the manifest");
    }

    /// What starts a host of that name; `arguments` come on top.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        self.command_with_tasks(&self.tasks(), name, arguments)
    }

    /// The same, with a tasks folder of its own.
    pub fn command_with_tasks(&self, tasks: &Path, name: &str, arguments: &[&str]) -> Command {
        let data = self.data(name);
        std::fs::create_dir_all(&data).expect("a writable folder");
        // Code that one host has compiled, all execute. A host that is started again has the link already.
        let compiled = self.folder.path().join("compiled");
        std::fs::create_dir_all(&compiled).expect("a writable folder");
        let _ = std::os::unix::fs::symlink(compiled, data.join("cache"));
        let mut command = child::command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--tasks"]).arg(tasks);
        command.arg("--data").arg(data);
        command.args(["--database-schema", &self.schema, "--host-name", name]);
        // As an argument it would be in the list of processes.
        command.env("STREAMTASK_DATABASE", self.server().url());
        // Arguments take precedence.
        command.env("STREAMTASK_LEASE", LEASE).args(arguments);
        command
    }

    /// Starts a host and waits until it has loaded its tasks.
    pub fn start(&self, name: &str, arguments: &[&str]) -> ChildHost {
        let started = ChildHost::spawn(self.command(name, arguments));
        started.unwrap_or_else(|(status, log)| panic!("{status}: {log:?}")).ready()
    }

    /// Starts two hosts, `a` and `b`.
    pub fn two(&self, arguments: &[&str]) -> [ChildHost; 2] {
        ["a", "b"].map(|name| self.start(name, arguments))
    }

    /// Rows of the shared tables: what a query answers, a line for each row.
    pub fn query(&self, sql: &str) -> String {
        self.server().psql(&format!("SET search_path = \"{}\"; {sql}", self.schema))
    }
}
