//! Views built apart from the served ones, as the log was at some position; gone when dropped.

use std::sync::Arc;

use domain::event::Position;
use tempfile::TempDir;

use super::{Step, rebuild};
use crate::{
    log::{EventLog, prefix::Prefix},
    views::{Store, ViewError},
};

/// A file of views in a temporary folder.
#[derive(Debug)]
pub struct Scratch {
    store: Store,
    _folder: TempDir,
}

impl Scratch {
    /// A file without views, in the system's folder for temporary files (`TMPDIR`).
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self, ViewError> {
        let folder = tempfile::Builder::new().prefix("berth-").tempdir();
        let folder = folder.map_err(|e| ViewError::Storage(format!("no temporary folder: {e}")))?;
        let store = Store::File(folder.path().join("views.db"));
        drop(store.writer()?);
        Ok(Self { store, _folder: folder })
    }

    /// The file.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Builds views from the events before the position `end`; memory is bounded as in [`rebuild`].
    ///
    /// # Errors
    /// When there is no such view, or file or log cannot be used.
    pub async fn build(
        &self,
        log: &Arc<dyn EventLog>,
        end: Position,
        names: &[&str],
        report: impl Fn(Step) + Send + Sync + 'static,
    ) -> Result<(), ViewError> {
        let log: Arc<dyn EventLog> = Arc::new(Prefix::new(log.clone(), end));
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        rebuild(&log, &self.store, Some(&names), report).await.map(drop)
    }
}
