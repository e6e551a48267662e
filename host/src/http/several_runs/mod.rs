//! `GET /api/events`: the events of several runs over one connection.
//!
//! A request selects runs by id, or by task and label; such a selection includes later runs. One cursor covers all of
//! them: the number of the newest run that was opened, and the last event of each run that has not ended. Each event
//! comes with the cursor, so a client that reconnects with it misses no event and gets none twice.

mod cursor;
mod queries;
mod reader;

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::header::HeaderMap;
use hyper::http::request::Parts;

use super::body::Response;
use super::coding;
use super::format::{Envelope, Format, Layout, NDJSON, SSE};
use super::live_stream::LiveStream;
use super::position::{LAST_EVENT_ID, last_event_id};
use super::problem::Problem;
use super::request::{Query, invalid};
use super::stream::{self, Filter};
use super::{Api, cors, negotiation, presence, runs};
use crate::model::{Json, Run, RunStatus};
use crate::storage::RunFilter;

use self::cursor::Cursor;
use self::reader::{Options, Reader, Selection};

#[cfg(feature = "fuzzing")]
pub(super) use cursor::check_cursors;

/// Most runs that are read at once. Further ones wait until one of these has ended. Bounds the cursor, which comes with
/// every event and names each of these runs.
const MAX_OPEN_RUNS: usize = 64;
/// Most runs that a request can name. So many ids of the host's own, of 36 characters, fit into the 16 KiB that a request
/// over HTTP/2 has for its headers.
const MAX_NAMED_RUNS: usize = 256;

/// `GET /api/events`.
pub(super) async fn get(api: &Arc<Api>, parts: &Parts, query: &Query) -> Result<Response, Problem> {
    let headers = &parts.headers;
    let media = negotiation::media_type(headers, query, &[SSE, NDJSON], "events of several runs")?;
    let named = query.parse("named", "`true` or `false`")?.unwrap_or(true);
    let selection = selection(api, query).await?;
    let cursor = start_cursor(api, headers, query, &selection).await?;
    let envelope = stream::envelope(query)?;
    let format = Format::of(media, Layout { envelope, named }).expect("offered formats are in the table");
    let options = Options {
        format,
        envelope,
        filter: Filter::of(query, Format::ndjson(Envelope::Full))?,
        interval: stream::interval(query)?,
        client: presence::client_id(query)?,
        is_client: cors::reads(&api.config(), parts),
    };
    let heartbeat = stream::heartbeat(&api.config(), query, format.has_default_heartbeat())?;
    let reader = Reader::open(api, selection, cursor, options).await?;
    if reader.has_read_all() {
        return Ok(coding::nothing_more());
    }
    let stream = LiveStream::new(reader, heartbeat, api.stream_ends.of_one());
    Ok(coding::streamed(api, headers, media, stream.into_body()))
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
    if ids.len() > MAX_NAMED_RUNS {
        let detail = format!("{} runs are named; a request can name at most {MAX_NAMED_RUNS}", ids.len());
        return Err(Problem::bad_request("invalid-parameter", detail).with("parameter", "run"));
    }
    let mut named = BTreeMap::new();
    for id in ids {
        let run = runs::find(api, id).await?;
        // Input and result can be large, and the stream needs neither.
        named.insert(run.key.no, Run { input: Json::null(), final_value: None, ..run });
    }
    Ok(Selection::Named(named.into_values().collect()))
}

/// The cursor at which the stream starts.
async fn start_cursor(
    api: &Api,
    headers: &HeaderMap,
    query: &Query,
    selection: &Selection,
) -> Result<Cursor, Problem> {
    const WHAT: &str = "the `id` of an event of the same request";
    if let Some(id) = last_event_id(headers, query) {
        let detail = format!("the Last-Event-ID is {id:?}; it must be {WHAT}");
        return Cursor::parse(id.trim()).ok_or_else(|| {
            Problem::bad_request("invalid-parameter", detail).with("parameter", LAST_EVENT_ID)
        });
    }
    if let Some(after) = query.get("after").filter(|after| !after.is_empty()) {
        return Cursor::parse(after.trim()).ok_or_else(|| invalid("after", after, WHAT));
    }
    match query.get("from") {
        None | Some("start") => Ok(Cursor::default()),
        Some("now") => now(api, selection).await,
        Some(other) => Err(invalid("from", other, "`start` or `now`")),
    }
}

/// The cursor after all events so far. If more runs are active than can be read at once, the newest ones are later read
/// from their first event on, so that no event is missed.
async fn now(api: &Api, selection: &Selection) -> Result<Cursor, Problem> {
    let newest = RunFilter { limit: 1, ..RunFilter::default() };
    let newest = api.storage.runs(newest).await?;
    let mut cursor = Cursor { newest: newest.first().map_or(0, |run| run.key.no), ..Cursor::default() };
    let mut active = match selection {
        Selection::Named(runs) => runs.clone(),
        Selection::Matching(filter) => {
            let mut active = Vec::new();
            for status in RunStatus::ALL.into_iter().filter(|status| !status.is_terminal()) {
                let limit = MAX_OPEN_RUNS as u32 + 1;
                let filter = RunFilter { statuses: vec![status], since: Some(0), limit, ..filter.clone() };
                active.extend(api.storage.runs(filter).await?);
            }
            active
        }
    };
    active.retain(|run| !run.status.is_terminal() && run.key.no <= cursor.newest);
    // A run whose status changed between two queries may be there twice.
    active.sort_by_key(|run| run.key.no);
    active.dedup_by_key(|run| run.key.no);
    if active.len() > MAX_OPEN_RUNS {
        active.truncate(MAX_OPEN_RUNS);
        cursor.newest = active[MAX_OPEN_RUNS - 1].key.no;
    }
    for run in active {
        cursor.open.insert(run.key.no, api.log.head(&run.key).await?);
    }
    Ok(cursor)
}
