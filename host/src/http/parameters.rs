//! The query parameters of each route. All others are rejected.
//!
//! If misspelled parameters were ignored, requests would do the opposite of their
//! intent: `dryrun=true` would prune, and `stauts=failed` would list everything.

use hyper::Method;

use super::position::LAST_EVENT_ID;
use super::problem::Problem;
use super::request::Query;
use super::resource::Resource;
use crate::model::nearest;

/// A query parameter.
pub(super) struct Parameter {
    name: &'static str,
    can_repeat: bool,
}

const fn once(name: &'static str) -> Parameter {
    Parameter { name, can_repeat: false }
}

const fn repeated(name: &'static str) -> Parameter {
    Parameter { name, can_repeat: true }
}

/// Parameters of a stream.
const STREAM: &[Parameter] = &[
    once("format"),
    once("envelope"),
    once("named"),
    once("heartbeat"),
    once("interval"),
    once("live"),
    once("after"),
    once("tail"),
    once("from"),
    once(LAST_EVENT_ID),
    repeated("types"),
    repeated("channel"),
    once("media"),
    once("client_id"),
];
/// Parameters of a start.
const START: &[Parameter] = &[
    once("id"),
    repeated("label"),
    once("not_before"),
    once("delay"),
    once("priority"),
    repeated("resource"),
    once("if_busy"),
    once("on_disconnect"),
];
const RUNS: &[Parameter] = &[
    once("task"),
    repeated("status"),
    repeated("label"),
    once("parent"),
    once("created_after"),
    once("created_before"),
    once("cursor"),
    once("limit"),
    once("fields"),
    once("format"),
    once("heartbeat"),
];
const EVENTS: &[Parameter] = &[
    repeated("run"),
    once("task"),
    repeated("label"),
    once("parent"),
    once("format"),
    once("envelope"),
    once("named"),
    once("heartbeat"),
    once("interval"),
    once("after"),
    once("from"),
    once(LAST_EVENT_ID),
    repeated("types"),
    repeated("channel"),
    once("client_id"),
];
const CHILDREN: &[Parameter] = &[once("fields")];
const PRUNE: &[Parameter] =
    &[once("dry_run"), once("older_than"), once("keep"), once("confirm_clock"), once("task")];

/// The parameters of a resource and a method.
pub(super) fn of(resource: Resource, method: &Method) -> &'static [&'static [Parameter]] {
    match resource {
        Resource::TaskRuns | Resource::Retry => &[START, STREAM],
        Resource::Stream => &[STREAM],
        Resource::Runs => &[RUNS],
        Resource::Children => &[CHILDREN],
        Resource::Events => &[EVENTS],
        Resource::Prune if *method == Method::POST => &[PRUNE],
        _ => &[],
    }
}

/// Reject a query with an unknown parameter, or with several values of one that cannot be repeated.
pub(super) fn check(query: &Query, known: &[&[Parameter]]) -> Result<(), Problem> {
    let mut once_seen: Vec<&str> = Vec::new();
    for name in query.names() {
        let found = known.iter().copied().flatten().find(|known| known.name == name);
        match found {
            None => return Err(unknown(name, known)),
            Some(parameter) if parameter.can_repeat => {}
            Some(_) if once_seen.contains(&name) => return Err(twice(name)),
            Some(parameter) => once_seen.push(parameter.name),
        }
    }
    Ok(())
}

fn twice(name: &str) -> Problem {
    let detail = format!("the query parameter `{name}` is repeated; it can have only one value");
    Problem::bad_request("repeated-parameter", detail).with("parameter", name)
}

fn unknown(name: &str, known: &[&[Parameter]]) -> Problem {
    let names: Vec<&'static str> = known.iter().copied().flatten().map(|known| known.name).collect();
    let nearest = nearest(name, &names);
    let advice = match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if names.is_empty() => "this resource has none".to_owned(),
        None => format!("the known parameters are {}", names.join(", ")),
    };
    let detail = format!("there is no query parameter {name:?}; {advice}");
    let problem = Problem::bad_request("unknown-parameter", detail).with("parameter", name);
    let problem = problem.with("known", names);
    if let Some(nearest) = nearest { problem.with("nearest", nearest) } else { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(resource: Resource, query: &str) -> Result<(), serde_json::Value> {
        let query = Query::of(&format!("/?{query}").parse().expect("an address")).expect("UTF-8");
        check(&query, of(resource, &Method::POST)).map_err(|problem| {
            let body = problem.response().into_body().into_whole().expect("a problem has a body");
            serde_json::from_slice(&body).expect("a problem is JSON")
        })
    }

    #[test]
    fn an_unknown_parameter_is_rejected_with_the_nearest_known_one() {
        for (resource, query, nearest) in [
            (Resource::Prune, "older_than=1s&dryrun=true", "dry_run"),
            (Resource::Prune, "dry-run=true", "dry_run"),
            (Resource::Runs, "stauts=failed", "status"),
            (Resource::Runs, "createdAfter=1m", "created_after"),
            (Resource::TaskRuns, "lable=a:b&prioritty=7", "label"),
            (Resource::TaskRuns, "label=a:b&prioritty=7", "priority"),
            (Resource::Stream, "last-event-id=4", "lastEventId"),
            (Resource::Stream, "lastEventID=4", "lastEventId"),
            (Resource::Events, "runs=a", "run"),
        ] {
            let problem = checked(resource, query).unwrap_err();
            assert_eq!(problem["nearest"], nearest, "{query}: {problem}");
            assert!(problem["detail"].as_str().unwrap().contains(nearest), "{problem}");
        }
        let far = checked(Resource::Prune, "nonsense=1").unwrap_err();
        assert!(far.get("nearest").is_none() && far["known"][0] == "dry_run", "{far}");
        let none = checked(Resource::Cancel, "force=true").unwrap_err();
        assert!(none["detail"].as_str().unwrap().contains("none"), "{none}");
        checked(Resource::Runs, &"x".repeat(10_000)).unwrap_err();
    }

    #[test]
    fn only_some_parameters_can_be_repeated() {
        checked(Resource::Runs, "status=failed&status=cancelled&label=a:1&label=b:2&limit=1&").unwrap();
        checked(Resource::TaskRuns, "resource=a&resource=b&types=a&types=b").unwrap();
        for (resource, twice) in [
            (Resource::Prune, "dry_run=true&dry_run=false"),
            (Resource::Runs, "task=a/b&limit=1&task=a/b"),
            (Resource::Stream, "after=1&after=2"),
        ] {
            let problem = checked(resource, twice).unwrap_err();
            assert_eq!(problem["type"], "urn:streamtask:problem:repeated-parameter", "{twice}");
        }
    }
}
