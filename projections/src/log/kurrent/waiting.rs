//! Appends that wait until what they wrote is mirrored.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::event::{Revision, StreamName};
use tokio::sync::oneshot;

type Waiters = Vec<(Revision, oneshot::Sender<()>)>;

/// Who waits for which revision of which stream.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<HashMap<StreamName, Waiters>>);

impl Waiting {
    /// Every critical section leaves the map whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<StreamName, Waiters>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told once the stream is mirrored up to `revision`, from now on: whoever asks first and looks then misses
    /// nothing.
    pub fn until(&self, stream: &StreamName, revision: Revision) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.lock();
        let waiters = waiting.entry(stream.clone()).or_default();
        waiters.retain(|(_, tell)| !tell.is_closed());
        waiters.push((revision, tell));
        told
    }

    /// A stream is mirrored up to a revision.
    pub fn tell(&self, stream: &StreamName, revision: Revision) {
        let mut waiting = self.lock();
        let Some(waiters) = waiting.get_mut(stream) else { return };
        let told: Waiters = waiters.extract_if(.., |(wanted, _)| *wanted <= revision).collect();
        waiters.retain(|(_, tell)| !tell.is_closed());
        if waiters.is_empty() {
            waiting.remove(stream);
        }
        drop(waiting);
        for (_, tell) in told {
            let _ = tell.send(());
        }
    }
}
