//! A volume that is looked at by the loop and worked on beside it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Volume;

/// A volume in use.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Box<dyn Volume>>>);

impl Shared {
    /// Shares a volume.
    #[must_use]
    pub fn new(volume: Box<dyn Volume>) -> Self {
        Self(Arc::new(Mutex::new(volume)))
    }

    /// Looks at it; waits while work on it goes on.
    pub fn look<T>(&self, look: impl FnOnce(&dyn Volume) -> T) -> T {
        look(&**self.lock())
    }

    /// Works on it on a thread of its own, so that the loop goes on. Work that is begun is finished even if nobody waits
    /// for it any more.
    pub async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Volume) -> T + Send + 'static,
    ) -> T {
        let volume = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&mut **volume.lock())).await;
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    fn lock(&self) -> MutexGuard<'_, Box<dyn Volume>> {
        // Every call may be repeated after any interruption, a panic included.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
