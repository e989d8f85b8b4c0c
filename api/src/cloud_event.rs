//! Events in CloudEvents 1.0's JSON form, as they are exported and delivered.

use anyhow::Context;
use chrono::SecondsFormat;
use domain::event::Recorded;
use serde_json::{Value, json, value::RawValue};

/// An event in CloudEvents 1.0's JSON form; Berth's own attributes are extensions.
///
/// # Errors
/// As [`payload`].
pub fn cloud_event(recorded: &Recorded) -> anyhow::Result<Value> {
    let (event, meta) = (&recorded.event, &recorded.event.meta);
    Ok(json!({
        "specversion": "1.0",
        "id": event.id.0,
        "source": "/v1/events",
        "type": format!("berth.{}.v{}", event.kind, event.schema),
        "subject": recorded.stream.as_str(),
        "time": recorded_at(recorded),
        "datacontenttype": "application/json",
        "data": payload(recorded)?,
        "position": recorded.position.to_string(),
        "revision": recorded.revision.to_string(),
        "effectiveat": event.effective_at,
        "actor": meta.actor.to_string(),
        "commandid": meta.command_id.0,
        "correlationid": meta.correlation_id.0,
    }))
}

/// What happened, as JSON.
///
/// # Errors
/// When the log holds something else.
pub fn payload(recorded: &Recorded) -> anyhow::Result<Box<RawValue>> {
    let text = String::from_utf8(recorded.event.payload.clone()).context("a payload is not text")?;
    RawValue::from_string(text)
        .with_context(|| format!("the payload at position {} is not JSON", recorded.position))
}

/// When it was written down, to the microsecond.
#[must_use]
pub fn recorded_at(recorded: &Recorded) -> String {
    recorded.event.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true)
}
