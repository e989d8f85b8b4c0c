//! What an event is: the envelope around it, its name and version, and its exact bytes.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    id::{AccountId, CommandId, CorrelationId, DeviceId, EventId},
    time::Time,
};

/// An event's place in the whole log: dense, from 0.
pub type Position = u64;

/// An event's place in its stream: dense, from 0.
pub type Revision = u64;

/// The largest payload, in bytes: a transparency-log entry holds at most 65,535.
pub const MAX_PAYLOAD: usize = 60_000;

/// The name of a stream: `<category>-<key>`, at most 200 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamName(String);

impl StreamName {
    /// The stream of `key` in `category`.
    #[must_use]
    pub fn new(category: &str, key: &impl fmt::Display) -> Self {
        Self(format!("{category}-{key}"))
    }

    /// A name as a log stored it.
    #[must_use]
    pub fn stored(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the first `-`.
    #[must_use]
    pub fn category(&self) -> &str {
        self.0.split_once('-').map_or(&self.0, |(category, _)| category)
    }

    /// What stands after the first `-`.
    #[must_use]
    pub fn key(&self) -> &str {
        self.0.split_once('-').map_or("", |(_, key)| key)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who acted. Written `account:<id>`, `device:<id>` or `system:<part>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A person or an integration.
    Account(AccountId),
    /// A device.
    Device(DeviceId),
    /// A part of the server.
    System(SystemPart),
}

/// The parts of the server that issue commands on their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SystemPart {
    /// The process manager.
    Steward,
    /// The jobs that run on time.
    Scheduler,
    /// A marketplace connector.
    Connector,
    /// The command line, used by whoever holds the data folder.
    Cli,
}

impl SystemPart {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Steward, "steward"),
        (Self::Scheduler, "scheduler"),
        (Self::Connector, "connector"),
        (Self::Cli, "cli"),
    ];
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Device(id) => write!(f, "device:{id}"),
            Self::System(part) => {
                let name = SystemPart::ALL.iter().find(|(p, _)| p == part).map_or("", |(_, name)| name);
                write!(f, "system:{name}")
            }
        }
    }
}

/// A text was not an actor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an actor: {0:?}")]
pub struct InvalidActor(String);

impl FromStr for Actor {
    type Err = InvalidActor;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once(':').and_then(|(kind, rest)| match kind {
            "account" => rest.parse().ok().map(Self::Account),
            "device" => rest.parse().ok().map(Self::Device),
            "system" => SystemPart::ALL.iter().find(|(_, name)| *name == rest).map(|(p, _)| Self::System(*p)),
            _ => None,
        });
        parsed.ok_or_else(|| InvalidActor(text.chars().take(80).collect()))
    }
}

/// Who did it, on whose behalf, and what it belongs to; the same for every event of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Who acted.
    pub actor: Actor,
    /// For whom, when not for itself.
    pub on_behalf_of: Option<AccountId>,
    /// The command.
    pub command_id: CommandId,
    /// The event that caused the command, when one did.
    pub causation_id: Option<EventId>,
    /// The outside cause that everything goes back to.
    pub correlation_id: CorrelationId,
}

/// An event about to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// UUID version 7, chosen by the caller; a retry uses the same.
    pub id: EventId,
    /// The event's name, such as `RentalStarted`.
    pub kind: String,
    /// The version of the payload's form, from 1.
    pub schema: u32,
    /// Canonical JSON ([`canonical_json`]), at most [`MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
    /// When it was written down, to the microsecond.
    pub recorded_at: DateTime<Utc>,
    /// When it counts from.
    pub effective_at: Time,
    /// Who and why.
    pub meta: Meta,
}

/// An event as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamName,
    /// Its place in the stream.
    pub revision: Revision,
    /// The event itself.
    pub event: NewEvent,
}

/// A stored event cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No event of this name is known here.
    #[error("unknown event {0:?}: the log was written by a newer Berth; upgrade this one")]
    UnknownKind(String),
    /// The event is known in older forms only.
    #[error("{kind} has schema version {schema}, this Berth knows up to {known}; upgrade it")]
    NewerSchema {
        /// The event's name.
        kind: &'static str,
        /// The stored version.
        schema: u32,
        /// The newest known version.
        known: u32,
    },
    /// The bytes are not what the name and version promise.
    #[error("{kind} is damaged: {why}")]
    Damaged {
        /// The event's name.
        kind: &'static str,
        /// What the decoder said.
        why: String,
    },
}

/// The events of one aggregate: named, versioned, with exact bytes.
pub trait Events: Sized + Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// Name and newest schema version of every event.
    const KINDS: &'static [(&'static str, u32)];

    /// The event's name.
    fn kind(&self) -> &'static str;

    /// The payload as canonical JSON.
    fn payload(&self) -> Vec<u8>;

    /// Reads a stored event; `None` when the name is not one of these.
    fn decode(kind: &str, schema: u32, payload: &[u8]) -> Option<Result<Self, DecodeError>>;

    /// The version this event is written in.
    fn schema(&self) -> u32 {
        Self::KINDS.iter().find(|(kind, _)| *kind == self.kind()).map_or(1, |(_, schema)| *schema)
    }
}

/// Reads the newest form of a payload.
///
/// # Errors
/// When the version is newer than `known` or the bytes do not fit.
pub fn decode_payload<T: for<'de> Deserialize<'de>>(
    kind: &'static str,
    known: u32,
    schema: u32,
    payload: &[u8],
) -> Result<T, DecodeError> {
    if schema > known || schema == 0 {
        return Err(DecodeError::NewerSchema { kind, schema, known });
    }
    serde_json::from_slice(payload).map_err(|e| DecodeError::Damaged { kind, why: e.to_string() })
}

/// Declares the events of one aggregate: a struct for each and an enum over all.
///
/// A field that a later version adds gets `#[serde(default)]`; a change that a default cannot express gets a new name.
#[macro_export]
macro_rules! events {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$edoc:meta])* $event:ident = $schema:literal { $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(,)? })*
    }) => {
        $(
            $(#[$edoc])*
            #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
            pub struct $event { $($(#[$fdoc])* pub $field: $ty),* }

            impl From<$event> for $name {
                fn from(event: $event) -> Self { Self::$event(event) }
            }
        )*

        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name { $($(#[$edoc])* $event($event)),* }

        impl $crate::event::Events for $name {
            const KINDS: &'static [(&'static str, u32)] = &[$((stringify!($event), $schema)),*];

            fn kind(&self) -> &'static str {
                match self { $(Self::$event(_) => stringify!($event)),* }
            }

            fn payload(&self) -> Vec<u8> {
                match self { $(Self::$event(event) => $crate::event::canonical_json(event)),* }
            }

            fn decode(kind: &str, schema: u32, payload: &[u8]) -> Option<Result<Self, $crate::event::DecodeError>> {
                match kind {
                    $(stringify!($event) => Some(
                        $crate::event::decode_payload(stringify!($event), $schema, schema, payload).map(Self::$event)
                    ),)*
                    _ => None,
                }
            }
        }
    };
}

/// JSON with sorted keys and no white space; the same value always gives the same bytes.
///
/// For the types used in events (strings, integers, booleans, lists, objects with ASCII keys) this is RFC 8785.
///
/// # Panics
/// When the value cannot be written as JSON; event and wire types always can.
#[must_use]
pub fn canonical_json(value: &impl Serialize) -> Vec<u8> {
    fn write(value: &serde_json::Value, out: &mut Vec<u8>) {
        match value {
            serde_json::Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                out.push(b'{');
                for (i, (key, value)) in entries.into_iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    scalar(key, out);
                    out.push(b':');
                    write(value, out);
                }
                out.push(b'}');
            }
            serde_json::Value::Array(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write(item, out);
                }
                out.push(b']');
            }
            other => scalar(other, out),
        }
    }
    fn scalar(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
        serde_json::to_writer(out, value).expect("writing JSON to memory cannot fail");
    }
    let value = serde_json::to_value(value).expect("events and wire messages are always JSON");
    let mut out = Vec::with_capacity(256);
    write(&value, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_sorts_keys_at_every_depth() {
        let value = serde_json::json!({"b": [{"z": 1, "a": "ü\n"}], "a": {"y": null, "x": true}});
        let text = String::from_utf8(canonical_json(&value)).unwrap();
        assert_eq!(text, r#"{"a":{"x":true,"y":null},"b":[{"a":"ü\n","z":1}]}"#);
    }

    #[test]
    fn an_actor_reads_back_as_it_was_written() {
        let id = uuid::Uuid::from_u128(5);
        for actor in
            [Actor::Account(id.into()), Actor::Device(id.into()), Actor::System(SystemPart::Scheduler)]
        {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        assert!("system:root".parse::<Actor>().is_err());
    }
}
