//! Measures the instantiation of a small task, with all limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use streamtask_host::engine::{
    Attempt, AttemptOutcome, ChildRunHost, ChildRunRequest, Config, Engine, Executor as _, GuestHost, Limits,
    RunInfo, RunLost,
};
use streamtask_host::model::{Json, NewEvent, Outcome, Refusal, Signal, SignalName, TaskRef, Version};

use crate::host::{folder, guest};
use crate::report::{Report, print, quantile};

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    print("\ninstantiation\n");
    let folder = folder();
    let config = Config {
        cache: folder.path().join("cache"),
        max_instances: 1000,
        threads: 1,
        compiler: None,
        compile_limits: Default::default(),
        async_world: false,
        memory_bytes: 256 << 20,
    };
    let engine = Arc::new(Engine::new(&config).expect("an engine"));
    let wasm = guest("tests/guests", "probe");
    let version = Version::of(&wasm);
    let loading = Arc::clone(&engine);
    let loaded = tokio::task::spawn_blocking(move || loading.load(&wasm, version)).await.expect("no panic");
    let program = loaded.expect("a task");
    let limits = Limits {
        memory_bytes: 64 << 20,
        deadline: Some(Duration::from_secs(60)),
        output_bytes: 1 << 20,
        event_bytes: 1 << 20,
        cpu: None,
        events: None,
        events_bytes: None,
        event_rate: None,
        event_bytes_rate: None,
        input_bytes: 1 << 20,
        log_bytes: 1 << 20,
    };
    let task = TaskRef::parse("bench", "probe").expect("a name");
    let info = RunInfo { id: "bench".to_owned(), task, version, attempt: 1, labels: Default::default() };
    let host: Arc<dyn GuestHost> = Arc::new(Silent { info });
    let count = 20_000 / scale;
    let (measured, times) = tokio::sync::oneshot::channel();
    engine.spawn(Box::pin(async move {
        let mut times = Vec::new();
        for _ in 0..count {
            let input = Json::of(&serde_json::json!({ "do": "echo" }));
            let attempt = Attempt {
                program: program.clone(),
                input,
                host: Arc::clone(&host),
                limits,
                command: Arc::default(),
                grants: Arc::default(),
                files: None,
                gate: Arc::default(),
                uptime: Arc::default(),
            };
            let began = Instant::now();
            let exit = attempt.run().await;
            times.push(began.elapsed().as_secs_f64() * 1e6);
            assert!(matches!(exit, AttemptOutcome::Output(_)));
        }
        let _ = measured.send(times);
    }));
    let mut times = times.await.expect("no panic");
    let what = "instantiate, call `process`, drop, p50";
    report.at_most(what, quantile(&mut times, 0.5), "µs", 50.0);
    report.note("instantiate, call `process`, drop, p99", format!("{:.1} µs", quantile(&mut times, 0.99)));
}

/// A host that accepts everything and stores nothing.
struct Silent {
    info: RunInfo,
}

#[async_trait]
impl ChildRunHost for Silent {
    async fn start_child(&self, _child: ChildRunRequest) -> Result<String, Refusal> {
        std::future::pending().await
    }

    async fn first_ended_child(&self, _runs: &[String]) -> Result<Option<(usize, Outcome)>, Refusal> {
        std::future::pending().await
    }

    async fn wait_for_children(&self, _runs: &[String]) -> Result<(usize, Outcome), Refusal> {
        std::future::pending().await
    }

    async fn cancel_child(&self, _run: &str) -> Result<(), Refusal> {
        std::future::pending().await
    }
}

#[async_trait]
impl GuestHost for Silent {
    fn send(&self, _event: NewEvent) -> Result<Option<NewEvent>, RunLost> {
        Ok(None)
    }

    async fn room(&self) {}

    async fn flush(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn info(&self) -> &RunInfo {
        &self.info
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    async fn cancelled(&self) {
        std::future::pending().await
    }

    async fn save_checkpoint(&self, _key: String, _value: Option<Vec<u8>>) -> Result<(), Refusal> {
        Ok(())
    }

    async fn take_signal(&self, _name: Option<SignalName>) -> Result<Option<Signal>, RunLost> {
        Ok(None)
    }

    fn signals(&self) -> u64 {
        0
    }

    async fn more_signals(&self, _than: u64) {
        std::future::pending().await
    }

    fn parameter(&self, _name: &str) -> Option<Json> {
        None
    }

    async fn load_checkpoint(&self, _key: String) -> Result<Option<Vec<u8>>, Refusal> {
        Ok(None)
    }
}
