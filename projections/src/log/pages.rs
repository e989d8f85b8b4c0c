//! Reading a log in order with the next page on its way: decoding one page and reading the next take two cores.

use std::sync::Arc;

use domain::event::{Position, Recorded};
use tokio::task::JoinHandle;

use super::{EventLog, LogError};

/// The pages of a log, one read ahead; memory is bounded by two pages.
#[derive(Debug)]
pub struct Pages {
    log: Arc<dyn EventLog>,
    from: Position,
    max: usize,
    ahead: Option<JoinHandle<Result<Vec<Recorded>, LogError>>>,
}

impl Pages {
    /// From a position on, in pages of at most `max` events.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, from: Position, max: usize) -> Self {
        Self { log, from, max, ahead: None }
    }

    /// The next page; an empty one means that nothing more is there yet.
    ///
    /// # Errors
    /// When the log cannot be read; the same page is tried again by the next call.
    pub async fn next(&mut self) -> Result<Vec<Recorded>, LogError> {
        let reading = self.ahead.take().unwrap_or_else(|| self.read());
        let page = reading.await.map_err(|e| LogError::Storage(e.to_string()))??;
        if let Some(last) = page.last() {
            self.from = last.position + 1;
            self.ahead = Some(self.read());
        }
        Ok(page)
    }

    fn read(&self) -> JoinHandle<Result<Vec<Recorded>, LogError>> {
        let (log, from, max) = (self.log.clone(), self.from, self.max);
        tokio::spawn(async move { log.read_all(from, max).await })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some(ahead) = &self.ahead {
            ahead.abort();
        }
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
    async fn every_event_comes_once_and_later_ones_follow() {
        let log = Arc::new(MemoryLog::new());
        let mut pages = Pages::new(log.clone(), 0, 3);
        assert_eq!(pages.next().await, Ok(vec![]));
        log.append(append("a", Expected::NoStream, 0..10)).await.unwrap();
        let mut seen = Vec::new();
        for more in [0, 10, 15] {
            if more > 0 {
                log.append(append("a", Expected::Revision(more - 1), more..more + 5)).await.unwrap();
            }
            // A page that was read ahead may be empty once although more has come since.
            for _ in 0..2 {
                loop {
                    let page = pages.next().await.unwrap();
                    if page.is_empty() {
                        break;
                    }
                    seen.extend(page);
                }
            }
            assert_eq!(seen, read_to_end(&*log, 100).await);
        }
    }
}
