//! `streamtask tail`: prints the events of runs and follows them.

use clap::Args;

use super::follow::{RunStream, follow_to_end};
use super::lists::encoded;
use super::multi_run::MultiRunStream;
use super::screen::Screen;
use super::{Exit, Server};

/// Print the stored events of runs, then new ones live. Runs given by id are followed until all have ended; with --task
/// or --label, all matching runs, also new ones, are followed until Ctrl-C.
#[derive(Args)]
pub(super) struct Tail {
    /// Ids of the runs; with several, each line names its run
    #[arg(value_name = "RUN", required_unless_present_any = ["task", "label"])]
    runs: Vec<String>,
    #[command(flatten)]
    server: Server,
    /// Follow all runs of this task
    #[arg(long, value_name = "APP/TASK", conflicts_with = "runs")]
    task: Option<String>,
    /// Follow all runs with this label
    #[arg(long, value_name = "KEY:VALUE", conflicts_with = "runs")]
    label: Option<String>,
    /// Start after this event: its `seq`, or with several runs its `cursor` (see --json)
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["last", "now"])]
    after: Option<String>,
    /// Start with the newest N events (only for one run)
    #[arg(long, short = 'n', value_name = "N", conflicts_with_all = ["task", "label", "now"])]
    last: Option<u64>,
    /// Print only new events
    #[arg(long)]
    now: bool,
    /// Print the events as JSON, one per line
    #[arg(long)]
    json: bool,
}

impl Tail {
    pub(super) async fn run(mut self) -> Result<(), Exit> {
        self.runs.sort();
        self.runs.dedup();
        match self.runs.as_slice() {
            [run] => self.one(run).await,
            _ => self.several().await,
        }
    }

    async fn one(&self, run: &str) -> Result<(), Exit> {
        let after = match (&self.after, self.last) {
            (Some(text), _) => Some(text.parse().map_err(|_| {
                Exit::Usage(format!(
                    "--after {text:?}: for one run this must be the number of an event, its `seq`"
                ))
            })?),
            (None, Some(_)) => None,
            (None, None) => (!self.now).then_some(0),
        };
        let client = self.server.client()?;
        let run = client.get(&format!("/api/runs/{}", encoded(run))).await?;
        let screen = if self.json { Screen::json() } else { Screen::lines() };
        let stream = RunStream::new(client, &run, after, self.last)?;
        follow_to_end(stream, screen, true).await?.exit()
    }

    async fn several(&self) -> Result<(), Exit> {
        if self.last.is_some() {
            return Err(Exit::Usage(
                "--last works only for one run; use --now or --after for several".to_owned(),
            ));
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        for run in &self.runs {
            query.append_pair("run", run);
        }
        for (name, value) in [("task", &self.task), ("label", &self.label)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if self.now {
            query.append_pair("from", "now");
        }
        let query = query.finish();
        let stream =
            MultiRunStream::open(self.server.client()?, &self.runs, query, self.after.clone()).await?;
        let longest = self.runs.iter().map(String::len).max().unwrap_or(0);
        let screen = if self.json { Screen::json() } else { Screen::runs(longest) };
        follow_to_end(stream, screen, true).await?.exit()
    }
}
