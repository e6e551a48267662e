//! `GET /api/events`: what several runs say, over one connection.
//!
//! Which runs, a request says by id, or by task and label, and then those that begin later belong to them too. A
//! position is that of all of them together: the number of the newest run that was taken up, and how far each is read
//! that has not ended. It goes with every event, so whoever comes back with it misses nothing and gets nothing twice.

mod places;
mod reader;

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::header::HeaderMap;
use hyper::http::request::Parts;

use super::body::Response;
use super::coding;
use super::format::{Envelope, Format, NDJSON, SSE};
use super::position::last_event_id;
use super::problem::Problem;
use super::request::{Query, invalid};
use super::stream::{self, Filter};
use super::{Api, cors, presence, runs};
use crate::model::RunStatus;
use crate::storage::RunFilter;

use self::places::Places;
use self::reader::{Reader, Selection, Wanted};

pub(super) use places::positions;

/// Runs that are read at once, and that a request can name. More wait until one of these has ended. It bounds the
/// position, which goes with every event.
const MAX_OPEN: usize = 64;

/// `GET /api/events`.
pub(super) async fn get(api: &Arc<Api>, parts: &Parts, query: &Query) -> Result<Response, Problem> {
    let headers = &parts.headers;
    let media = stream::media(headers, query, &[SSE, NDJSON], "events of several runs")?;
    let named = query.parse("named", "`true` or `false`")?.unwrap_or(true);
    let selection = selection(api, query).await?;
    let places = begin(api, headers, query, &selection).await?;
    let wanted = Wanted {
        envelope: stream::envelope(query)?,
        filter: Filter::of(query, Format::Ndjson { envelope: Envelope::Full })?,
        heartbeat: stream::heartbeat(&api.config(), query, media)?,
        interval: stream::interval(query)?,
        client: presence::client_id(query)?,
        is_client: cors::reads(&api.config(), parts),
        is_sse: media == SSE,
        named,
    };
    let reader = Reader::open(api, selection, places, wanted).await?;
    if reader.is_done() {
        return Ok(coding::nothing_more());
    }
    let stream = futures_util::stream::unfold(reader, |mut reader| async {
        let next = reader.next().await;
        next.map(|bytes| (bytes, reader))
    });
    Ok(coding::streamed(api, headers, media, stream))
}

async fn selection(api: &Api, query: &Query) -> Result<Selection, Problem> {
    let ids: Vec<&str> = query.all("run").flat_map(|ids| ids.split(',')).collect();
    if ids.is_empty() {
        let RunFilter { task, labels, parent, .. } = runs::filter(query)?;
        return Ok(Selection::Matching(RunFilter {
            task,
            labels,
            parent,
            brief: true,
            ..RunFilter::default()
        }));
    }
    if ids.len() > MAX_OPEN {
        let detail = format!("{} runs are named; at most {MAX_OPEN} can be read at once", ids.len());
        return Err(Problem::bad_request("invalid-parameter", detail).with("parameter", "run"));
    }
    let mut named = BTreeMap::new();
    for id in ids {
        let run = runs::find(api, id).await?;
        named.insert(run.key.no, run);
    }
    Ok(Selection::Named(named.into_values().collect()))
}

/// Where the reader wants to begin.
async fn begin(
    api: &Api,
    headers: &HeaderMap,
    query: &Query,
    selection: &Selection,
) -> Result<Places, Problem> {
    const WHAT: &str = "the `id` of an event of the same request";
    if let Some(id) = last_event_id(headers, query) {
        let detail = format!("the Last-Event-ID is {id:?}; it must be {WHAT}");
        return Places::parse(id.trim()).ok_or_else(|| Problem::bad_request("invalid-parameter", detail));
    }
    if let Some(after) = query.get("after").filter(|after| !after.is_empty()) {
        return Places::parse(after.trim()).ok_or_else(|| invalid("after", after, WHAT));
    }
    match query.get("from") {
        None | Some("start") => Ok(Places::default()),
        Some("now") => now(api, selection).await,
        Some(other) => Err(invalid("from", other, "`start` or `now`")),
    }
}

/// After all that there is: runs that have not ended from their newest event on. If these are more than can be read at
/// once, those that were started last are read from their beginning, so that nothing is missed.
async fn now(api: &Api, selection: &Selection) -> Result<Places, Problem> {
    let newest = RunFilter { limit: 1, ..RunFilter::default() };
    let newest = api.storage.runs(newest).await?;
    let mut places = Places { taken: newest.first().map_or(0, |run| run.key.no), ..Places::default() };
    let mut active = match selection {
        Selection::Named(runs) => runs.clone(),
        Selection::Matching(filter) => {
            let mut active = Vec::new();
            for status in RunStatus::ALL.into_iter().filter(|status| !status.is_terminal()) {
                let limit = MAX_OPEN as u32 + 1;
                let filter = RunFilter { statuses: vec![status], since: Some(0), limit, ..filter.clone() };
                active.extend(api.storage.runs(filter).await?);
            }
            active
        }
    };
    active.retain(|run| !run.status.is_terminal() && run.key.no <= places.taken);
    // One that moved on meanwhile may have been found in two states.
    active.sort_by_key(|run| run.key.no);
    active.dedup_by_key(|run| run.key.no);
    if active.len() > MAX_OPEN {
        active.truncate(MAX_OPEN);
        places.taken = active[MAX_OPEN - 1].key.no;
    }
    for run in active {
        places.open.insert(run.key.no, api.log.head(&run.key).await?);
    }
    Ok(places)
}
