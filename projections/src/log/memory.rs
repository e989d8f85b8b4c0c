//! A log in memory, for tests: the same contract, gone with the process.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use domain::event::{Position, Recorded, Revision, StreamName};
use tokio::sync::watch;

use super::{Append, AppendError, Appended, EventLog, LogError, MAX_PAGE, MAX_PAGE_BYTES, check};

/// A log in memory.
#[derive(Debug)]
pub struct MemoryLog {
    events: Mutex<Stored>,
    head: watch::Sender<Option<Position>>,
}

#[derive(Debug, Default)]
struct Stored {
    all: Vec<Recorded>,
    /// Indexes into `all`, by revision.
    streams: HashMap<StreamName, Vec<usize>>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self { events: Mutex::default(), head: watch::Sender::new(None) }
    }
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every critical section leaves the state whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    fn append(&mut self, Append { stream, expected, events }: Append) -> Result<Appended, AppendError> {
        let known = self.streams.get(&stream).map_or(&[][..], Vec::as_slice);
        let actual = (known.len() as Revision).checked_sub(1);
        if actual != expected.last() {
            let at = usize::try_from(expected.next()).unwrap_or(usize::MAX);
            let before = known.get(at..at.saturating_add(events.len())).unwrap_or_default();
            let same = before.len() == events.len()
                && before.iter().zip(&events).all(|(i, event)| self.all[*i].event.id == event.id);
            return match (before.first(), before.last()) {
                (Some(first), Some(last)) if same => Ok(Appended {
                    first: *first as Position,
                    last: *last as Position,
                    revision: self.all[*last].revision,
                }),
                _ => Err(AppendError::Conflict { actual }),
            };
        }
        let first = self.all.len() as Position;
        let index = self.streams.entry(stream.clone()).or_default();
        for event in events {
            let revision = index.len() as Revision;
            index.push(self.all.len());
            let position = self.all.len() as Position;
            self.all.push(Recorded { position, stream: stream.clone(), revision, event });
        }
        Ok(Appended { first, last: self.all.len() as Position - 1, revision: index.len() as Revision - 1 })
    }
}

/// One page out of `events`.
fn page<'a>(events: impl Iterator<Item = &'a Recorded>, max: usize) -> Vec<Recorded> {
    let mut bytes = 0;
    events
        .take(max.clamp(1, MAX_PAGE))
        .take_while(|recorded| {
            let more = bytes < MAX_PAGE_BYTES;
            bytes += recorded.event.payload.len();
            more
        })
        .cloned()
        .collect()
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        check(&append)?;
        let mut events = self.lock();
        let appended = events.append(append)?;
        self.head.send_if_modified(|head| {
            let newer = *head < Some(appended.last);
            *head = (*head).max(Some(appended.last));
            newer
        });
        Ok(appended)
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        max: usize,
    ) -> Result<Vec<Recorded>, LogError> {
        let events = self.lock();
        let index = events.streams.get(stream).map_or(&[][..], Vec::as_slice);
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(page(index.iter().skip(from).map(|i| &events.all[*i]), max))
    }

    async fn read_all(&self, from: Position, max: usize) -> Result<Vec<Recorded>, LogError> {
        let events = self.lock();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(page(events.all.iter().skip(from), max))
    }

    async fn head(&self) -> Result<Option<Position>, LogError> {
        Ok((self.lock().all.len() as Position).checked_sub(1))
    }

    fn follow(&self) -> watch::Receiver<Option<Position>> {
        self.head.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::MemoryLog;
    use crate::log::contract::{self, Fresh};

    async fn make() -> Fresh {
        Fresh { log: Arc::new(MemoryLog::new()), keep: Box::new(()) }
    }

    contract::tests!(make);
}
