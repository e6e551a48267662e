//! Reading rows of the table `events`.

use tokio_postgres::Row;

use super::run_row::{ReadError, parsed};
use crate::model::{Channel, Content, ContentType, Event, EventType, Json, NewEvent, Timestamp};
use crate::postgres::Session;
use crate::storage::EventsOfRuns;

/// Bits of an event's id that hold its `seq`; the bits above hold the run's number. One integer key makes the log of a
/// run one range of the index: appending, replaying and deleting are each one walk.
const SEQ_BITS: u32 = 32;
/// Highest `seq` that fits.
pub(super) const MAX_SEQ: u64 = (1 << SEQ_BITS) - 1;
/// Bytes of data after which a page of events ends.
const PAGE_BYTES: usize = 1 << 20;
/// Most events of some types, or of several runs, in one answer: the server computes the size of a page from all of them.
const MAX_EVENTS: i64 = 8_192;

/// The key of an event.
pub(super) const fn event_id(run: i64, seq: u64) -> i64 {
    run << SEQ_BITS | seq as i64
}

/// The keys of a run's events: the first possible one, and the one after the last.
const fn events_of(run: i64) -> (i64, i64) {
    (event_id(run, 0), event_id(run + 1, 0))
}

/// The part of a statement that reads events from `range`, up to `limit` events, and ends a page after the event that
/// fills it. Sizes are computed at the server, from lengths that it has stored, so that a page of large events is neither
/// read nor sent beyond its end.
macro_rules! page_of {
    ($range:literal, $limit:literal) => {
        concat!(
            "(SELECT id, attempt, time, type, channel, content_type, data, bytes, \
             coalesce(octet_length(data), octet_length(bytes), 0) AS size, \
             sum(coalesce(octet_length(data), octet_length(bytes), 0)) \
             OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS total FROM events WHERE ",
            $range,
            " ORDER BY id LIMIT ",
            $limit,
            ") AS page WHERE page.total - page.size < 1048576"
        )
    };
}

const PAGE: &str = concat!(
    "SELECT id, attempt, time, type, channel, content_type, data, bytes FROM ",
    page_of!("id > $1 AND id < $2", "$3"),
    " ORDER BY id"
);

const OF_TYPES: &str = concat!(
    "SELECT id, attempt, time, type, channel, content_type, data, bytes FROM ",
    page_of!("id > $1 AND id <= $2 AND type = ANY ($3)", "$4"),
    " ORDER BY id"
);

const OF_RUNS: &str = concat!(
    "SELECT id, attempt, time, type, channel, content_type, data, bytes FROM (\
         SELECT page.*, wanted.nth, sum(page.size) OVER (ORDER BY wanted.nth, page.id ROWS UNBOUNDED PRECEDING) AS sofar \
         FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS wanted (after, until, nth) \
         CROSS JOIN LATERAL (SELECT * FROM ",
    page_of!("id > wanted.after AND id < wanted.until", "$3"),
    ") AS page ORDER BY wanted.nth, page.id LIMIT $4) AS pages \
     WHERE pages.sofar - pages.size < 1048576 ORDER BY pages.nth, pages.id"
);

/// See [`Log::events`](crate::storage::Log::events).
pub(super) async fn page(db: &Session, run: i64, after: u64, limit: u32) -> Result<Vec<Event>, ReadError> {
    if after >= MAX_SEQ {
        return Ok(Vec::new());
    }
    let range = (event_id(run, after), events_of(run).1);
    let rows = db.query(PAGE, &[&range.0, &range.1, &i64::from(limit)]).await?;
    rows.iter().map(event).collect()
}

/// See [`Log::events_of_types`](crate::storage::Log::events_of_types).
pub(super) async fn of_types(
    db: &Session,
    run: i64,
    after: u64,
    to: u64,
    types: &[&str],
) -> Result<(Vec<Event>, u64), ReadError> {
    let to = to.min(MAX_SEQ);
    if after >= to {
        return Ok((Vec::new(), to));
    }
    let range = (event_id(run, after), event_id(run, to));
    let rows = db.query(OF_TYPES, &[&range.0, &range.1, &types, &MAX_EVENTS]).await?;
    let events: Vec<Event> = rows.iter().map(event).collect::<Result<_, _>>()?;
    let bytes: usize = events.iter().map(|event| event.what.content.len()).sum();
    let is_full = bytes >= PAGE_BYTES || events.len() as i64 >= MAX_EVENTS;
    let last = events.last().filter(|_| is_full).map_or(to, |event| event.seq);
    Ok((events, last))
}

/// See [`Log::events_of_runs`](crate::storage::Log::events_of_runs).
pub(super) async fn of_runs(
    db: &Session,
    after: &[(i64, u64)],
    limit: u32,
) -> Result<EventsOfRuns, ReadError> {
    let from: Vec<i64> = after.iter().map(|&(run, seq)| event_id(run, seq.min(MAX_SEQ))).collect();
    let until: Vec<i64> = after.iter().map(|&(run, _)| events_of(run).1).collect();
    let rows = db.query(OF_RUNS, &[&from, &until, &i64::from(limit), &MAX_EVENTS]).await?;
    let mut found: Vec<(i64, Vec<Event>)> = Vec::new();
    let mut bytes = 0;
    for row in &rows {
        let (run, event) = (row.try_get::<_, i64>(0)? >> SEQ_BITS, event(row)?);
        bytes += event.what.content.len();
        match found.last_mut() {
            Some((last, events)) if *last == run => events.push(event),
            _ => found.push((run, vec![event])),
        }
    }
    let is_whole = |events: &Vec<Event>| events.len() < limit as usize;
    let is_all = bytes < PAGE_BYTES
        && rows.len() < MAX_EVENTS as usize
        && found.iter().all(|(_, events)| is_whole(events));
    Ok((found, is_all))
}

fn event(row: &Row) -> Result<Event, ReadError> {
    let id: i64 = row.try_get(0)?;
    let content = match row.try_get::<_, Option<&str>>(5)? {
        None => Content::Json(Json::from_valid(parsed("data", row.try_get(6)?)?)),
        Some(content_type) => {
            let bytes: &[u8] = parsed("bytes", row.try_get(7)?)?;
            Content::Bytes(ContentType::from_stored(content_type), bytes.into())
        }
    };
    Ok(Event {
        seq: id as u64 & MAX_SEQ,
        attempt: parsed("attempt", u32::try_from(row.try_get::<_, i32>(1)?).ok())?,
        what: NewEvent {
            event_type: EventType::from_stored(row.try_get::<_, &str>(3)?),
            channel: row.try_get::<_, Option<&str>>(4)?.map(Channel::from_stored),
            content,
            time: Timestamp::from_millis(row.try_get(2)?),
        },
    })
}

/// The number of a run's newest event; 0 if it has none.
pub(super) async fn last_seq(db: &Session, run: i64) -> Result<u64, ReadError> {
    let (first, end) = events_of(run);
    let sql = "SELECT max(id) FROM events WHERE id > $1 AND id < $2";
    let last: Option<i64> = db.query_one(sql, &[&first, &end]).await?.try_get(0)?;
    Ok(last.map_or(0, |id| id as u64 & MAX_SEQ))
}
