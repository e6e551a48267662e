//! Rows of the table `events`: writing and reading them.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params, params_from_iter};

use super::schema::{MAX_SEQ, event_id, events_of};
use crate::model::{Channel, Content, ContentType, Event, EventType, Json, NewEvent, Timestamp};
use crate::storage::EventsOfRuns;

/// Bytes of data after which a page of events ends.
const PAGE_BYTES: usize = 1 << 20;

const INSERT: &str = "INSERT INTO events (id, attempt, time, type, channel, content_type, data) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// Writes events under consecutive numbers from `first` on.
pub(super) fn insert(
    db: &Connection,
    run: i64,
    first: u64,
    attempt: u32,
    events: &[NewEvent],
) -> rusqlite::Result<()> {
    // One lookup for all rows.
    let mut statement = db.prepare_cached(INSERT)?;
    for (seq, event) in (first..).zip(events) {
        let channel = event.channel.as_ref().map(Channel::as_str);
        let (content_type, data) = match &event.content {
            Content::Json(json) => (None, ValueRef::Text(json.as_str().as_bytes())),
            Content::Bytes(content_type, bytes) => (Some(content_type.as_str()), ValueRef::Blob(bytes)),
        };
        let kind = event.event_type.as_str();
        let data = rusqlite::types::ToSqlOutput::Borrowed(data);
        statement.execute(params![
            event_id(run, seq),
            attempt,
            event.time.as_millis(),
            kind,
            channel,
            content_type,
            data
        ])?;
    }
    Ok(())
}

/// See [`Log::events`](crate::storage::Log::events).
pub(super) fn page(db: &Connection, run: i64, after: u64, limit: u32) -> rusqlite::Result<Vec<Event>> {
    let mut events = Vec::new();
    if after >= MAX_SEQ {
        return Ok(events);
    }
    let mut statement = db.prepare_cached(
        "SELECT id, attempt, time, type, channel, content_type, data FROM events \
         WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3",
    )?;
    let mut rows = statement.query(params![event_id(run, after), events_of(run).1, limit])?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let event = event(row)?;
        bytes += event.what.content.len();
        events.push(event);
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    Ok(events)
}

/// See [`Log::events_of_runs`](crate::storage::Log::events_of_runs).
pub(super) fn of_runs(db: &Connection, after: &[(i64, u64)], limit: u32) -> rusqlite::Result<EventsOfRuns> {
    let (mut found, mut bytes, mut is_all) = (Vec::new(), 0, true);
    for &(run, seq) in after {
        if bytes >= PAGE_BYTES {
            return Ok((found, false));
        }
        let events = page(db, run, seq, limit)?;
        let page_bytes: usize = events.iter().map(|event| event.what.content.len()).sum();
        is_all &= events.len() < limit as usize && page_bytes < PAGE_BYTES;
        bytes += page_bytes;
        if !events.is_empty() {
            found.push((run, events));
        }
    }
    Ok((found, is_all))
}

/// See [`Log::events_of_types`](crate::storage::Log::events_of_types). Does not read the data of events of other types.
pub(super) fn of_types(
    db: &Connection,
    run: i64,
    after: u64,
    to: u64,
    types: &[&str],
) -> rusqlite::Result<(Vec<Event>, u64)> {
    let (mut events, to) = (Vec::new(), to.min(MAX_SEQ));
    if after >= to {
        return Ok((events, to));
    }
    let mut statement = db.prepare_cached(&format!(
        "SELECT id, attempt, time, type, channel, content_type, data FROM events \
         WHERE id > ? AND id <= ? AND type IN ({}) ORDER BY id",
        vec!["?"; types.len()].join(", ")
    ))?;
    let range = [event_id(run, after), event_id(run, to)].map(Value::from);
    let values = range.into_iter().chain(types.iter().map(|name| Value::from((*name).to_owned())));
    let mut rows = statement.query(params_from_iter(values))?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let event = event(row)?;
        bytes += event.what.content.len();
        let seq = event.seq;
        events.push(event);
        if bytes >= PAGE_BYTES {
            return Ok((events, seq));
        }
    }
    Ok((events, to))
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let id: i64 = row.get(0)?;
    let content = match (row.get_ref(5)?, row.get_ref(6)?) {
        (ValueRef::Null, data) => Content::Json(Json::from_valid(data.as_str()?.to_owned())),
        (content_type, data) => {
            Content::Bytes(ContentType::from_stored(content_type.as_str()?), data.as_blob()?.into())
        }
    };
    Ok(Event {
        seq: id as u64 & MAX_SEQ,
        attempt: row.get(1)?,
        what: NewEvent {
            event_type: EventType::from_stored(row.get_ref(3)?.as_str()?),
            channel: row.get_ref(4)?.as_str_or_null()?.map(Channel::from_stored),
            content,
            time: Timestamp::from_millis(row.get(2)?),
        },
    })
}

/// The number of a run's newest event; 0 if it has none.
pub(super) fn last_seq(db: &Connection, run: i64) -> rusqlite::Result<u64> {
    let last: Option<i64> = db
        .prepare_cached("SELECT max(id) FROM events WHERE id > ?1 AND id < ?2")?
        .query_row(<[i64; 2]>::from(events_of(run)), |row| row.get(0))?;
    Ok(last.map_or(0, |id| id as u64 & MAX_SEQ))
}
