//! Databases for tests.

use streamtask_test_postgres::{Server, server};

use super::Postgres;
use crate::postgres::Connector;
use crate::storage::Durability;

/// Connections for reads. Two, so that tests meet what two of them do at once.
const READERS: usize = 2;

/// An empty schema on a server that all tests share.
pub(super) struct Schema {
    pub(super) server: &'static Server,
    name: String,
}

impl Schema {
    /// None if there is no server for the test `what`.
    pub(super) fn fresh(what: &str) -> Option<Self> {
        let server = server(what)?;
        Some(Self { server, name: server.fresh_schema() })
    }

    pub(super) fn connector(&self) -> Connector {
        self.connector_of("test")
    }

    /// Connects under the name of that application.
    pub(super) fn connector_of(&self, application: &str) -> Connector {
        let url = self.server.url().parse().expect("a URL");
        let schema = self.name.parse().expect("the name of a schema");
        Connector::new(url, schema, application, None).expect("no certificates are needed")
    }

    /// One of several storages on this schema.
    pub(super) async fn open(&self) -> Postgres {
        Postgres::open(self.connector(), Durability::Normal, READERS).await.expect("the server is there")
    }

    /// What the statement selects, as `psql` prints it.
    pub(super) fn psql(&self, sql: &str) -> String {
        self.server.psql(&format!("SET search_path TO {}; {sql}", self.name))
    }
}
