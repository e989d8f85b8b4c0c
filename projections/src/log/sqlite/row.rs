//! An event as a row and back.

use chrono::DateTime;
use domain::{
    event::{Meta, NewEvent, Position, Recorded, Revision, StreamName},
    time::Time,
};
use rusqlite::{CachedStatement, Row, types::ValueRef};
use uuid::Uuid;

use crate::log::LogError;

/// One row per event. [`insert`] binds these columns in this order.
pub const INSERT: &str = "insert into events (position, stream, revision, event_id, kind, schema, recorded_at, \
     effective_at, actor, on_behalf_of, command_id, causation_id, correlation_id, payload) \
     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

/// The columns that [`read`] takes, in this order.
macro_rules! columns {
    () => {
        "position, stream, revision, event_id, kind, schema, recorded_at, effective_at, actor, on_behalf_of, \
         command_id, causation_id, correlation_id, payload"
    };
}
pub(super) use columns;

/// The number of a position or revision in the file; [`crate::log::check`] has bounded it.
pub fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Inserts one event.
pub fn insert(
    statement: &mut CachedStatement<'_>,
    position: Position,
    stream: i64,
    revision: Revision,
    event: &NewEvent,
) -> rusqlite::Result<()> {
    let meta = &event.meta;
    statement.raw_bind_parameter(1, number(position))?;
    statement.raw_bind_parameter(2, stream)?;
    statement.raw_bind_parameter(3, number(revision))?;
    statement.raw_bind_parameter(4, &event.id.0.as_bytes()[..])?;
    statement.raw_bind_parameter(5, event.kind.as_str())?;
    statement.raw_bind_parameter(6, event.schema)?;
    statement.raw_bind_parameter(7, event.recorded_at.timestamp_micros())?;
    statement.raw_bind_parameter(8, event.effective_at.unix())?;
    statement.raw_bind_parameter(9, meta.actor.to_string())?;
    statement.raw_bind_parameter(10, meta.on_behalf_of.as_ref().map(|id| &id.0.as_bytes()[..]))?;
    statement.raw_bind_parameter(11, &meta.command_id.0.as_bytes()[..])?;
    statement.raw_bind_parameter(12, meta.causation_id.as_ref().map(|id| &id.0.as_bytes()[..]))?;
    statement.raw_bind_parameter(13, &meta.correlation_id.0.as_bytes()[..])?;
    statement.raw_bind_parameter(14, &event.payload[..])?;
    statement.raw_execute().map(drop)
}

/// Reads the columns of [`columns`]; `name` finds a stream's name by its number.
pub fn read(
    row: &Row<'_>,
    name: impl FnOnce(i64) -> Result<StreamName, LogError>,
) -> Result<Recorded, LogError> {
    let position = row.get::<_, i64>(0).map_err(storage)?.cast_unsigned();
    event(row).map_err(|why| LogError::Damaged { position, why }).and_then(|(stream, revision, event)| {
        Ok(Recorded { position, stream: name(stream)?, revision, event })
    })
}

fn event(row: &Row<'_>) -> Result<(i64, Revision, NewEvent), String> {
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
        payload: blob(row, 13)?.to_vec(),
        recorded_at: DateTime::from_timestamp_micros(recorded_at)
            .ok_or_else(|| format!("{recorded_at} microseconds are no time"))?,
        effective_at: Time::from_unix(integer(row, 7)?),
        meta,
    };
    Ok((integer(row, 1)?, integer(row, 2)?.cast_unsigned(), event))
}

fn value<'a>(row: &'a Row<'_>, column: usize) -> Result<ValueRef<'a>, String> {
    row.get_ref(column).map_err(|e| e.to_string())
}

fn integer(row: &Row<'_>, column: usize) -> Result<i64, String> {
    value(row, column)?.as_i64().map_err(|e| e.to_string())
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, String> {
    value(row, column)?.as_str().map_err(|e| e.to_string())
}

fn blob<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], String> {
    value(row, column)?.as_blob().map_err(|e| e.to_string())
}

fn id(row: &Row<'_>, column: usize) -> Result<Uuid, String> {
    Uuid::from_slice(blob(row, column)?).map_err(|e| e.to_string())
}

fn optional_id(row: &Row<'_>, column: usize) -> Result<Option<Uuid>, String> {
    match value(row, column)? {
        ValueRef::Null => Ok(None),
        value => value
            .as_blob()
            .map_err(|e| e.to_string())
            .and_then(|bytes| Uuid::from_slice(bytes).map_err(|e| e.to_string()))
            .map(Some),
    }
}

/// What the database said.
#[expect(clippy::needless_pass_by_value, reason = "used by map_err")]
pub fn storage(error: rusqlite::Error) -> LogError {
    LogError::Storage(error.to_string())
}
