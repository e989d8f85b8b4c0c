//! The work's events as the log takes them.

use chrono::DateTime;
use domain::{
    event::{Actor, DecodeError, Events, Meta, NewEvent, canonical_json, decode_payload},
    time::Time,
};
use uuid::Uuid;

use crate::work::Extended;

impl Events for Extended {
    const KINDS: &'static [(&'static str, u32)] = &[("RentalExtended", 1)];

    fn kind(&self) -> &'static str {
        "RentalExtended"
    }

    fn payload(&self) -> Vec<u8> {
        canonical_json(self)
    }

    fn decode(kind: &str, schema: u32, payload: &[u8]) -> Option<Result<Self, DecodeError>> {
        (kind == "RentalExtended").then(|| decode_payload("RentalExtended", 1, schema, payload))
    }
}

/// The event number `n` of a run.
pub fn new(n: u64, payload: Vec<u8>) -> NewEvent {
    let id =
        |salt: u64| Uuid::from_u64_pair(0x019a_a8c0_0000_7000 + salt, n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    NewEvent {
        id: id(1).into(),
        kind: "RentalExtended".into(),
        schema: 1,
        payload,
        recorded_at: DateTime::from_timestamp_micros(1_795_000_000_123_456 + (n % 1_000_000_000) as i64)
            .expect("a time"),
        effective_at: Time::from_unix(1_795_000_000 + (n % 1_000_000_000) as i64),
        meta: Meta {
            actor: Actor::Account(id(2).into()),
            on_behalf_of: None,
            command_id: id(3).into(),
            causation_id: Some(id(4).into()),
            correlation_id: id(5).into(),
        },
    }
}

/// Everything that [`new`] gives the log to keep, in one row of bytes.
pub fn bytes(n: u64, payload: &[u8]) -> Vec<u8> {
    let NewEvent { id, kind, schema, recorded_at, effective_at, meta, .. } = new(n, Vec::new());
    let ids =
        [Some(id.0), Some(meta.command_id.0), meta.causation_id.map(|id| id.0), Some(meta.correlation_id.0)];
    let mut row = payload.to_vec();
    ids.iter().flatten().for_each(|id| row.extend(id.as_bytes()));
    row.extend(kind.as_bytes());
    row.extend(meta.actor.to_string().as_bytes());
    row.extend(schema.to_be_bytes());
    row.extend(recorded_at.timestamp_micros().to_be_bytes());
    row.extend(effective_at.unix().to_be_bytes());
    // Stream and revision.
    row.extend(n.to_be_bytes());
    row
}
