//! The runs that a run has started, as a tree.

use std::collections::{HashMap, VecDeque};

use hyper::StatusCode;
use serde::Serialize;

use super::body::Response;
use super::json::RunJson;
use super::problem::Problem;
use super::{Api, json, runs};
use crate::model::{Run, RunId};
use crate::storage::{MAX_CHILDREN, RunFilter};

/// Most runs in one tree; the rest can be listed by `?parent=`.
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
    /// Whether some are left out.
    truncated: bool,
}

/// `GET /api/runs/{run}/children`: oldest first, each with its own.
pub(super) async fn get(api: &Api, id: &str) -> Result<Response, Problem> {
    let root = runs::find(api, id).await?.key.id;
    let mut families: HashMap<RunId, Vec<Run>> = HashMap::new();
    let mut left = VecDeque::from([root.clone()]);
    let mut count = 0;
    let mut truncated = false;
    while let Some(parent) = left.pop_front() {
        if count >= MAX_RUNS {
            truncated = true;
            break;
        }
        let filter = RunFilter { parent: Some(parent.clone()), limit: MAX_CHILDREN, ..RunFilter::default() };
        let mut children = api.storage.runs(filter).await?;
        children.reverse();
        count += children.len();
        left.extend(children.iter().map(|child| child.key.id.clone()));
        families.insert(parent, children);
    }
    let tree = Tree { children: nodes(&families, &root), truncated };
    Ok(json::response(StatusCode::OK, &tree))
}

fn nodes<'a>(families: &'a HashMap<RunId, Vec<Run>>, parent: &RunId) -> Vec<Node<'a>> {
    let children = families.get(parent).into_iter().flatten();
    children.map(|run| Node { run: RunJson::from(run), children: nodes(families, &run.key.id) }).collect()
}
