//! An event as KurrentDB keeps it, and back.
//!
//! The payload is the event's data, byte for byte; id and kind are KurrentDB's; everything else is JSON in its custom
//! metadata, with KurrentDB's own names for correlation and causation.

use chrono::DateTime;
use domain::{
    event::{Meta, NewEvent},
    id::{AccountId, CommandId, CorrelationId, EventId},
    time::Time,
};
use eventstore::{EventData, RecordedEvent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What the server counts of an append, unless its operator has said otherwise.
pub const MAX_SENT_BYTES: usize = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    #[serde(rename = "$correlationId")]
    correlation_id: CorrelationId,
    #[serde(rename = "$causationId", default, skip_serializing_if = "Option::is_none")]
    causation_id: Option<EventId>,
    command_id: CommandId,
    actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<AccountId>,
    schema: u32,
    /// Microseconds since 1970.
    recorded_at: i64,
    /// Seconds since 1970.
    effective_at: i64,
    /// This event's place in its append, from 0, and how many events that has: they are mirrored together.
    append: (usize, usize),
}

/// An event and its place in the append that it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The event.
    pub event: NewEvent,
    /// From 0.
    pub index: usize,
    /// Events in the append.
    pub count: usize,
}

/// The events of an append as they are sent, and how many bytes the server counts.
pub fn encode(events: &[NewEvent]) -> Result<(Vec<EventData>, usize), String> {
    let mut bytes = 0;
    let mut sent = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let meta = &event.meta;
        let metadata = serde_json::to_vec(&Metadata {
            correlation_id: meta.correlation_id,
            causation_id: meta.causation_id,
            command_id: meta.command_id,
            actor: meta.actor.to_string(),
            on_behalf_of: meta.on_behalf_of,
            schema: event.schema,
            recorded_at: event.recorded_at.timestamp_micros(),
            effective_at: event.effective_at.unix(),
            append: (index, events.len()),
        });
        let metadata = metadata.map_err(|e| e.to_string())?;
        bytes += event.payload.len() + metadata.len() + 2 * event.kind.len();
        sent.push(data(event).id(event.id.0).metadata(metadata.into()));
    }
    Ok((sent, bytes))
}

/// JSON keeps its content type, but only where sending it as JSON changes no byte.
fn data(event: &NewEvent) -> EventData {
    let json = std::str::from_utf8(&event.payload).ok();
    let json = json.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    let json = json.filter(|json| json.get().len() == event.payload.len());
    json.and_then(|json| EventData::json(&event.kind, &json).ok())
        .unwrap_or_else(|| EventData::binary(&event.kind, event.payload.clone().into()))
}

/// An event that Berth wrote.
///
/// # Errors
/// What shows that it did not.
pub fn decode(recorded: &RecordedEvent) -> Result<Read, String> {
    if recorded.id.is_nil() {
        return Err("its id is no UUID".into());
    }
    let metadata: Metadata = serde_json::from_slice(&recorded.custom_metadata)
        .map_err(|e| format!("its metadata is not what Berth writes ({e}): another program wrote it"))?;
    let (index, count) = metadata.append;
    if index >= count || metadata.schema == 0 || recorded.event_type.is_empty() {
        return Err("its metadata makes no sense".into());
    }
    let event = NewEvent {
        id: recorded.id.into(),
        kind: recorded.event_type.clone(),
        schema: metadata.schema,
        payload: recorded.data.to_vec(),
        recorded_at: DateTime::from_timestamp_micros(metadata.recorded_at)
            .ok_or_else(|| format!("{} microseconds are no time", metadata.recorded_at))?,
        effective_at: Time::from_unix(metadata.effective_at),
        meta: Meta {
            actor: metadata.actor.parse().map_err(|e| format!("{e}"))?,
            on_behalf_of: metadata.on_behalf_of,
            command_id: metadata.command_id,
            causation_id: metadata.causation_id,
            correlation_id: metadata.correlation_id,
        },
    };
    Ok(Read { event, index, count })
}

/// What a stream's `$metadata` says of events that may go away; none when it says nothing of it.
pub fn loses(metadata: &[u8]) -> Option<String> {
    if deletes(metadata) {
        return Some("it was deleted".into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(metadata).ok()?;
    ["$tb", "$maxCount", "$maxAge"].into_iter().find_map(|name| match &metadata[name] {
        serde_json::Value::Null => None,
        value if name == "$tb" && value.as_u64() == Some(0) => None,
        value => Some(format!("its metadata lets events go away ({name} is {value})")),
    })
}

/// Whether a stream's `$metadata` is that of a deleted one.
pub fn deletes(metadata: &[u8]) -> bool {
    let metadata = serde_json::from_slice::<serde_json::Value>(metadata).unwrap_or_default();
    metadata["$tb"].as_u64() == Some(i64::MAX as u64)
}
