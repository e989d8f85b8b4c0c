//! A log as it was: its first events, and nothing that came later.

use std::sync::Arc;

use async_trait::async_trait;
use domain::event::{Position, Recorded, Revision, StreamName};
use tokio::sync::watch;

use super::{Append, AppendError, Appended, EventLog, LogError};

/// The first events of a log; nothing can be appended to it.
#[derive(Debug)]
pub struct Prefix {
    log: Arc<dyn EventLog>,
    end: Position,
    head: watch::Sender<Option<Position>>,
}

impl Prefix {
    /// The events before the position `end`.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, end: Position) -> Self {
        Self { log, end, head: watch::Sender::new(end.checked_sub(1)) }
    }

    fn cut(&self, mut page: Vec<Recorded>) -> Vec<Recorded> {
        page.retain(|recorded| recorded.position < self.end);
        page
    }
}

#[async_trait]
impl EventLog for Prefix {
    async fn append(&self, _append: Append) -> Result<Appended, AppendError> {
        Err(AppendError::Invalid("the past cannot be changed"))
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        max: usize,
    ) -> Result<Vec<Recorded>, LogError> {
        Ok(self.cut(self.log.read_stream(stream, from, max).await?))
    }

    async fn read_all(&self, from: Position, max: usize) -> Result<Vec<Recorded>, LogError> {
        if from >= self.end {
            return Ok(Vec::new());
        }
        Ok(self.cut(self.log.read_all(from, max).await?))
    }

    async fn head(&self) -> Result<Option<Position>, LogError> {
        let head = self.log.head().await?;
        Ok(head.map_or(0, |head| head + 1).min(self.end).checked_sub(1))
    }

    fn follow(&self) -> watch::Receiver<Option<Position>> {
        self.head.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{
        Expected,
        contract::{append, read_to_end},
        memory::MemoryLog,
    };

    #[tokio::test]
    async fn a_prefix_shows_what_was_there_and_never_more() {
        let log = Arc::new(MemoryLog::new());
        log.append(append("a", Expected::NoStream, 0..6)).await.unwrap();
        let prefix = Prefix::new(log.clone(), 4);
        log.append(append("a", Expected::Revision(5), 6..9)).await.unwrap();
        assert_eq!(read_to_end(&prefix, 3).await, read_to_end(&*log, 100).await[..4]);
        assert_eq!(prefix.head().await, Ok(Some(3)));
        assert_eq!(prefix.read_stream(&StreamName::stored("a"), 4, 9).await, Ok(vec![]));
        assert_eq!(Prefix::new(log.clone(), 99).head().await, Ok(Some(8)));
        assert_eq!(Prefix::new(log.clone(), 0).head().await, Ok(None));
        let refused = prefix.append(append("b", Expected::NoStream, 0..1)).await;
        assert!(matches!(refused, Err(AppendError::Invalid(_))));
    }
}
