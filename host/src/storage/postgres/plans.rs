//! A test of all statements: none reads a whole table that grows with the stored data.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use streamtask_test_postgres::{Options, Server, own_server};

use super::Postgres;
use crate::postgres::Connector;
use crate::storage::{Durability, Storage, conformance};

/// Tables of which every run or event has rows.
const LARGE: &str = "'runs', 'run_data', 'run_labels', 'events', 'checkpoints', 'signals', 'parameters', 'messages', \
                     'clients', 'child_waits', 'locks'";

/// The server counts the rows that are read otherwise than by an index. In the suite, all methods are called.
#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let Some(server) = own_server("the plans of all statements", Options::default()) else { return };
    let opened = Cell::new(0);
    conformance::run(|| async {
        opened.set(opened.get() + 1);
        Arc::new(open(&server, &server.fresh_schema()).await) as Arc<dyn Storage>
    })
    .await;
    until_all_sessions_are_over(&server).await;
    let read = format!(
        "SELECT count(*), sum(idx_scan) > 1000, sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ({LARGE})"
    );
    let read = server.psql(&read);
    let tables = opened.get() * LARGE.split(',').count();
    let which = "SELECT DISTINCT relname FROM pg_stat_user_tables WHERE seq_tup_read > 0";
    assert_eq!(read, format!("{tables}|t|0"), "{}", server.psql(which));
}

async fn open(server: &Server, schema: &str) -> Postgres {
    let (url, schema) = (server.url().parse().expect("a URL"), schema.parse().expect("a schema"));
    let connector = Connector::new(url, schema, "plans", None).expect("no certificates are needed");
    Postgres::open(connector, Durability::Normal, 2).await.expect("opens")
}

/// A session adds its counts when it ends.
async fn until_all_sessions_are_over(server: &Server) {
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'plans %'";
    for _ in 0..1_000 {
        if server.psql(sessions) == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("sessions of dropped storages do not end");
}
