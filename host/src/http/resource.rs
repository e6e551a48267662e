//! The resources of the API: their paths and methods.

use std::sync::LazyLock;

use hyper::Method;
use matchit::Router;

/// A resource of the API.
#[derive(Clone, Copy)]
pub(super) enum Resource {
    Index,
    PageFile,
    ClientModule,
    Health,
    Ready,
    Tasks,
    Task,
    TaskRuns,
    Runs,
    Run,
    Children,
    Progress,
    Retry,
    Cancel,
    Pause,
    Resume,
    Signal,
    Parameters,
    Parameter,
    Prune,
    ManifestSchema,
    Files,
    File,
    Stream,
    StreamStatus,
    Streams,
    Hosts,
    Events,
    Metrics,
}

pub(super) static ROUTES: LazyLock<Router<Resource>> = LazyLock::new(|| {
    let mut router = Router::new();
    let routes = [
        ("/", Resource::Index),
        ("/page/{file}", Resource::PageFile),
        ("/streamtask.js", Resource::ClientModule),
        ("/healthz", Resource::Health),
        ("/readyz", Resource::Ready),
        ("/api/tasks", Resource::Tasks),
        ("/api/tasks/{app}/{task}", Resource::Task),
        ("/api/tasks/{app}/{task}/runs", Resource::TaskRuns),
        ("/api/runs", Resource::Runs),
        ("/api/runs/{run}", Resource::Run),
        ("/api/runs/{run}/children", Resource::Children),
        ("/api/runs/{run}/progress", Resource::Progress),
        ("/api/runs/{run}/retry", Resource::Retry),
        ("/api/runs/{run}/cancel", Resource::Cancel),
        ("/api/runs/{run}/pause", Resource::Pause),
        ("/api/runs/{run}/resume", Resource::Resume),
        ("/api/runs/{run}/signals/{name}", Resource::Signal),
        ("/api/runs/{run}/parameters", Resource::Parameters),
        ("/api/runs/{run}/parameters/{name}", Resource::Parameter),
        ("/api/prune", Resource::Prune),
        ("/schemas/manifest.json", Resource::ManifestSchema),
        ("/api/runs/{run}/files", Resource::Files),
        ("/api/runs/{run}/files/{*path}", Resource::File),
        ("/stream/{app}/{task}/{run}", Resource::Stream),
        ("/stream/{app}/{task}/{run}/status", Resource::StreamStatus),
        ("/api/streams", Resource::Streams),
        ("/api/hosts", Resource::Hosts),
        ("/api/events", Resource::Events),
        ("/metrics", Resource::Metrics),
    ];
    for (path, resource) in routes {
        router.insert(path, resource).expect("the routes don't conflict");
    }
    router
});

impl Resource {
    /// The allowed methods besides `OPTIONS`. `GET` includes `HEAD`.
    pub(super) const fn methods(self) -> &'static [Method] {
        match self {
            Self::TaskRuns
            | Self::Retry
            | Self::Cancel
            | Self::Pause
            | Self::Resume
            | Self::Signal
            | Self::Prune => &[Method::POST],
            Self::Task => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Parameter => &[Method::PUT],
            Self::Run => &[Method::GET, Method::DELETE],
            _ => &[Method::GET],
        }
    }

    /// The value of the `Allow` header.
    pub(super) fn allow(self) -> String {
        let methods = self.methods().iter().map(|method| match *method {
            Method::GET => "GET, HEAD",
            ref method => method.as_str(),
        });
        methods.chain(["OPTIONS"]).collect::<Vec<_>>().join(", ")
    }
}
