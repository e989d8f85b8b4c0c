//! Events as the columns of a call, and rows as events.

use chrono::DateTime;
use domain::{
    event::{Meta, NewEvent, Position, Recorded, Revision, StreamName},
    time::Time,
};
use sqlx::{Postgres, Row as _, postgres::PgRow, query::Query};
use uuid::Uuid;

use crate::log::{Append, LogError};

/// The call; [`bind`] gives its arguments.
pub const APPEND: &str = "select append, first_position, last_position, actual from \
     append_to_log($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

/// The columns that [`Row::read`] takes, in this order.
macro_rules! columns {
    () => {
        "position, stream, revision, event_id, kind, schema, recorded_at, effective_at, actor, on_behalf_of, \
         command_id, causation_id, correlation_id, payload"
    };
}
pub(super) use columns;

/// The number of a position or revision in the database; [`crate::log::check`] has bounded it.
pub fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The query of a batch, one array for each argument.
pub fn bind<'q>(appends: &'q [&'q Append]) -> Query<'q, Postgres, <Postgres as sqlx::Database>::Arguments> {
    let each = |of: fn(&Append) -> i64| -> Vec<i64> { appends.iter().map(|append| of(append)).collect() };
    let counts: Vec<i32> = appends.iter().map(|append| append.events.len() as i32).collect();
    let all = || appends.iter().flat_map(|append| &append.events);
    let owners = (1..).zip(appends).flat_map(|(n, append)| append.events.iter().map(move |_| n));
    let places = appends.iter().flat_map(|append| (0..).zip(&append.events).map(|(n, _)| n));
    let actors: Vec<String> = all().map(|event| event.meta.actor.to_string()).collect();
    sqlx::query(APPEND)
        .bind(appends.iter().map(|append| append.stream.as_str()).collect::<Vec<_>>())
        .bind(each(|append| append.expected.last().map_or(-1, number)))
        .bind(counts)
        .bind(owners.collect::<Vec<i32>>())
        .bind(places.collect::<Vec<i32>>())
        .bind(all().map(|event| &event.id.0.as_bytes()[..]).collect::<Vec<_>>())
        .bind(all().map(|event| event.kind.as_str()).collect::<Vec<_>>())
        .bind(all().map(|event| i64::from(event.schema)).collect::<Vec<_>>())
        .bind(all().map(|event| event.recorded_at.timestamp_micros()).collect::<Vec<_>>())
        .bind(all().map(|event| event.effective_at.unix()).collect::<Vec<_>>())
        .bind(actors)
        .bind(
            all()
                .map(|event| event.meta.on_behalf_of.as_ref().map(|id| &id.0.as_bytes()[..]))
                .collect::<Vec<_>>(),
        )
        .bind(all().map(|event| &event.meta.command_id.0.as_bytes()[..]).collect::<Vec<_>>())
        .bind(
            all()
                .map(|event| event.meta.causation_id.as_ref().map(|id| &id.0.as_bytes()[..]))
                .collect::<Vec<_>>(),
        )
        .bind(all().map(|event| &event.meta.correlation_id.0.as_bytes()[..]).collect::<Vec<_>>())
        .bind(all().map(|event| &event.payload[..]).collect::<Vec<_>>())
}

/// An event whose stream's name is still to be found.
#[derive(Debug)]
pub struct Row {
    pub position: Position,
    /// The stream's number.
    pub stream: i64,
    revision: Revision,
    pub event: NewEvent,
}

impl Row {
    /// Reads the columns of [`columns`].
    pub fn read(row: &PgRow) -> Result<Self, LogError> {
        let position = integer(row, 0).map_err(LogError::Storage)?.cast_unsigned();
        event(row)
            .map(|(stream, revision, event)| Self { position, stream, revision, event })
            .map_err(|why| LogError::Damaged { position, why })
    }

    pub fn named(self, stream: StreamName) -> Recorded {
        let Self { position, revision, event, .. } = self;
        Recorded { position, stream, revision, event }
    }
}

fn event(row: &PgRow) -> Result<(i64, Revision, NewEvent), String> {
    let meta = Meta {
        actor: text(row, 8)?.parse().map_err(|e| format!("{e}"))?,
        on_behalf_of: optional_id(row, 9)?.map(Into::into),
        command_id: id(row, 10)?.into(),
        causation_id: optional_id(row, 11)?.map(Into::into),
        correlation_id: id(row, 12)?.into(),
    };
    let recorded_at = integer(row, 6)?;
    let event = NewEvent {
        id: id(row, 3)?.into(),
        kind: text(row, 4)?.to_owned(),
        schema: u32::try_from(integer(row, 5)?).map_err(|e| format!("schema: {e}"))?,
        payload: bytes(row, 13)?.to_vec(),
        recorded_at: DateTime::from_timestamp_micros(recorded_at)
            .ok_or_else(|| format!("{recorded_at} microseconds are no time"))?,
        effective_at: Time::from_unix(integer(row, 7)?),
        meta,
    };
    Ok((integer(row, 1)?, integer(row, 2)?.cast_unsigned(), event))
}

/// A column as the server sent it, in its binary format.
fn value(row: &PgRow, column: usize) -> Result<Option<&[u8]>, String> {
    let value = row.try_get_raw(column).map_err(|e| e.to_string())?;
    if sqlx::ValueRef::is_null(&value) {
        Ok(None)
    } else {
        value.as_bytes().map(Some).map_err(|e| e.to_string())
    }
}

fn bytes(row: &PgRow, column: usize) -> Result<&[u8], String> {
    value(row, column)?.ok_or_else(|| format!("column {column} is empty"))
}

fn integer(row: &PgRow, column: usize) -> Result<i64, String> {
    bytes(row, column)?.try_into().map(i64::from_be_bytes).map_err(|e| format!("column {column}: {e}"))
}

fn text(row: &PgRow, column: usize) -> Result<&str, String> {
    str::from_utf8(bytes(row, column)?).map_err(|e| e.to_string())
}

fn id(row: &PgRow, column: usize) -> Result<Uuid, String> {
    Uuid::from_slice(bytes(row, column)?).map_err(|e| e.to_string())
}

fn optional_id(row: &PgRow, column: usize) -> Result<Option<Uuid>, String> {
    value(row, column)?.map(|bytes| Uuid::from_slice(bytes).map_err(|e| e.to_string())).transpose()
}
