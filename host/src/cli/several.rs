//! Several runs that are followed over one connection.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Exit;
use super::client::{Client, ClientError, Lines};
use super::follow::{Failed, Source, ends, event_of};
use super::lists::encoded;
use super::screen::Screen;

/// Runs that did not complete, of which a message tells one by one.
const MAX_TOLD: usize = 10;

/// Runs that are followed.
pub(super) struct Several {
    client: Client,
    /// Which, as `GET /api/events` takes it.
    query: String,
    /// Of all of them together, as the last event had it.
    after: Option<String>,
    /// Those that are named, and how each ended that has; empty if any may come.
    named: Ends,
    /// The first connection, which is there already.
    first: Option<Option<Lines>>,
}

impl Several {
    /// Those that are named, or else those that `query` chooses. A host that can't be reached or refuses is told at once.
    pub(super) async fn open(
        client: Client,
        named: &[String],
        query: String,
        after: Option<String>,
    ) -> Result<Self, Exit> {
        let named = Ends(named.iter().map(|run| (run.clone(), None)).collect());
        let mut runs = Self { client, query, after, named, first: None };
        runs.first = Some(runs.connect().await?);
        Ok(runs)
    }

    /// None if the runs have ended and nothing of them is left to read.
    async fn connect(&self) -> Result<Option<Lines>, ClientError> {
        let after = self.after.as_ref().map(|after| format!("&after={}", encoded(after)));
        let path = format!("/api/events?{}{}&heartbeat=15", self.query, after.unwrap_or_default());
        self.client.follow(&path).await
    }

    /// Asks how those ended of whose end nothing was read, because it was before. None if one of them has not.
    async fn ask(&mut self) -> Result<Option<Ends>, ClientError> {
        for (run, end) in &mut self.named.0 {
            if end.is_none() {
                let record = self.client.get(&format!("/api/runs/{}", encoded(run))).await?;
                let has_ended = !record["finished_at"].is_null();
                *end = has_ended.then_some(record);
            }
        }
        Ok(self.named.are_all().then(|| std::mem::take(&mut self.named)))
    }

    fn take(&mut self, event: &Value) {
        if let Some(position) = event["position"].as_str() {
            self.after = Some(position.to_owned());
        }
        // The only notice after which nothing more comes of a run.
        let is_removed =
            event["type"] == "gap" && event["seq"].is_null() && event["data"]["reason"] == "removed";
        let end = match is_removed {
            true => Some(json!({ "status": "removed" })),
            false => ends(event).then(|| event["data"].clone()),
        };
        let run = event["_task_id"].as_str().and_then(|run| self.named.0.get_mut(run));
        if let (Some(run), Some(end)) = (run, end) {
            *run = Some(end);
        }
    }
}

impl Source for Several {
    type End = Ends;

    async fn read(&mut self, screen: &mut Screen, failures: &mut usize) -> Result<Option<Ends>, Failed> {
        let connection = match self.first.take() {
            Some(first) => first,
            None => self.connect().await?,
        };
        let Some(mut lines) = connection else { return Ok(self.ask().await?) };
        while let Some(line) = lines.next().await? {
            let Some(event) = event_of(&line)? else { continue };
            self.take(&event);
            *failures = 0;
            screen.event(&event, &line)?;
            if self.named.are_all() {
                return Ok(Some(std::mem::take(&mut self.named)));
            }
        }
        // All that are named have ended, or the host stops.
        Ok(self.ask().await?)
    }

    fn farewell(&self) -> String {
        "the runs go on, but those that are cancelled when nobody follows them; end one with `streamtask cancel RUN`".to_owned()
    }
}

/// How runs ended, by id; none of those that have not.
#[derive(Default)]
pub(super) struct Ends(BTreeMap<String, Option<Value>>);

impl Ends {
    fn are_all(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(Option::is_some)
    }

    /// The exit that they stand for together: the worst.
    pub(super) fn outcome(&self) -> Result<(), Exit> {
        let mut told = Vec::new();
        let mut only_cancelled = true;
        for (run, end) in self.0.iter().filter_map(|(run, end)| end.as_ref().map(|end| (run, end))) {
            match end["status"].as_str() {
                Some("completed") => continue,
                Some("cancelled") => told.push(format!("{run} was cancelled")),
                Some("failed") => {
                    let kind = end["error"]["kind"].as_str().unwrap_or("failure");
                    told.push(format!("{run} failed ({kind})"));
                    only_cancelled = false;
                }
                _ => {
                    told.push(format!("{run} was removed before its end was read"));
                    only_cancelled = false;
                }
            }
        }
        let count = told.len();
        if count == 0 {
            return Ok(());
        }
        let more = count.checked_sub(MAX_TOLD).filter(|more| *more > 0);
        told.truncate(MAX_TOLD);
        let mut message = format!("{count} of {} runs did not complete: {}", self.0.len(), told.join(", "));
        if let Some(more) = more {
            message += &format!(", and {more} more");
        }
        Err(if only_cancelled { Exit::RunCancelled(message) } else { Exit::RunFailed(message) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(of: &[(&str, Value)]) -> Ends {
        Ends(of.iter().map(|(run, end)| ((*run).to_owned(), Some(end.clone()))).collect())
    }

    #[test]
    fn the_worst_end_is_the_exit() {
        let (completed, cancelled) = (json!({"status":"completed"}), json!({"status":"cancelled"}));
        let failed = json!({"status":"failed","error":{"kind":"trap","message":"x"}});
        assert!(ends(&[("a", completed.clone()), ("b", completed.clone())]).outcome().is_ok());
        let exit = ends(&[("a", completed.clone()), ("b", cancelled.clone())]).outcome().unwrap_err();
        assert!(matches!(&exit, Exit::RunCancelled(_)), "{exit:?}");
        assert_eq!(exit.message(), Some("1 of 2 runs did not complete: b was cancelled"));
        let exit = ends(&[("a", failed.clone()), ("b", cancelled), ("c", completed)]).outcome().unwrap_err();
        assert!(matches!(&exit, Exit::RunFailed(_)), "{exit:?}");
        assert_eq!(exit.message(), Some("2 of 3 runs did not complete: a failed (trap), b was cancelled"));
        let many: Vec<String> = (0..12).map(|nth| format!("r{nth:02}")).collect();
        let many: Vec<(&str, Value)> = many.iter().map(|run| (run.as_str(), failed.clone())).collect();
        let exit = ends(&many).outcome().unwrap_err();
        let message = exit.message().unwrap();
        assert!(message.ends_with("r09 failed (trap), and 2 more"), "{message}");
    }
}
