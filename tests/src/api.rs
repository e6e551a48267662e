//! What every test asks of a host, wherever it runs.

use std::net::SocketAddr;

use hyper::Method;
use serde_json::Value;

use crate::{Answer, Connection, EventStream};

/// A host, by its address.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Api {
    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(&Method::GET, path, &[], "").await
    }

    /// `POST`.
    pub async fn post(&self, path: &str, body: impl Into<String>) -> Answer {
        self.request(&Method::POST, path, &[], body).await
    }

    /// Any request, on a connection of its own.
    pub async fn request(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<String>,
    ) -> Answer {
        Connection::open(self.address).await.request(method, path, headers, body.into()).await
    }

    /// Starts a run of the probe; returns it.
    pub async fn probe(&self, input: Value) -> Value {
        self.start_run("test/probe", input).await
    }

    /// Starts a run of a task; returns it.
    pub async fn start_run(&self, task: &str, input: Value) -> Value {
        let answer = self.post(&format!("/api/tasks/{task}/runs"), input.to_string()).await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
        answer.json()
    }

    /// Asks a run to end.
    pub async fn cancel(&self, run: &Value) -> Answer {
        self.post(&format!("/api/runs/{}/cancel", run["id"].as_str().expect("an id")), "").await
    }

    /// A run as it is now.
    pub async fn read_run(&self, run: &Value) -> Value {
        let answer = self.get(&format!("/api/runs/{}", run["id"].as_str().expect("an id"))).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        answer.json()
    }

    /// The whole answer to a request for the stream of a run that has ended.
    pub async fn read_stream(&self, run: &Value, query: &str, accept: &str) -> Answer {
        let path = format!("{}?{query}", stream_path(run));
        self.request(&Method::GET, &path, &[("accept", accept)], "").await
    }

    /// Follows a run in server-sent events.
    pub async fn follow(&self, run: &Value) -> EventStream {
        self.follow_with(run, "", &[]).await
    }

    /// The same, with a query and headers.
    pub async fn follow_with(&self, run: &Value, query: &str, headers: &[(&str, &str)]) -> EventStream {
        let path = format!("{}?{query}", stream_path(run));
        EventStream::open(self.address, &path, headers).await
    }

    /// Waits until a run has ended; returns it as it is then.
    pub async fn finished(&self, run: &Value) -> Value {
        let mut stream = self.follow_with(run, "types=run.completed", &[]).await;
        if stream.status == 200 {
            while stream.next().await.is_some() {}
        }
        let run = self.read_run(run).await;
        assert!(!run["finished_at"].is_null(), "the stream ended and the run did not: {run}");
        run
    }

    /// Starts a run of the probe and waits for its end.
    pub async fn run(&self, input: Value) -> Value {
        let run = self.probe(input).await;
        self.finished(&run).await
    }
}

/// Where the stream of a run is.
pub fn stream_path(run: &Value) -> &str {
    run["stream"].as_str().expect("a stream")
}
