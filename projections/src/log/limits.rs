//! What an append and a page may hold. The same for every backend, so that a command that works on one works on all.

use chrono::DateTime;
use domain::event::{MAX_PAYLOAD, Revision};

use super::{Append, AppendError};

/// Events in one append. A command decides a handful; the limit bounds the time one commit takes.
pub const MAX_EVENTS_PER_APPEND: usize = 512;

/// Payload bytes in one append: with [`MAX_QUEUE`] this bounds the memory of waiting appends.
pub const MAX_APPEND_BYTES: usize = 1 << 20;

/// Bytes in a stream's name.
pub const MAX_STREAM_NAME: usize = 200;

/// Bytes in an event's name.
pub const MAX_KIND: usize = 100;

/// Appends waiting to be written; one more is [`AppendError::Overloaded`].
pub const MAX_QUEUE: usize = 4096;

/// Events in one page.
pub const MAX_PAGE: usize = 2000;

/// Payload bytes after which a page ends early; a page always holds at least one event.
pub const MAX_PAGE_BYTES: usize = 4 << 20;

/// The highest revision: storages keep revisions as signed 64-bit integers.
const MAX_REVISION: Revision = i64::MAX as Revision;

/// Checks everything about an append that does not depend on what is stored.
///
/// # Errors
/// [`AppendError::TooLarge`] or [`AppendError::Invalid`].
pub fn check(append: &Append) -> Result<(), AppendError> {
    let Append { stream, expected, events } = append;
    at_most("the stream's name, in bytes,", MAX_STREAM_NAME, stream.as_str().len())?;
    at_most("the number of events", MAX_EVENTS_PER_APPEND, events.len())?;
    let mut bytes = 0;
    for event in events {
        at_most("an event's payload, in bytes,", MAX_PAYLOAD, event.payload.len())?;
        at_most("an event's name, in bytes,", MAX_KIND, event.kind.len())?;
        bytes += event.payload.len();
    }
    at_most("the payload of all events, in bytes,", MAX_APPEND_BYTES, bytes)?;
    if stream.as_str().is_empty() {
        return Err(AppendError::Invalid("the stream has no name"));
    }
    if events.is_empty() {
        return Err(AppendError::Invalid("there is no event"));
    }
    if expected.next() > MAX_REVISION - events.len() as Revision {
        return Err(AppendError::Invalid("no stream is that long"));
    }
    for (i, event) in events.iter().enumerate() {
        if event.kind.is_empty() || event.schema == 0 {
            return Err(AppendError::Invalid("an event has no name or no schema version"));
        }
        if DateTime::from_timestamp_micros(event.recorded_at.timestamp_micros()) != Some(event.recorded_at) {
            return Err(AppendError::Invalid("an event's time is finer than a microsecond"));
        }
        if events[..i].iter().any(|other| other.id == event.id) {
            return Err(AppendError::Invalid("two events have the same id"));
        }
    }
    Ok(())
}

fn at_most(what: &'static str, max: usize, got: usize) -> Result<(), AppendError> {
    if got > max { Err(AppendError::TooLarge { what, max, got }) } else { Ok(()) }
}
