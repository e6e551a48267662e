//! Following several runs over one connection.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Exit;
use super::client::{Client, ClientError, Lines};
use super::follow::{EventSource, StreamError};
use super::lists::encoded;
use super::screen::Screen;
use super::stream_event::{is_terminal, parse_event};

/// Most runs that did not complete that a message lists one by one.
const MAX_LISTED: usize = 10;

/// The events of several runs.
pub(super) struct MultiRunStream {
    client: Client,
    /// The selection of runs, as a query of `GET /api/events`.
    query: String,
    /// Position of the last event read, among the events of all runs.
    after: Option<String>,
    /// The outcomes of the runs selected by id; empty if they are selected by task or label.
    named: RunOutcomes,
    /// The first connection, which `open` has made.
    first: Option<Option<Lines>>,
}

impl MultiRunStream {
    /// Follows the runs in `named`, or those that `query` selects. Fails at once if the host is unreachable or refuses.
    pub(super) async fn open(
        client: Client,
        named: &[String],
        query: String,
        after: Option<String>,
    ) -> Result<Self, Exit> {
        let named = RunOutcomes(named.iter().map(|run| (run.clone(), None)).collect());
        let mut stream = Self { client, query, after, named, first: None };
        stream.first = Some(stream.connect().await?);
        Ok(stream)
    }

    /// Connects. None if the runs have ended and no event is left to read.
    async fn connect(&self) -> Result<Option<Lines>, ClientError> {
        let after = self.after.as_ref().map(|after| format!("&after={}", encoded(after)));
        let path = format!("/api/events?{}{}&heartbeat=15", self.query, after.unwrap_or_default());
        self.client.follow(&path).await
    }

    /// Requests the outcomes of runs whose terminal event was not read, because it precedes the position. None unless
    /// all runs have ended.
    async fn complete_outcomes(&mut self) -> Result<Option<RunOutcomes>, ClientError> {
        for (run, outcome) in &mut self.named.0 {
            if outcome.is_none() {
                let record = self.client.get(&format!("/api/runs/{}", encoded(run))).await?;
                let has_ended = !record["finished_at"].is_null();
                *outcome = has_ended.then_some(record);
            }
        }
        Ok(self.named.is_complete().then(|| std::mem::take(&mut self.named)))
    }

    fn record(&mut self, event: &Value) {
        if let Some(cursor) = event["cursor"].as_str() {
            self.after = Some(cursor.to_owned());
        }
        // The only notice that ends the events of a run.
        let is_removed =
            event["type"] == "gap" && event["seq"].is_null() && event["data"]["reason"] == "removed";
        let outcome = match is_removed {
            true => Some(json!({ "status": "removed" })),
            false => is_terminal(event).then(|| event["data"].clone()),
        };
        let known = event["_task_id"].as_str().and_then(|run| self.named.0.get_mut(run));
        if let (Some(known), Some(outcome)) = (known, outcome) {
            *known = Some(outcome);
        }
    }
}

impl EventSource for MultiRunStream {
    type Outcome = RunOutcomes;

    async fn read(
        &mut self,
        screen: &mut Screen,
        failures: &mut usize,
    ) -> Result<Option<RunOutcomes>, StreamError> {
        let connection = match self.first.take() {
            Some(first) => first,
            None => self.connect().await?,
        };
        let Some(mut lines) = connection else { return Ok(self.complete_outcomes().await?) };
        while let Some(line) = lines.next().await? {
            let Some(event) = parse_event(&line)? else { continue };
            self.record(&event);
            *failures = 0;
            screen.event(&event, &line)?;
            if self.named.is_complete() {
                return Ok(Some(std::mem::take(&mut self.named)));
            }
        }
        // All selected runs have ended, or the host stops.
        Ok(self.complete_outcomes().await?)
    }

    fn interrupt_message(&self) -> String {
        "the runs continue, except those that the host cancels when no client follows them; cancel one with \
         `streamtask cancel RUN`"
            .to_owned()
    }
}

/// The outcome of each run, by id; none for runs that have not ended.
#[derive(Default)]
pub(super) struct RunOutcomes(BTreeMap<String, Option<Value>>);

impl RunOutcomes {
    fn is_complete(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(Option::is_some)
    }

    /// The exit of a command that followed the runs: the worst outcome.
    pub(super) fn exit(&self) -> Result<(), Exit> {
        let mut incomplete = Vec::new();
        let mut only_cancelled = true;
        for (run, outcome) in &self.0 {
            let Some(outcome) = outcome else { continue };
            match outcome["status"].as_str() {
                Some("completed") => continue,
                Some("cancelled") => incomplete.push(format!("{run} was cancelled")),
                Some("failed") => {
                    let kind = outcome["error"]["kind"].as_str().unwrap_or("failure");
                    incomplete.push(format!("{run} failed ({kind})"));
                    only_cancelled = false;
                }
                _ => {
                    incomplete.push(format!("{run} was removed before its outcome was known"));
                    only_cancelled = false;
                }
            }
        }
        let count = incomplete.len();
        if count == 0 {
            return Ok(());
        }
        let more = count.checked_sub(MAX_LISTED).filter(|more| *more > 0);
        incomplete.truncate(MAX_LISTED);
        let mut message =
            format!("{count} of {} runs did not complete: {}", self.0.len(), incomplete.join(", "));
        if let Some(more) = more {
            message += &format!(", and {more} more");
        }
        Err(if only_cancelled { Exit::RunCancelled(message) } else { Exit::RunFailed(message) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(of: &[(&str, Value)]) -> RunOutcomes {
        RunOutcomes(of.iter().map(|(run, outcome)| ((*run).to_owned(), Some(outcome.clone()))).collect())
    }

    #[test]
    fn the_worst_outcome_is_the_exit() {
        let (completed, cancelled) = (json!({"status":"completed"}), json!({"status":"cancelled"}));
        let failed = json!({"status":"failed","error":{"kind":"trap","message":"x"}});
        assert!(outcomes(&[("a", completed.clone()), ("b", completed.clone())]).exit().is_ok());
        let exit = outcomes(&[("a", completed.clone()), ("b", cancelled.clone())]).exit().unwrap_err();
        assert!(matches!(&exit, Exit::RunCancelled(_)), "{exit:?}");
        assert_eq!(exit.message(), Some("1 of 2 runs did not complete: b was cancelled"));
        let exit = outcomes(&[("a", failed.clone()), ("b", cancelled), ("c", completed)]).exit().unwrap_err();
        assert!(matches!(&exit, Exit::RunFailed(_)), "{exit:?}");
        assert_eq!(exit.message(), Some("2 of 3 runs did not complete: a failed (trap), b was cancelled"));
        let many: Vec<String> = (0..12).map(|nth| format!("r{nth:02}")).collect();
        let many: Vec<(&str, Value)> = many.iter().map(|run| (run.as_str(), failed.clone())).collect();
        let exit = outcomes(&many).exit().unwrap_err();
        let message = exit.message().unwrap();
        assert!(message.ends_with("r09 failed (trap), and 2 more"), "{message}");
    }
}
