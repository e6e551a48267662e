//! Removing runs: `POST /api/prune`, `DELETE /api/runs/{run}`.

use hyper::StatusCode;
use serde::Serialize;

use super::body::Response;
use super::problem::Problem;
use super::request::{Query, invalid};
use super::{Api, json, runs};
use crate::model::{Amount, Retention, Run, TaskRef, Time};
use crate::retention::{DeleteOutcome, PruneRequest};

/// `POST /api/prune`: remove ended runs by `older_than` and `keep`, or else by the retention in each task's manifest. With
/// `dry_run=true`, only count them. `confirm_clock=true` prunes even though the clock has jumped.
pub(super) async fn prune(api: &Api, query: &Query) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Pruned<'a> {
        dry_run: bool,
        #[serde(flatten)]
        total: Amount,
        tasks: Vec<PrunedOfTask<'a>>,
    }
    #[derive(Serialize)]
    struct PrunedOfTask<'a> {
        app: &'a str,
        task: &'a str,
        #[serde(flatten)]
        amount: Amount,
    }
    let dry_run = query.parse("dry_run", "`true` or `false`")?.unwrap_or(false);
    let request = request(query)?;
    let report =
        if dry_run { api.pruner.measure(&request).await? } else { api.pruner.prune(request).await? };
    let mut total = Amount::default();
    report.iter().for_each(|(_, amount)| total += *amount);
    let tasks = report.iter().map(|(name, amount)| {
        let (app, task) = (name.app.as_str(), name.task.as_str());
        PrunedOfTask { app, task, amount: *amount }
    });
    let tasks = tasks.collect();
    Ok(json::response(StatusCode::OK, &Pruned { dry_run, total, tasks }))
}

/// Parse a request to prune.
pub(super) fn request(query: &Query) -> Result<PruneRequest, Problem> {
    let what = "a time with its unit, such as `7d`";
    let max_age = match query.parse::<Time>("older_than", what)? {
        Some(Time(None)) => return Err(invalid("older_than", "none", what)),
        Some(Time(age)) => age,
        None => None,
    };
    let max_runs = query.parse("keep", "how many ended runs of each task to keep")?;
    let keep = Retention { max_age, max_runs, events_max_age: None };
    let confirm_clock = query.parse("confirm_clock", "`true` or `false`")?.unwrap_or(false);
    let task = query
        .get("task")
        .map(|text| TaskRef::parse_path(text).map_err(|_| invalid("task", text, "`app/task`")));
    Ok(PruneRequest {
        task: task.transpose()?,
        keep: (keep != Retention::default()).then_some(keep),
        confirm_clock,
    })
}

/// `DELETE /api/runs/{run}`.
pub(super) async fn remove(api: &Api, id: &str) -> Result<Response, Problem> {
    match api.pruner.remove(&runs::parse_id(id)?).await? {
        DeleteOutcome::NotFound => Err(runs::unknown(id)),
        DeleteOutcome::NotEnded(status) => Err(runs::not_ended(status, "removed")),
        DeleteOutcome::Needed(parent) => Err(parent_not_ended(&parent)),
        DeleteOutcome::Removed(amount) => Ok(json::response(StatusCode::OK, &amount)),
    }
}

fn parent_not_ended(parent: &Run) -> Problem {
    let (id, status) = (&parent.key.id, parent.status.as_str());
    let detail = format!(
        "the run {id} has started this one, is {status}, and may still read its outcome; remove this run after {id} has ended"
    );
    Problem::new(StatusCode::CONFLICT, "parent-not-ended", detail)
        .with("parent", id.to_string())
        .with("status_of_parent", status)
}
