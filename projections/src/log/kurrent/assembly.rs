//! From what the server tells to whole appends in order.
//!
//! # Correctness
//! - KurrentDB writes the events of an append next to each other, but a subscription tells them one by one. Each says
//!   which part of its append it is, so an append is handed on when all of it is there: nobody ever reads half of
//!   one.
//! - A position is passed on only when everything up to it was handed on. Servers before 24.10.5 sometimes send the
//!   position of an event that they have not told yet as a checkpoint; a checkpoint therefore counts only when the next
//!   one, or a later event, has come.
//! - What is told twice is taken once: positions only grow.

use domain::event::{NewEvent, Revision, StreamName};
use eventstore::{Error, Position, RecordedEvent};

use super::{
    codec::{self, Read},
    feed::Told,
    names::{Named, Names},
};

/// The type of the event that ends a stream for ever.
const TOMBSTONE: &str = "$streamDeleted";

/// An event of Berth's, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its stream.
    pub stream: StreamName,
    /// Its place in the stream.
    pub revision: Revision,
    /// The event.
    pub event: NewEvent,
    /// Its place in its append, from 0.
    pub index: usize,
    /// Where it stands in KurrentDB.
    pub at: Position,
}

/// What somebody has done to a stream's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The stream.
    pub stream: StreamName,
    /// What makes its events go away; none when nothing does any more.
    pub why: Option<String>,
    /// Whether nothing can be appended to it.
    pub deleted: bool,
    /// Where that stands in KurrentDB.
    pub at: Position,
}

/// Something that must not be in the log, or is missing from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub stream: StreamName,
    /// Its place there.
    pub revision: Revision,
    /// What is wrong.
    pub why: String,
}

impl Damage {
    /// In words.
    pub fn said(&self) -> String {
        format!("KurrentDB's stream {}, revision {}: {}", self.stream, self.revision, self.why)
    }
}

/// What came with some messages.
#[derive(Debug, Default)]
pub struct Batch {
    /// Whole appends.
    pub events: Vec<Arrived>,
    /// The newest change of each stream that was changed.
    pub changes: Vec<Change>,
    /// Everything up to here is in this batch or one before.
    pub upto: Option<Position>,
    /// Found behind all that.
    pub damage: Option<Damage>,
    /// Whether the server had no more.
    pub caught_up: bool,
    /// Why the server says no more.
    pub ended: Option<Error>,
}

impl Batch {
    /// Whether there is anything to write down.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.changes.is_empty() && self.upto.is_none()
    }
}

/// What is known between two batches of one subscription.
#[derive(Debug)]
pub struct Assembly {
    names: Names,
    /// The last position told.
    last: Option<Position>,
    /// The last checkpoint, if no event came after it.
    checkpoint: Option<Position>,
    /// The first events of an append.
    open: Vec<Arrived>,
}

impl Assembly {
    /// For a subscription that begins after a position.
    pub const fn new(names: Names, after: Option<Position>) -> Self {
        Self { names, last: after, checkpoint: None, open: Vec::new() }
    }

    /// Takes messages in the order in which they came.
    pub fn take(&mut self, told: Vec<Told>) -> Batch {
        let mut batch = Batch::default();
        for told in told {
            match told {
                Told::Event(event) => {
                    if let Err(damage) = self.event(&event, &mut batch) {
                        batch.damage = Some(damage);
                        return batch;
                    }
                }
                Told::Checkpoint(position) => {
                    let before = self.checkpoint.replace(position);
                    batch.upto = batch.upto.max(before);
                }
                Told::CaughtUp => batch.caught_up = true,
                Told::Ended(error) => batch.ended = Some(error),
            }
        }
        batch
    }

    fn event(&mut self, event: &RecordedEvent, batch: &mut Batch) -> Result<(), Damage> {
        if self.last.is_some_and(|last| event.position <= last) {
            return Ok(());
        }
        let (stream, metadata) = match self.names.ours(&event.stream_id) {
            Named::Own(stream) => (stream, false),
            Named::Metadata(stream) => (stream, true),
            Named::Foreign => return Ok(()),
        };
        self.last = Some(event.position);
        self.checkpoint = None;
        if metadata || event.event_type == TOMBSTONE {
            self.together(None)?;
            let why =
                if metadata { codec::loses(&event.data) } else { Some("it was deleted for ever".into()) };
            let deleted = !metadata || codec::deletes(&event.data);
            batch.changes.retain(|change| change.stream != stream);
            batch.changes.push(Change { stream, why, deleted, at: event.position });
            batch.upto = Some(event.position);
            return Ok(());
        }
        let revision = event.revision;
        let read = codec::decode(event);
        let read = read.map_err(|why| Damage { stream: stream.clone(), revision, why })?;
        let Read { event: decoded, index, count } = read;
        let arrived = Arrived { stream, revision, event: decoded, index, at: event.position };
        self.together(Some(&arrived))?;
        self.open.push(arrived);
        if self.open.len() == count {
            batch.events.append(&mut self.open);
            batch.upto = Some(event.position);
        }
        Ok(())
    }

    /// Makes sure that what comes continues the append that has begun, or that none has.
    fn together(&self, next: Option<&Arrived>) -> Result<(), Damage> {
        let continues = match (self.open.last(), next) {
            (None, None) => true,
            (None, Some(next)) => next.index == 0,
            (Some(last), Some(next)) => {
                next.index == self.open.len()
                    && next.stream == last.stream
                    && next.revision == last.revision + 1
            }
            (Some(_), None) => false,
        };
        if continues {
            return Ok(());
        }
        let place = self.open.last().or(next);
        let (stream, revision) =
            place.map_or_else(|| (StreamName::stored(""), 0), |at| (at.stream.clone(), at.revision));
        let why = "the events of its append do not stand together: some are missing".into();
        Err(Damage { stream, revision, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Position {
        Position { commit: n, prepare: n }
    }

    /// Servers told a checkpoint that stands on an event which comes after it.
    #[test]
    fn a_checkpoint_counts_when_the_next_one_comes() {
        let mut assembly = Assembly::new(Names::new("t.").unwrap(), Some(at(5)));
        assert_eq!(assembly.take(vec![Told::Checkpoint(at(10))]).upto, None);
        assert_eq!(assembly.take(vec![Told::CaughtUp, Told::Checkpoint(at(20))]).upto, Some(at(10)));
        let told =
            vec![Told::Checkpoint(at(30)), Told::Checkpoint(at(40)), Told::Ended(Error::ConnectionClosed)];
        let batch = assembly.take(told);
        assert_eq!(batch.upto, Some(at(30)));
        assert!(batch.ended.is_some() && !batch.is_empty());
    }
}
