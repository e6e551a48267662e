//! The child runs of a run, as a tree.

use std::collections::{HashMap, VecDeque};

use hyper::StatusCode;
use serde::Serialize;

use super::body::Response;
use super::json::RunJson;
use super::problem::Problem;
use super::request::Query;
use super::runs::MAX_LIST_BYTES;
use super::{Api, json, runs};
use crate::model::{Run, RunId};
use crate::storage::{MAX_CHILDREN, RunFilter};

/// Most runs in one tree. Clients can list the rest with `?parent=`.
const MAX_RUNS: usize = 1_000;

#[derive(Serialize)]
struct Node<'a> {
    #[serde(flatten)]
    run: RunJson<'a>,
    children: Vec<Node<'a>>,
}

#[derive(Serialize)]
struct Tree<'a> {
    children: Vec<Node<'a>>,
    /// Whether runs were left out.
    truncated: bool,
}

/// `GET /api/runs/{run}/children`: oldest first, each with its own children.
pub(super) async fn get(api: &Api, query: &Query, id: &str) -> Result<Response, Problem> {
    let brief = runs::is_brief(query)?;
    let root = runs::find(api, id).await?.key.id;
    let mut children_of: HashMap<RunId, Vec<Child>> = HashMap::new();
    let mut parents = VecDeque::from([root.clone()]);
    let (mut count, mut bytes) = (0, if brief { 0 } else { MAX_LIST_BYTES });
    let mut truncated = false;
    while let Some(parent) = parents.pop_front() {
        if count >= MAX_RUNS {
            truncated = true;
            break;
        }
        let children = children(api, &parent, &mut bytes).await?;
        count += children.len();
        parents.extend(children.iter().map(|child| child.run.key.id.clone()));
        children_of.insert(parent, children);
    }
    let tree = Tree { children: nodes(&children_of, &root), truncated };
    Ok(json::response(StatusCode::OK, &tree))
}

/// A run of the tree.
struct Child {
    run: Run,
    /// Whether input and result are left out.
    brief: bool,
}

/// Read the children of a run, oldest first. Inputs and results are included up to `bytes_left`.
async fn children(api: &Api, parent: &RunId, bytes_left: &mut u64) -> Result<Vec<Child>, Problem> {
    let filter = RunFilter { parent: Some(parent.clone()), limit: MAX_CHILDREN, ..RunFilter::default() };
    let all = api.storage.runs(RunFilter { brief: true, ..filter.clone() }).await?;
    let mut complete: HashMap<i64, Run> = HashMap::new();
    if *bytes_left > 0 && !all.is_empty() {
        let found = api.storage.runs(RunFilter { max_bytes: Some(*bytes_left), ..filter }).await?;
        *bytes_left = bytes_left.saturating_sub(found.iter().map(Run::size).sum());
        if found.len() < all.len() {
            *bytes_left = 0;
        }
        complete.extend(found.into_iter().map(|run| (run.key.no, run)));
    }
    let child = |run: Run| match complete.remove(&run.key.no) {
        Some(run) => Child { run, brief: false },
        None => Child { run, brief: true },
    };
    Ok(all.into_iter().rev().map(child).collect())
}

fn nodes<'a>(children_of: &'a HashMap<RunId, Vec<Child>>, parent: &RunId) -> Vec<Node<'a>> {
    let children = children_of.get(parent).into_iter().flatten();
    children
        .map(|Child { run, brief }| {
            let json = if *brief { RunJson::brief(run) } else { RunJson::from(run) };
            Node { run: json, children: nodes(children_of, &run.key.id) }
        })
        .collect()
}
