//! The journal as it was at a position of the log.

use std::sync::Arc;

use domain::event::Position;

use super::{Scratch, Step};
use crate::{
    log::EventLog,
    runner::blocking,
    views::{Store, ViewError, journal::JournalReader},
};

/// A journal up to a position; what it was built in goes with it.
#[derive(Debug)]
pub struct JournalAt {
    /// Reads it.
    pub reader: JournalReader,
    _scratch: Option<Scratch>,
}

/// The journal of the events before the position `end`: the served one if it is just as far, else built apart.
///
/// # Errors
/// When the log or the temporary file cannot be used.
pub async fn journal_at(
    log: &Arc<dyn EventLog>,
    store: impl Into<Store>,
    end: Position,
    report: impl Fn(Step) + Send + Sync + 'static,
) -> Result<JournalAt, ViewError> {
    // Whatever is wrong with the served one, the log is enough.
    let at = store.into();
    let served = blocking(move || Ok(JournalReader::open(at).ok())).await?;
    if let Some(reader) = served.filter(|served| served.next() == end) {
        return Ok(JournalAt { reader, _scratch: None });
    }
    let scratch = Scratch::new()?;
    scratch.build(log, end, &["journal"], report).await?;
    Ok(JournalAt { reader: JournalReader::open(scratch.store())?, _scratch: Some(scratch) })
}
